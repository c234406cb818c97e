import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from espnet_plugin.errors import UserError
from espnet_plugin.supernet.space import SearchSpace, Subnet

SPACE = SearchSpace.build(6, [2, 4, 6], [32, 64, 128])


@st.composite
def spaces(draw):
    num_layers = draw(st.integers(1, 12))
    depths = sorted(draw(st.sets(st.integers(1, num_layers))) | {num_layers})
    widths = sorted(draw(st.sets(st.integers(1, 4096), min_size=1, max_size=5)))
    return SearchSpace.build(num_layers, depths, widths)


def test_text_form_by_hand():
    subnet = Subnet((0, 1, 2, 5), (64, 64, 64, 32))
    assert str(subnet) == "0-2x64_5x32"
    assert Subnet.parse("0-2x64_5x32") == subnet
    assert str(Subnet((0, 2), (8, 8))) == "0x8_2x8"


def test_layers_go_by_the_drop_order():
    assert SPACE.drop_order == (4, 2, 5, 3, 1, 0)
    assert SPACE.kept(6) == (0, 1, 2, 3, 4, 5)
    assert SPACE.kept(4) == (0, 1, 3, 5)
    assert SPACE.kept(2) == (0, 1)


def test_size_counts_all_subnets():
    assert SearchSpace.build(2, [1, 2], [8, 16]).size == 2 + 4
    assert "6 subnets" in str(SearchSpace.build(2, [1, 2], [8, 16]))


@given(spaces(), st.integers())
def test_a_sample_is_in_the_space_and_round_trips(space, seed):
    subnet = space.sample(random.Random(seed))
    assert space.check(subnet) is subnet
    assert Subnet.parse(str(subnet)) == subnet
    assert space.resolve(str(subnet)) == subnet
    assert len(space.min.layers) <= len(subnet.layers) <= len(space.max.layers)


@given(spaces())
def test_depths_are_nested(space):
    for small, large in zip(space.depths, space.depths[1:]):
        assert set(space.kept(small)) < set(space.kept(large))


@pytest.mark.parametrize(
    "text, said",
    [
        ("0-5x100", "width 100 is not one of [32, 64, 128]"),
        ("0-2x32", "depth 3 is not one of [2, 4, 6]"),
        ("0x32_2x32", "layers kept must be [0, 1]"),
        ("huge", "'huge' is not LAYERxWIDTH"),
        ("3-1x32", "must ascend"),
        ("", "is not LAYERxWIDTH"),
    ],
)
def test_a_subnet_outside_the_space_is_refused(text, said):
    with pytest.raises(UserError) as error:
        SPACE.resolve(text)
    assert said in str(error.value) and text in str(error.value)


@pytest.mark.parametrize(
    "conf, key",
    [
        (dict(depths=[2, 4], ffn_dims=[8]), "search_space.depths"),
        (dict(depths=[6], ffn_dims=[]), "search_space.ffn_dims"),
        (dict(depths=[6], ffn_dims=[16, 8]), "search_space.ffn_dims"),
        (dict(depths=[6], ffn_dims=[0, 8]), "search_space.ffn_dims"),
        (dict(depths=[6], ffn_dims=[8], drop_order=[0, 1, 2]), "search_space.drop_order"),
    ],
)
def test_an_impossible_space_is_refused(conf, key):
    with pytest.raises(UserError, match=key):
        SearchSpace.build(6, **conf)
