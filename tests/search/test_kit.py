"""Kits for devices: their graphs compute what the encoder does, and the device needs only numpy and ONNX Runtime."""

import json
import random
import subprocess
import sys

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from espnet_plugin.asr.inference.extract import extract
from espnet_plugin.bin import choose, latency
from espnet_plugin.deploy.check import Runtime
from espnet_plugin.deploy.graphs import encoder_parts
from espnet_plugin.deploy.onnx_file import to_onnx
from espnet_plugin.encoder.mhssm.encoder import MHSSM, FeedForward
from espnet_plugin.encoder.mhssm.export import STREAM_CHUNK
from espnet_plugin.encoder.mhssm.timing import FeedForwardBlock, Mixers, MixersOnStream, Residual
from espnet_plugin.errors import UserError
from espnet_plugin.search import target
from espnet_plugin.search.block_graphs import without_weights
from espnet_plugin.search.blocks import ModelBlocks
from espnet_plugin.search.latency import LatencyTable

CHECKS = 1  # exporting a whole subnet takes a second

# Refuses everything but what a device has.
ALONE = """
import runpy, sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "espnet", "espnet2", "espnet_plugin", "onnx", "tqdm", "scipy", "yaml"):
            raise ImportError(name + " is not on the device")
sys.meta_path.insert(0, Refuse())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module", params=["utterance", "chunk"])
def kit(request, supernet, tmp_path_factory):
    folder = tmp_path_factory.mktemp("kit") / "kit"
    more = ["--streaming", "--int8"] if request.param == "chunk" else ["--seconds", "0.6"]
    latency.main(["--train_config", str(supernet[0]), "--kit", str(folder), "--check", str(CHECKS), *more])
    return request.param, folder


def test_the_script_needs_only_what_a_device_has(kit, supernet, loaded, tmp_path):
    audio, folder = kit
    out = tmp_path / "device.json"
    command = [sys.executable, "-c", ALONE, str(folder / target.SCRIPT), "--rounds", "1", "--out", str(out)]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env={"PATH": ""})
    assert ran.returncode == 0, ran.stderr
    assert (folder / "check_0.onnx").is_file()  # the text form of a subnet may be too long
    assert ran.stdout.count(" ms predicted ") == CHECKS and f"of {CHECKS} subnets" in ran.stdout
    table = LatencyTable.read(out)
    assert table.audio == audio and table.audio_seconds == {"utterance": 0.6, "chunk": 0.32}[audio]
    assert table.runtime.endswith(" int8") == (audio == "chunk") and table.device["processor"]
    space, blocks = loaded[0].search_space, ModelBlocks(loaded[0])
    space = space.only("forward") if audio == "chunk" else space
    rng = random.Random(1)

    def names(subnet):
        return {block for block, _ in blocks.weighted(subnet, 0.5)}

    used = {block for _ in range(500) for block in names(space.sample(rng))}
    assert used == set(table.times[1]) and all(time >= 0 for time in table.times[1].values())
    # Used elsewhere: the limit lies between the quickest and the slowest.
    most = (table.latency(blocks, space.max) + table.latency(blocks, space.min)) / 2
    config, checkpoint, data = map(str, supernet)
    options = ["--train_config", config, "--model_file", checkpoint, "--data", data, "--evaluations", "8"]
    options += ["--direction", "forward"] if audio == "chunk" else []
    options += ["--device", str(out), "--max-latency", f"{1e6 * most:.3f}us", "--out", str(tmp_path / "sizes.json")]
    choose.main(options)
    points = json.loads((tmp_path / "search.json").read_text())["points"]
    assert points and all(0 < point["latency"] <= 1.0001 * most for point in points)


def test_where_the_table_goes_is_looked_at_before_the_timing(tmp_path, monkeypatch):
    """A folder that is not there is made; a mistaken place is told in a sentence."""
    (tmp_path / "file").touch()
    timed = []
    monkeypatch.setattr(
        target, "time_kit", lambda *_: timed.append(1) or ({"times": {1: {}}, "device": {"processor": ""}}, {})
    )

    def run(out):
        monkeypatch.setattr(sys, "argv", [target.SCRIPT, "--out", str(out)])
        target.main()

    for out, said in (
        (tmp_path, "is a folder, must be the name of a file"),
        (tmp_path / "file" / "t.json", "cannot be"),
    ):
        with pytest.raises(SystemExit, match=f"^error: --out: '{out}' {said}"):
            run(out)
    assert not timed
    run(tmp_path / "tables" / "pi4.json")
    assert timed and [path.name for path in (tmp_path / "tables").iterdir()] == ["pi4.json"]


def test_a_block_is_what_three_copies_take_more_than_nothing(kit, loaded, monkeypatch, capsys):
    audio, folder = kit
    numbers = json.loads((folder / "kit.json").read_text())
    taken = {name: 0.004 if name.startswith("empty") else 0.1 for name in numbers["jobs"]}
    taken |= {f"check {check['subnet']}": 2.0 for check in numbers["checks"]}
    monkeypatch.setattr(target, "time_jobs", lambda *_: taken)
    content, errors = target.time_kit(folder, [1, 2], 1)
    way = {"utterance": "bidirectional", "chunk": "forward"}[audio]
    for times in content["times"].values():
        assert times[f"mixer d8 h2 {way}"] == times["feed-forward d4 x16"] == pytest.approx(0.032)
        assert times["stem d8"] == pytest.approx(0.1)
        assert times["silent d4 p8 j4"] == pytest.approx(0.1 + 0.1 - 0.004)
    first = numbers["checks"][0]
    layers = len(loaded.model.search_space.parse(first["subnet"]).layers)
    predicted = 0.1 + 2 * layers * 0.032 + 0.196
    table = LatencyTable.parse(content)
    assert table.latency(ModelBlocks(loaded[0]), loaded.model.search_space.parse(first["subnet"]), 2) == pytest.approx(
        predicted
    )
    assert f"{1e3 * predicted:9.2f} ms predicted   2000.00 ms measured" in capsys.readouterr().out
    assert errors.keys() == {1, 2} and 0 < errors[1] < 1


def test_the_streaming_of_a_bidirectional_supernet_is_refused(bidirectional, tmp_path):
    config = bidirectional[0]
    with pytest.raises(UserError, match="--streaming: every subnet of this supernet is bidirectional"):
        latency.main(["--train_config", str(config), "--kit", str(tmp_path / "kit"), "--streaming"])


@pytest.mark.parametrize(
    "wrong, said",
    [
        (["--out", "t.json", "--int8"], "--int8: needs --runtime onnxruntime or --kit"),
        (["--kit", "k", "--check", "0"], "--check: 0 must be from 1"),
        (["--out", "t.json", "--seconds", "0.05"], "--seconds: 0.05 must be at least 0.08"),
        (["--out", "t.json", "--seconds", "nan"], "--seconds: nan must be above 0"),
    ],
)
def test_contradictions_are_told(supernet, wrong, said):
    with pytest.raises(UserError, match=said):
        latency.main(["--train_config", str(supernet[0]), *wrong])


@pytest.mark.parametrize("bidirectional", [False, True])
def test_mixers_compute_what_layers_do(bidirectional):
    torch.manual_seed(0)
    layers = [Residual(8, MHSSM(8, 4, 4, num_modes=3, bidirectional=bidirectional)).eval() for _ in range(2)]
    x, mask = torch.randn(2, 70, 8), torch.ones(2, 70, 1)
    mask[1, 41:] = 0
    expected = x
    with torch.no_grad():
        for layer in layers:
            expected = layer(expected, mask, layer.block.ssm.spectrum(70))
        found = Mixers(layers)(x, mask)
    assert torch.allclose(found * mask, expected * mask, atol=1e-4)


def test_mixers_on_a_stream_compute_what_layers_do():
    torch.manual_seed(0)
    layers = [Residual(8, MHSSM(8, 4, 4, num_modes=3, bidirectional=False)).eval() for _ in range(2)]
    x, chunk = torch.randn(2, 4 * STREAM_CHUNK, 8), STREAM_CHUNK
    expected, found = x, []
    with torch.no_grad():
        for layer in layers:
            expected = layer(expected, torch.ones(2, x.shape[1], 1), layer.block.ssm.spectrum(x.shape[1]))
        stream = MixersOnStream(layers)
        c = torch.zeros(1, 2, sum(stream.state_sizes))
        for start in range(0, x.shape[1], chunk):
            y, c = stream(x[:, start : start + chunk], c)
            found.append(y)
    assert torch.allclose(torch.cat(found, 1), expected, atol=1e-4)


def test_ends_are_an_encoder_without_layers(loaded):
    model = loaded.model
    alone, _ = extract(loaded, model.search_space.min)
    x, lengths = torch.randn(2, 50, 80), torch.tensor([50, 31])
    with torch.no_grad():
        stem = alone.encoder.stem(x, lengths)
        expected = alone.encoder.norm_out(stem.x) * stem.mask
        assert torch.allclose(encoder_parts(alone).ends(False)(x, lengths), expected, atol=1e-5)


def test_weights_made_at_load_time_have_the_shapes_of_the_stored_ones():
    layers = torch.nn.Sequential(*(FeedForwardBlock(64, FeedForward(64, 96, 0.0)) for _ in range(2)))
    x = torch.randn(1, 5, 64)
    graph = to_onnx(layers, {"x": x}, ["y"], {"x": ["N", "T", None], "y": ["N", "T", None]})
    stored = onnx.ModelProto.FromString(graph.SerializeToString())
    light = without_weights(graph)
    assert light.ByteSize() < stored.ByteSize() / 10
    makers = [node for node in light.graph.node if node.op_type == "ConstantOfShape"]
    filled = {node.output[0]: numpy_helper.to_array(node.attribute[0].t)[0] for node in makers}
    made = 0
    for tensor in stored.graph.initializer:
        value = numpy_helper.to_array(tensor)
        if value.size >= 2048:
            made += 1
            tensor.CopyFrom(numpy_helper.from_array(np.full_like(value, filled[tensor.name]), tensor.name))
    assert made == len(set(filled.values())) == 4
    assert torch.equal(Runtime(light)(x)[0], Runtime(stored)(x)[0])


def test_emissions_are_spread_evenly():
    assert target.emissions(5, 0.4) == [False, False, True, False, True]
    assert target.emissions(3, 0.0) == [False] * 3 and target.emissions(3, 1.0) == [True] * 3


def test_a_search_asks_for_a_prediction_after_each_symbol():
    class Named:
        def __init__(self, name, shape=None):
            self.name, self.shape = name, shape

    class Session:
        def __init__(self, inputs, answer):
            self.inputs, self.answer, self.asked = inputs, answer, []

        def get_inputs(self):
            return self.inputs

        def run(self, _, feed):
            self.asked.append({key: value.copy() for key, value in feed.items()})
            return [self.answer(feed)]

    decoder = Session([Named("y", ["N", 2])], lambda feed: feed["y"].astype(np.float32))
    joiner = Session([Named("e"), Named("d")], lambda feed: np.eye(8)[feed["e"][:, 0].astype(int)])
    target.search(decoder, joiner, np.array([[3.0], [5.0], [7.0]]), [True, False, True])
    assert [call["y"].tolist() for call in decoder.asked] == [[[0, 0]], [[0, 3]], [[3, 7]]]
    assert [call["d"].tolist() for call in joiner.asked] == [[[0, 0]], [[0, 3]], [[0, 3]]]
