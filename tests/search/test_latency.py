import random

import pytest

from espnet_plugin.encoder.mhssm.cost import EncoderShape
from espnet_plugin.encoder.mhssm.timing import MHSSMBlocks
from espnet_plugin.errors import UserError
from espnet_plugin.search.blocks import ModelBlocks
from espnet_plugin.search.costs import Costs
from espnet_plugin.search.latency import LatencyTable
from espnet_plugin.search.timing import blocks, make_table, medians
from espnet_plugin.supernet.configured import search_space
from espnet_plugin.supernet.dimensions import FFN

UNNAMED = dict(input_size=80, stem_dim=8, head_dim=4, num_modes=2, vocabulary=7, context=2)
FIXED = dict(dim=8, heads=4, prediction=6, joiner=5, directions=2, **UNNAMED)
TIMES = {
    "stem d8": 1.0,
    "mixer d8 h4 bidirectional": 10.0,
    "feed-forward d8 x2": 100.0,
    "feed-forward d8 x3": 200.0,
    "silent d8 p6 j5": 1000.0,
    "emitting d8 p6 j5": 3000.0,
}


def table(**changes):
    parts = dict(
        device={"cores": 2}, runtime="none", audio="utterance", audio_seconds=4.0, symbols_per_second=10.0, fixed=FIXED
    )
    return LatencyTable(**parts | {"times": {1: TIMES}} | changes)


class Blocks(ModelBlocks):
    """Of a supernet of these sizes, without the supernet."""

    def __init__(self):
        self.encoder = MHSSMBlocks(EncoderShape(80, 8, 8, 4, 4, 2, 2))
        self.frame_rate = 25


SIZES = dict(num_heads=4, d_model=8, bidirectional=True)
SPACE = search_space(3, dict(depths=[1, 2, 3], ffn_dims=[2, 3, 9]), [FFN], SIZES).completed(prediction=6, joiner=5)


def test_a_prediction_by_hand():
    subnet = SPACE.parse("0x2_2x3")
    # 10 symbols a second on 25 frames: 0.6 of the silent search, 0.4 of the emitting one.
    expected = 1 + 2 * 10 + 100 + 200 + 0.6 * 1000 + 0.4 * 3000
    assert table().latency(Blocks(), subnet) == pytest.approx(expected)
    assert table().real_time_factor(Blocks(), subnet) == pytest.approx(expected / 4)


def test_a_table_is_read_as_it_was_written(tmp_path):
    (tmp_path / "t.json").write_text(table().to_json())
    assert LatencyTable.read(tmp_path / "t.json") == table()


def test_what_was_not_timed_is_told(tmp_path):
    with pytest.raises(UserError, match=r"--threads: 4 was not timed on this device, only \[1\]"):
        table().latency(Blocks(), SPACE.parse("0x2"), threads=4)
    with pytest.raises(UserError, match="block 'feed-forward d8 x9' of subnet '0x9' was not timed"):
        table().latency(Blocks(), SPACE.parse("0x9"))
    with pytest.raises(UserError, match="does not exist, make it on the device"):
        LatencyTable.read(tmp_path / "none.json")
    for wrong in (b"{}", b"[1]", b"no json", b"\xe9"):
        (tmp_path / "wrong.json").write_bytes(wrong)
        with pytest.raises(UserError, match=r"wrong.json'.* is not what 'espnet-todm latency' writes"):
            LatencyTable.read(tmp_path / "wrong.json")


@pytest.mark.parametrize(
    "before, after, said",
    [
        (
            '"version": 3',
            '"version": 2',
            "version: 2 must be 3, which notes the supernet's shapes: make the table again",
        ),
        ('"num_modes": 2', '"num_modes": 2.5', "fixed.num_modes: 2.5 must be an integer"),
        ('"symbols_per_second": 10.0', '"symbols_per_second": "x"', "table.symbols_per_second: 'x' must be a number"),
        ('"symbols_per_second": 10.0', '"symbols_per_second": Infinity', "is not JSON: Infinity is no number of JSON"),
        ('"audio_seconds": 4.0', '"audio_seconds": 0', "audio_seconds: 0 must be finite and above 0"),
        ('"stem d8": 1.0', '"stem d8": NaN', "is not JSON: NaN is no number of JSON"),
        ('"stem d8": 1.0', '"stem d8": -1.0', "times.1.stem d8: -1.0 must be"),
        ('"stem d8": 1.0', '"stem d8": "1"', "times.1.stem d8: '1' must be"),
        ('"stem d8": 1.0', '"stem d8": null', "times.1.stem d8: None must be"),
        ('"1": {', '"one": {', "times: must hold for each number of threads"),
        ('"times"', '"time"', "times: must hold for each number of threads"),
    ],
)
def test_an_impossible_value_of_a_table_is_told(before, after, said, tmp_path):
    text = table().to_json()
    assert before in text
    (tmp_path / "wrong.json").write_text(text.replace(before, after))
    with pytest.raises(UserError) as error:
        LatencyTable.read(tmp_path / "wrong.json")
    assert f"--device: '{tmp_path}/wrong.json': {said}" in str(error.value)


def test_a_table_of_another_supernet_is_refused(loaded):
    model, _ = loaded
    sizes = ModelBlocks(model).sizes
    Costs(model, table=table(fixed=sizes))
    for name, size in sizes.items():
        with pytest.raises(UserError, match=f"the table is of a supernet with {name} .*, this one has {size}: make"):
            Costs(model, table=table(fixed=sizes | {name: size + 1}))
        with pytest.raises(UserError, match=f"of a supernet with {name} not noted, this one has {size}: make"):
            Costs(model, table=table(fixed={key: value for key, value in sizes.items() if key != name}))
    with pytest.raises(UserError, match="of a supernet with bits 8, this one has no such size"):
        Costs(model, table=table(fixed=sizes | {"bits": 8}))


def test_a_table_has_every_block_of_the_space(loaded):
    model, _ = loaded
    made = make_table(model, 16000, 0.5, [1], rounds=1, symbols_per_second=10.0)
    rng, space = random.Random(0), model.search_space
    for subnet in (space.max, space.min, *(space.sample(rng) for _ in range(20))):
        assert made.latency(ModelBlocks(model), subnet) > 0
    assert set(made.times[1]) == {name for name, _ in blocks(model, 16000, 0.5)}
    used = {block for _ in range(500) for block, _ in ModelBlocks(model).weighted(space.sample(rng), 0.5)}
    assert used == set(made.times[1])  # and no other


def test_every_run_has_its_turn():
    turns = []
    runs = {key: lambda key=key: turns.append(key) for key in "abc"}
    assert set(medians(runs, 1, 4, "test")) == set("abc")
    assert sorted(turns) == sorted("abc" * 5)  # one round to warm up
    assert all(sorted(turns[i : i + 3]) == ["a", "b", "c"] for i in range(0, 15, 3))
