"""icefall's exporters, as far as they call the encoder: traced, written by torch's own exporter, run by ONNX Runtime."""

import numpy as np
import onnxruntime
import pytest
import torch

from espnet_plugin.errors import UserError
from espnet_plugin.icefall.stream import CHUNK


def encoder_at(subnet, *given):
    from train import get_model, get_params

    torch.manual_seed(0)
    params = get_params("--subnet", subnet, *given)
    return get_model(params).eval().requires_grad_(False)


class Offline(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.embed, self.encoder, self.proj = model.encoder_embed, model.encoder, model.joiner.encoder_proj

    def forward(self, x, x_lens):
        x, x_lens = self.embed(x, x_lens)
        out, lengths = self.encoder(x.permute(1, 0, 2), x_lens, torch.zeros(1))
        return self.proj(out.permute(1, 0, 2)), lengths


class Streaming(Offline):
    def forward(self, x, states):
        x, x_lens, embed = self.embed.streaming_forward(x, torch.tensor([2 * CHUNK + 13]), states[-2])
        assert x.shape[1] == self.encoder.chunk_size[0]
        out, _, new = self.encoder.streaming_forward(x=x.permute(1, 0, 2), x_lens=x_lens, states=states[:-2])
        return self.proj(out.permute(1, 0, 2)), [*new, embed, states[-1] + x_lens]


def session(path):
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("subnet", ["max", "min"])
def test_a_traced_encoder_computes_the_same(subnet, tmp_path):
    model = encoder_at(subnet, "--todm-model-dims", "8,16")
    x, lengths = torch.randn(1, 300, 80), torch.tensor([300])
    traced = torch.jit.trace(Offline(model), (x, lengths))
    names = dict(input_names=["x", "x_lens"], output_names=["out", "out_lens"])
    axes = {"x": {0: "N", 1: "T"}, "x_lens": {0: "N"}, "out": {0: "N", 1: "T"}, "out_lens": {0: "N"}}
    torch.onnx.export(
        traced, (x, lengths), tmp_path / "m.onnx", dynamo=False, opset_version=13, dynamic_axes=axes, **names
    )
    x, lengths = torch.randn(2, 217, 80), torch.tensor([217, 150])
    found, out_lengths = session(tmp_path / "m.onnx").run(None, {"x": x.numpy(), "x_lens": lengths.numpy()})
    expected, expected_lengths = model.forward_encoder(x, lengths)
    np.testing.assert_array_equal(out_lengths, expected_lengths)
    for row, length in enumerate(expected_lengths):
        wanted = model.joiner.encoder_proj(expected)[row, :length]
        np.testing.assert_allclose(found[row, :length], wanted, rtol=1e-4, atol=1e-5)


def test_a_stream_computes_the_same_as_the_whole(tmp_path):
    model = encoder_at("min", "--todm-directions", "forward")
    stream = Streaming(model)
    size = 2 * CHUNK + 13  # frames that icefall's exporter feeds
    states = [*model.encoder.get_init_states(), model.encoder_embed.get_init_states(), torch.zeros(1, dtype=torch.long)]
    assert [state.shape[1] for state in states[:3]] == [1] * 3 and states[0].shape[2] == model.encoder.query_head_dim[0]
    inputs = [f"s{i}" for i in range(len(states))]
    names = dict(input_names=["x", *inputs], output_names=["out", *(f"new_{name}" for name in inputs)])
    torch.onnx.export(
        stream, (torch.randn(1, size, 80), states), tmp_path / "m.onnx", dynamo=False, opset_version=13, **names
    )
    run = session(tmp_path / "m.onnx")
    assert [value.name for value in run.get_inputs()] == names["input_names"]
    x = torch.randn(1, 6 * 2 * CHUNK + 13, 80)
    found, state = [], dict(zip(inputs, (value.numpy() for value in states)))
    for first in range(0, x.shape[1] - size + 1, 2 * CHUNK):
        out, *new = run.run(None, {"x": x[:, first : first + size].numpy(), **state})
        found.append(out)
        state = dict(zip(inputs, new))
    expected, _ = model.forward_encoder(x, torch.tensor([x.shape[1]]))
    found = np.concatenate(found, axis=1)
    np.testing.assert_allclose(found, model.joiner.encoder_proj(expected)[:, : found.shape[1]], rtol=1e-4, atol=1e-5)


def test_what_cannot_stream_says_so():
    with pytest.raises(UserError, match="cannot stream"):
        encoder_at("max").encoder.get_init_states()
    with pytest.raises(UserError, match="eval"):
        torch.jit.trace(Offline(encoder_at("max").train()), (torch.randn(1, 60, 80), torch.tensor([60])))
