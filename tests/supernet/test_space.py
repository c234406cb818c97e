import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from espnet_plugin.errors import UserError
from espnet_plugin.supernet.space import SearchSpace
from espnet_plugin.supernet.subnet import DIRECTIONS, Subnet

SPACE = SearchSpace.build(6, [2, 4, 6], [32, 64, 128])


@st.composite
def spaces(draw):
    num_layers = draw(st.integers(1, 12))
    depths = sorted(draw(st.sets(st.integers(1, num_layers))) | {num_layers})
    some = st.sets(st.integers(1, 2048), min_size=1, max_size=5).map(sorted)
    even = some.map(lambda counts: [2 * count for count in counts])
    directions = draw(st.none() | st.lists(st.sampled_from(DIRECTIONS), min_size=1, unique=True))
    widths = {key: draw(st.none() | some) for key in ("model_dims", "prediction_dims", "joiner_dims")}
    return SearchSpace.build(
        num_layers, depths, draw(some), directions=directions, heads=draw(st.none() | even), **widths
    )


def everything(**changes):
    dims = dict(heads=[2, 4], model_dims=[8, 16], prediction_dims=[4, 8], joiner_dims=[6], directions=list(DIRECTIONS))
    return SearchSpace.build(3, [1, 3], [8, 16], **dims | changes)


def test_text_form_by_hand():
    subnet = Subnet((0, 1, 2, 5), (64, 64, 64, 32))
    assert str(subnet) == "0-2x64_5x32"
    assert Subnet.parse("0-2x64_5x32") == subnet
    assert str(Subnet((0, 2), (8, 8))) == "0x8_2x8"


def test_text_form_of_all_dimensions_by_hand():
    subnet = Subnet((0, 1, 3), (64, 64, 32), (8, 8, 4), 192, 128, 96, "forward")
    assert str(subnet) == "0-1x64h8_3x32h4_d192_p128_j96_forward"
    assert Subnet.parse(str(subnet)) == subnet
    assert str(Subnet((0, 1), (64, 64), (8, 4))) == "0x64h8_1x64h4"
    assert Subnet.parse("0x8_j4") == Subnet((0,), (8,), joiner=4)


def test_layers_go_by_the_drop_order():
    assert SPACE.drop_order == (4, 2, 5, 3, 1, 0)
    assert SPACE.kept(6) == (0, 1, 2, 3, 4, 5)
    assert SPACE.kept(4) == (0, 1, 3, 5)
    assert SPACE.kept(2) == (0, 1)


def test_size_counts_all_subnets():
    assert SearchSpace.build(2, [1, 2], [8, 16]).size == 2 + 4
    assert "6 subnets" in str(SearchSpace.build(2, [1, 2], [8, 16]))
    space = everything()
    assert space.size == (4 + 4**3) * 2 * 2 * 1 * 2
    drawn = {space.sample(random.Random(seed)) for seed in range(4000)}
    assert len(drawn) > 0.95 * space.size and all(space.check(subnet) for subnet in drawn)


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
        ("0-1x32_d64", "dim 64, but dim is fixed"),
        ("0-1x32h4", "heads 4, but heads is fixed"),
        ("0x32h4_1x32", "for all layers or for none"),
        ("0-1x32_backward", "'backward' is not LAYERxWIDTH"),
        ("0-1000x64", "layer 1000 must be below 1000"),
        ("0-99999999999x64", "'0-99999999999x64' is not LAYERxWIDTH"),
        (f"0x{'9' * 5000}", "is not LAYERxWIDTH"),
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
        (dict(depths=[6], ffn_dims=[8], heads=[2, 3]), "search_space.heads"),
        (dict(depths=[6], ffn_dims=[8], model_dims=[8, 4]), "search_space.model_dims"),
        (dict(depths=[6], ffn_dims=8), "search_space.ffn_dims"),
        (dict(depths=[6], ffn_dims=[8], joiner_dims=[True]), "search_space.joiner_dims"),
        (dict(depths=[6], ffn_dims=[8], directions=["backward"]), "search_space.directions"),
        (dict(depths=[6], ffn_dims=[8], directions=[["forward"]]), "search_space.directions"),
        (dict(depths=[6], ffn_dims=[8], drop_order=5), "search_space.drop_order: 5 must"),
        (dict(depths=[6], ffn_dims=[8], drop_order=[5, 4, 3, 2, 1, 0.0]), "search_space.drop_order"),
        (dict(depths=[6], ffn_dims=[8], drop_order=[5, 4, 3, 2, True, 0]), "search_space.drop_order"),
        (dict(depths=[], ffn_dims=[8]), "search_space.depths"),
    ],
)
def test_an_impossible_space_is_refused(conf, key):
    with pytest.raises(UserError, match=key):
        SearchSpace.build(6, **conf)


@pytest.mark.parametrize(
    "conf, said",
    [
        (None, "encoder_conf.search_space: None must be a dictionary"),
        (dict(ffn_dims=[8], width=[8]), "search_space: keys"),
        ({1: 2, "ffn_dims": [8], "a": 1}, "search_space: keys"),
        (dict(ffn_dims=[8], heads=[2]), "the largest of [2] must equal encoder_conf.num_heads, 4"),
        (dict(ffn_dims=[8], model_dims=[8, 32]), "the largest of [8, 32] must equal encoder_conf.d_model, 16"),
        (dict(ffn_dims=[8], directions=["forward"]), "contradicts encoder_conf.bidirectional: True"),
    ],
)
def test_a_space_that_contradicts_the_encoder_is_refused(conf, said):
    with pytest.raises(UserError) as error:
        SearchSpace.from_conf(2, conf, dict(num_heads=4, d_model=16), bidirectional=True)
    assert said in str(error.value)


def test_ends_of_the_space_in_all_dimensions():
    space = everything()
    assert str(space.max) == "0-2x16h4_d16_p8_j6_bidirectional" and str(space.min) == "0x8h2_d8_p4_j6_forward"
    assert str(space.resolve("max_forward")) == "0-2x16h4_d16_p8_j6_forward"
    assert space.only("forward").max == space.resolve("max_forward")
    with pytest.raises(UserError, match="one direction"):
        SPACE.only("forward")
    with pytest.raises(UserError, match="dim is missing"):
        space.resolve("0x8h2_p4_j6_forward")


@given(spaces(), st.integers(0, 99), st.floats(0, 1))
def test_a_sample_fits_a_budget_and_is_in_the_space(space, seed, share):
    def cost(subnet):
        shared = [subnet.dim, subnet.prediction, subnet.joiner, DIRECTIONS.index(subnet.direction or "forward")]
        return sum(subnet.ffn) + sum(subnet.heads) + sum(value or 0 for value in shared)

    least, most = cost(space.min), cost(space.max)
    budget = least + share * share * (most - least)
    calls = []
    subnet = space.sample(random.Random(seed), lambda s: calls.append(s) or cost(s) <= budget, draws=5)
    assert cost(space.check(subnet)) <= budget
    assert len(calls) <= 7 + 12 + 2 * 12 * 5 + 4 * 5  # bounded: one step at a time in each dimension
    with pytest.raises(UserError, match="budget: neither the smallest"):
        space.sample(random.Random(seed), lambda s: False)
