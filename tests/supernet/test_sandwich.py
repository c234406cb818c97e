import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from espnet_plugin.errors import UserError
from espnet_plugin.supernet.configured import search_space
from espnet_plugin.supernet.dimensions import FFN
from espnet_plugin.supernet.sandwich import SubnetSampling

SPACE = search_space(6, dict(depths=[2, 4, 6], ffn_dims=[32, 64, 128]), [FFN], {})


@given(st.integers(0, 10**9), st.integers(0, 4), st.integers(0, 63))
def test_sandwich_has_max_first_then_min_then_others(step, num_random, rank):
    subnets = SubnetSampling(num_random=num_random).subnets(SPACE, step, rank)
    assert subnets[:2] == (SPACE.max, SPACE.min)
    assert len(set(subnets)) == len(subnets) <= 2 + num_random


@given(st.integers(), st.integers(0, 10**9))
def test_choice_is_a_function_of_seed_and_step(seed, step):
    sampling = SubnetSampling(seed=seed)
    random.seed(0)
    first = sampling.subnets(SPACE, step, rank=0)
    random.seed(1)
    assert sampling.subnets(SPACE, step, rank=7) == first


def test_steps_and_seeds_differ():
    drawn = {SubnetSampling(seed=seed).subnets(SPACE, step) for seed in range(3) for step in range(10)}
    assert len(drawn) > 20


def test_ranks_differ_when_asked_to():
    sampling = SubnetSampling(same_on_all_ranks=False)
    assert len({sampling.subnets(SPACE, 5, rank) for rank in range(8)}) > 4


def test_a_space_of_one_point_gives_one_net():
    space = search_space(3, dict(ffn_dims=[64]), [FFN], {})
    assert SubnetSampling(num_random=2).subnets(space, 0) == (space.max,)


@given(st.floats(0.1, 10), st.integers(2, 9))
def test_the_other_nets_share_their_weight(others_weight, nets):
    weight = SubnetSampling(others_weight=others_weight).weight(nets)
    assert weight * (nets - 1) == pytest.approx(others_weight)
    assert SubnetSampling().weight(nets) == SubnetSampling(others_weight=2.0).weight(1) == 1.0


@pytest.mark.parametrize("value", [0, -1.0, float("inf"), float("nan"), "1"])
def test_an_impossible_weight_is_told(value):
    with pytest.raises(UserError, match=r"sampling_conf\.others_weight: .* must be (above 0|a number)"):
        SubnetSampling(others_weight=value)


def test_single_rule_gives_one_subnet_that_varies():
    drawn = [SubnetSampling(rule="single").subnets(SPACE, step) for step in range(50)]
    assert {len(subnets) for subnets in drawn} == {1}
    assert len(set(drawn)) > 20


@pytest.mark.parametrize("conf", [dict(rule="burger"), dict(num_random=-1), dict(num_random=1.5)])
def test_wrong_values_are_refused(conf):
    with pytest.raises(UserError, match="sampling_conf"):
        SubnetSampling(**conf)


@given(step=st.integers(0, 10**6), stride=st.integers(1, 5), rank=st.integers(0, 3))
def test_every_kth_item_from_a_first_one_that_step_and_rank_give(step, stride, rank):
    chosen = SubnetSampling(seed=3).every(stride, step, rank)
    assert chosen == SubnetSampling(seed=3).every(stride, step, rank)
    kept = list(range(20))[chosen]
    assert kept[0] < stride and all(b - a == stride for a, b in zip(kept, kept[1:]))


def test_every_item_comes_first_in_some_step():
    assert {SubnetSampling().every(3, step).start for step in range(50)} == {0, 1, 2}
