import json
import random
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from espnet_plugin.errors import UserError
from espnet_plugin.search.genes import crossover, mutate
from espnet_plugin.supernet.configured import search_space
from espnet_plugin.supernet.dimensions import D_MODEL, DIMENSIONS, DIRECTION, DIRECTIONS, FFN, HEADS
from espnet_plugin.supernet.subnet import LayerAddress, Subnet
from espnet_plugin.supernet.text import read_text


def build(num_layers, dimensions=None, sizes=None, **conf):
    """A space of the dimensions that are named."""
    conf = {key: value for key, value in conf.items() if value is not None}
    dimensions = [row for row in DIMENSIONS if row.key in conf] if dimensions is None else dimensions
    return search_space(num_layers, conf, dimensions, sizes or {})


SIZES = dict(num_heads=4, d_model=16, bidirectional=True)
SPACE = build(6, (FFN, HEADS, D_MODEL), SIZES, depths=[2, 4, 6], ffn_dims=[32, 64, 128])


@st.composite
def spaces(draw):
    num_layers = draw(
        st.integers(1, 12).map(lambda count: [count]) | st.lists(st.integers(1, 4), min_size=2, max_size=3)
    )
    depths = [sorted(draw(st.sets(st.integers(1, count))) | {count}) for count in num_layers]
    some = st.sets(st.integers(1, 2048), min_size=1, max_size=5).map(sorted)
    directions = draw(st.none() | st.lists(st.sampled_from(DIRECTIONS), min_size=1, unique=True))
    widths = {key: draw(st.none() | some) for key in ("model_dims", "prediction_dims", "joiner_dims", "heads")}
    one = len(num_layers) == 1
    stacks = dict(num_layers=num_layers[0], depths=depths[0]) if one else dict(num_layers=num_layers, depths=depths)
    return build(**stacks, ffn_dims=draw(some), directions=directions, **widths)


def everything(**changes):
    dims = dict(heads=[2, 4], model_dims=[8, 16], prediction_dims=[4, 8], joiner_dims=[6], directions=list(DIRECTIONS))
    return build(3, depths=[1, 3], ffn_dims=[8, 16], **dims | changes)


def subnet_by_hand(layers, fixed=(), **values):
    rows = {row.name: row for row in DIMENSIONS}
    layers = tuple(LayerAddress(*((0, layer) if isinstance(layer, int) else layer)) for layer in layers)
    return Subnet(layers, tuple((rows[name], value) for name, value in values.items()), frozenset(fixed))


def test_text_form_by_hand():
    subnet = subnet_by_hand((0, 1, 2, 5), ffn=(64, 64, 64, 32), d_model=192, fixed=["d_model"])
    assert str(subnet) == "0-2x64_5x32"
    assert str(subnet_by_hand((0, 2), ffn=(8, 8))) == "0x8_2x8"
    layers = tuple(LayerAddress(0, index) for index in (0, 1, 2, 5))
    assert read_text("0-2x64_5x32") == (layers, {"ffn": (64, 64, 64, 32)})


def test_text_form_of_all_dimensions_by_hand():
    values = dict(ffn=(64, 64, 32), heads=(8, 8, 4), d_model=192, prediction=128, joiner=96, direction="forward")
    subnet = subnet_by_hand((0, 1, 3), **values)
    assert str(subnet) == "0-1x64h8_3x32h4_d192_p128_j96_forward"
    assert read_text(str(subnet)) == (subnet.layers, values)
    assert str(subnet_by_hand((0, 1), ffn=(64, 64), heads=(8, 4))) == "0x64h8_1x64h4"
    assert read_text("0x8_j4") == (subnet.layers[:1], {"ffn": (8,), "joiner": 4})


def test_layers_of_several_stacks_by_hand():
    """Three stacks at other frame rates, as a Zipformer has them."""
    space = build([2, 4, 2], depths=[[1, 2], [2, 4], [2]], ffn_dims=[8, 16])
    assert str(space.max) == "0.0-1x16_1.0-3x16_2.0-1x16" and str(space.min) == "0.0x8_1.0-1x8_2.0-1x8"
    assert space.size == (2 + 4) * (4 + 16) * 4
    assert space.parse("0.0x8_1.0x8_1.1x16_2.0-1x8").layers == space.min.layers
    assert len(set(space.even())) == 2 * 2 * 2
    with pytest.raises(
        UserError, match=r"at depth 1 2 2 the layers kept must be \['0.0', '1.0', '1.1', '2.0', '2.1'\]"
    ):
        space.parse("0.0x8_1.0x8_1.2x16_2.0-1x8")
    with pytest.raises(UserError, match=r"search_space.depths: .* must be a list of 3 lists, one for each stack"):
        build([2, 4, 2], depths=[1, 2], ffn_dims=[8])


def test_what_is_fixed_may_be_left_out_of_a_text():
    subnet = SPACE.parse("0-1x32")
    assert (subnet["heads"], subnet["d_model"]) == ((4, 4), 16)
    assert SPACE.parse("0-1x32h4_d16") == subnet and str(SPACE.parse("0-1x32h4_d16")) == "0-1x32"
    whole = SPACE.completed(d_model=16, prediction=8, joiner=8)
    assert whole.parse("0-1x32")["prediction"] == 8 and whole.varies("ffn") and not whole.varies("joiner")
    with pytest.raises(UserError, match=r"the largest of \[6\] must equal model_conf.joint_space_size, 8"):
        everything().completed(joiner=8)


def test_draws_and_texts_are_those_of_former_versions():
    """Searches and trainings that began before go on with the same subnets; `former_draws.json` was written before there was a table."""
    draws = json.loads((Path(__file__).parent / "former_draws.json").read_text())
    assert len(draws) == 3
    for before in draws.values():
        dimensions = (FFN, HEADS, D_MODEL, DIRECTION)
        space = search_space(before["num_layers"], before["search_space"], dimensions, before["sizes"])
        space, rng = space.completed(prediction=8, joiner=8), random.Random(3)
        sampled = [space.sample(rng) for _ in range(20)]
        children = [mutate(space, crossover(space, *rng.sample(sampled, 2), rng), rng, 0.3) for _ in range(30)]
        assert [str(subnet) for subnet in (*sampled, *children)] == before["drawn"]
        assert all(space.parse(text) == subnet for text, subnet in zip(before["drawn"], (*sampled, *children)))
        assert [str(subnet) for subnet in islice(space.even(), 40)] == before["even"]
        assert [str(subnet) for subnet in space.smaller(space.max)] == before["smaller"]
        assert {name: str(subnet) for name, subnet in space.named().items()} == before["named"]
        assert str(space) == before["text"]


def test_layers_go_by_the_drop_order():
    assert SPACE.stacks[0].drop_order == (4, 2, 5, 3, 1, 0)
    (stack,) = SPACE.stacks
    assert stack.kept(6) == (0, 1, 2, 3, 4, 5)
    assert stack.kept(4) == (0, 1, 3, 5)
    assert stack.kept(2) == (0, 1)


def test_size_counts_all_subnets():
    assert build(2, depths=[1, 2], ffn_dims=[8, 16]).size == 2 + 4
    assert "6 subnets" in str(build(2, depths=[1, 2], ffn_dims=[8, 16]))
    space = everything()
    assert space.size == (4 + 4**3) * 2 * 2 * 1 * 2
    drawn = {space.sample(random.Random(seed)) for seed in range(4000)}
    assert len(drawn) > 0.95 * space.size and all(space.check(subnet) for subnet in drawn)


@given(spaces(), st.integers())
def test_a_sample_is_in_the_space_and_round_trips(space, seed):
    subnet = space.sample(random.Random(seed))
    assert space.check(subnet) is subnet
    assert space.parse(str(subnet)) == subnet
    assert space.resolve(str(subnet)) == subnet
    assert len(space.min.layers) <= len(subnet.layers) <= len(space.max.layers)


@given(spaces())
def test_depths_are_nested(space):
    for stack in space.stacks:
        for small, large in zip(stack.depths, stack.depths[1:]):
            assert set(stack.kept(small)) < set(stack.kept(large))


@pytest.mark.parametrize(
    "text, said",
    [
        ("0-5x100", "feed-forward widths: 100 is not one of [32, 64, 128]"),
        ("0-2x32", "depth 3 is not one of [2, 4, 6]"),
        ("0x32_2x32", "layers kept must be [0, 1]"),
        ("huge", "the search space names max, min"),
        ("3-1x32", "must ascend"),
        ("", "is not LAYERxWIDTH"),
        ("0-1x32_d64", "d_model 64, but d_model is fixed, to 16"),
        ("0-1x32h2", "heads 2, but heads is fixed, to 4"),
        ("0-1x32_p8", "prediction 8, but the search space has no prediction"),
        ("0-1", "ffn is missing, allowed are [32, 64, 128]"),
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
    assert said in str(error.value) and text[:40] in str(error.value)  # a long one is cut off


@pytest.mark.parametrize(
    "conf, key",
    [
        (dict(depths=[2, 4], ffn_dims=[8]), "search_space.depths"),
        (dict(depths=[6], ffn_dims=[]), "search_space.ffn_dims"),
        (dict(depths=[6], ffn_dims=[16, 8]), "search_space.ffn_dims"),
        (dict(depths=[6], ffn_dims=[0, 8]), "search_space.ffn_dims"),
        (dict(depths=[6], ffn_dims=[8], drop_order=[0, 1, 2]), "search_space.drop_order"),
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
        build(6, **conf)


@pytest.mark.parametrize(
    "conf, said",
    [
        (None, "encoder_conf.search_space: None must be a dictionary"),
        (dict(ffn_dims=[8], width=[8]), "search_space: keys"),
        ({1: 2, "ffn_dims": [8], "a": 1}, "search_space: keys"),
        (dict(ffn_dims=[8], heads=[2]), "the largest of [2] must equal encoder_conf.num_heads, 4"),
        (dict(ffn_dims=[8], model_dims=[8, 32]), "the largest of [8, 32] must equal encoder_conf.d_model, 16"),
        (
            dict(ffn_dims=[8], directions=["forward"]),
            "the largest of ['forward'] must equal encoder_conf.bidirectional, True",
        ),
    ],
)
def test_a_space_that_contradicts_the_encoder_is_refused(conf, said):
    with pytest.raises(UserError) as error:
        search_space(2, conf, (FFN, HEADS, D_MODEL, DIRECTION), SIZES)
    assert said in str(error.value)


def test_ends_of_the_space_in_all_dimensions():
    space = everything()
    assert str(space.max) == "0-2x16h4_d16_p8_j6_bidirectional" and str(space.min) == "0x8h2_d8_p4_j6_forward"
    assert str(space.resolve("max_forward")) == "0-2x16h4_d16_p8_j6_forward"
    assert space.only("forward").max == space.resolve("max_forward")
    with pytest.raises(UserError, match="direction 'forward': the search space has one, bidirectional"):
        SPACE.only("forward")
    with pytest.raises(UserError, match="d_model is missing"):
        space.resolve("0x8h2_p4_j6_forward")


@given(spaces(), st.integers(0, 99), st.floats(0, 1))
def test_a_sample_fits_a_budget_and_is_in_the_space(space, seed, share):
    def cost(subnet):
        flat = (each for _, value in subnet.values for each in (value if isinstance(value, tuple) else (value,)))
        return sum(DIRECTIONS.index(value) if isinstance(value, str) else value for value in flat)

    least, most = cost(space.min), cost(space.max)
    budget = least + share * share * (most - least)
    calls = []
    subnet = space.sample(random.Random(seed), lambda s: calls.append(s) or cost(s) <= budget, draws=5)
    assert cost(space.check(subnet)) <= budget
    layers = sum(stack.num_layers for stack in space.stacks)
    assert len(calls) <= 7 + layers + 2 * layers * 5 + 4 * 5  # bounded: one step at a time in each dimension
    with pytest.raises(UserError, match="budget: neither the smallest"):
        space.sample(random.Random(seed), lambda s: False)
