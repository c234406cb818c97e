from hypothesis import given
from hypothesis import strategies as st

from espnet_plugin.supernet.configured import search_space
from espnet_plugin.supernet.dimensions import DIMENSIONS
from espnet_plugin.supernet.sizes import candidates, ladder


def space_of(num_layers, depths, ffn_dims, **conf):
    """A space of the dimensions that are given."""
    conf = dict(depths=depths, ffn_dims=ffn_dims, **conf)
    return search_space(num_layers, conf, [row for row in DIMENSIONS if row.key in conf], {})


SPACE = space_of(6, [2, 4, 6], [32, 64, 128])


def params(subnet):
    return 1000 + 100 * len(subnet.layers) + sum(subnet["ffn"])


def test_ladder_has_equal_ratios():
    assert ladder(100, 800, 4) == [800, 400, 200, 100]
    assert ladder(100, 100, 5) == [100]


@given(st.integers(params(SPACE.min), params(SPACE.max)), st.integers(1, 8), st.integers())
def test_candidates_are_different_subnets_of_the_space_near_the_target(target, count, seed):
    found = candidates(SPACE, params, target, count, seed, draws=300)
    assert 1 <= len(found) == len(set(found)) <= count
    for subnet in found:
        SPACE.check(subnet)
        assert abs(params(subnet) - target) <= 0.1 * target
    assert found == candidates(SPACE, params, target, count, seed, draws=300)


def test_candidates_spread_over_depths():
    space = space_of(4, [3, 4], [10, 20, 30, 40])
    found = candidates(space, lambda s: 100 * sum(s["ffn"]), 10000, 4)
    assert {len(subnet.layers) for subnet in found} == {3, 4}
