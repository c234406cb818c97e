"""Search on an error that is known everywhere, so that its front is known too."""

import random
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from espnet_plugin.errors import UserError
from espnet_plugin.search.choice import Plan, search_losses
from espnet_plugin.search.costs import Limits
from espnet_plugin.search.explore import Budget, EvolutionarySearch, GridSearch, RandomSearch, explore
from espnet_plugin.search.front import Candidate, hypervolume
from espnet_plugin.search.genes import crossover, mutate
from espnet_plugin.supernet.configured import search_space
from espnet_plugin.supernet.dimensions import DIMENSIONS


def space_of(num_layers, depths, ffn_dims, **conf):
    """A space of the dimensions that are given."""
    conf = dict(depths=depths, ffn_dims=ffn_dims, **conf)
    return search_space(num_layers, conf, [row for row in DIMENSIONS if row.key in conf], {})


FIXED = space_of(6, [2, 4, 6], [1, 2, 4, 8])
WIDE = space_of(
    4,
    [2, 3, 4],
    [1, 2, 4],
    heads=[2, 4],
    model_dims=[8, 16],
    prediction_dims=[4, 8],
    joiner_dims=[4, 8],
    directions=["forward", "bidirectional"],
)
TINY = space_of(2, [1, 2], [1, 2])


def cost(subnet):
    return 10 * len(subnet.layers) + sum(subnet["ffn"])


def error(subnet):
    """Width in low layers is worth more, so that even shapes are not the best ones."""
    return 1 / (1 + sum(width / (1 + layer.index) ** 2 for layer, width in subnet.per_layer("ffn"))) + 1 / len(
        subnet.layers
    )


def evaluate(subnets):
    for subnet in reversed(subnets):  # answers may come in any order
        yield subnet, error(subnet)


def volume(known):
    return hypervolume((Candidate(s, cost(s), e) for s, e in known.items()), cost(FIXED.max), error(FIXED.min))


@given(st.integers(), st.floats(0, 1), st.sampled_from([FIXED, WIDE, TINY]))
def test_children_are_in_the_space_and_made_of_their_parents(seed, rate, space):
    rng = random.Random(seed)
    one, other = space.sample(rng), space.sample(rng)
    child = space.check(crossover(space, one, other, rng))
    assert len(child.layers) in (len(one.layers), len(other.layers))
    for choice in space.shared:
        name = choice.dimension.name
        assert child[name] in (one[name], other[name])
    parents = [one.settings(), other.settings()]
    for layer, values in child.settings().items():
        assert values in [p[layer] for p in parents if layer in p]
    space.check(mutate(space, child, rng, rate))
    assert crossover(space, one, one, rng) == one


def test_a_point_mutates_to_itself():
    point = space_of(2, [2], [4])
    assert mutate(point, point.max, random.Random(0), 1.0) == point.max


@pytest.mark.parametrize("seed", range(5))
def test_evolution_beats_random_subnets(seed):
    found = volume(explore(EvolutionarySearch(FIXED, cost, seed), evaluate, Budget(150)))
    drawn = volume(explore(RandomSearch(FIXED, seed), evaluate, Budget(150)))
    assert found > drawn


@pytest.mark.parametrize("seed", range(3))
def test_a_search_by_evolution_is_never_below_a_small_grid(seed):
    class Counted:
        def of(self, subnet):
            return {"params": cost(subnet)}

    def found(kind):
        plan = Plan(Budget(60), kind, seed=seed)
        return search_losses(FIXED, Counted(), plan, lambda _, subnets: evaluate(subnets), Limits({}))

    grid = found("grid")
    assert len(grid) == 12  # at most a quarter of the evaluations: evolution goes through all of it first
    evolved = found("evolution")
    assert set(grid) <= set(evolved) and len(evolved) == 60 and volume(evolved) > volume(grid)


def test_evolution_comes_near_the_true_front():
    like = [FIXED.uniform(depths, 1) for depths in FIXED.depths]
    everything = {
        one.with_values(ffn=widths) for one in like for widths in product(FIXED["ffn"], repeat=len(one.layers))
    }
    best = volume({subnet: error(subnet) for subnet in everything})
    found = volume(explore(EvolutionarySearch(FIXED, cost, 1), evaluate, Budget(300)))
    assert len(everything) == FIXED.size and 0.97 * best < found <= best


def test_a_small_space_is_gone_through_once():
    known = explore(RandomSearch(TINY), evaluate, Budget(1000))
    assert len(known) == TINY.size == 6
    assert len(explore(EvolutionarySearch(TINY, cost), evaluate, Budget(1000))) == 6


def test_the_grid_is_every_even_subnet():
    known = explore(GridSearch(WIDE), evaluate, Budget(10**6))
    assert len(known) == 3 * 3 * 2 * 2 * 2 * 2 * 2
    for subnet in known:
        WIDE.check(subnet)
        assert len(set(subnet["ffn"])) == len(set(subnet["heads"])) == 1
    assert list(explore(GridSearch(FIXED), evaluate, Budget(5))) == list(
        explore(GridSearch(FIXED), evaluate, Budget(5))
    )


@pytest.mark.parametrize("kind", [RandomSearch, GridSearch, lambda *a, **k: EvolutionarySearch(a[0], cost, **k)])
def test_all_stay_within_a_budget(kind):
    known = explore(kind(FIXED, fits=lambda subnet: cost(subnet) <= 40), evaluate, Budget(60))
    assert 4 <= len(known) <= 60 and max(map(cost, known)) <= 40


def test_an_impossible_budget_is_refused():
    with pytest.raises(UserError, match="budget: neither the smallest subnet"):
        explore(RandomSearch(FIXED, fits=lambda subnet: False), evaluate, Budget(5))


def test_the_order_of_answers_does_not_matter():
    straight = explore(EvolutionarySearch(FIXED, cost, 3), lambda subnets: ((s, error(s)) for s in subnets), Budget(99))
    assert list(straight) == list(explore(EvolutionarySearch(FIXED, cost, 3), evaluate, Budget(99)))


def test_start_is_evaluated_first():
    start = FIXED.uniform(4, 2)
    assert list(explore(EvolutionarySearch(FIXED, cost, start=[start]), evaluate, Budget(3)))[2] == start


def test_time_ends_a_search_after_a_generation():
    ticks = iter(range(100))
    known = explore(RandomSearch(FIXED), evaluate, Budget(1000, seconds=2), generation=7, clock=lambda: next(ticks))
    assert len(known) == 2 * 7
    with pytest.raises(UserError, match="--evaluations: 0 must be above 0"):
        Budget(0)
