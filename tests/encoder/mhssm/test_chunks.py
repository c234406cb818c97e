"""The chunked state space model against the Fourier transform and the recurrence of ssm.py."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet_plugin.deploy.check import Runtime
from espnet_plugin.deploy.onnx_file import to_onnx
from espnet_plugin.encoder.mhssm.chunks import Carried, Carry, ChunkedSSM, fill_chunks
from espnet_plugin.encoder.mhssm.ssm import MultiHeadSSM


def test_one_mode_by_hand():
    """One channel, pole -1, dt = ln 2: exp(z) = 1/2, readout 2 Re C (exp(z) - 1) / A = 2 * 1 * 1/2 = 1; skip 0."""
    ssm = MultiHeadSSM(1, 1, 1, bidirectional=False)
    with torch.no_grad():
        ssm.dynamics.log_dt.fill_(torch.log(torch.log(torch.tensor(2.0))))
        ssm.dynamics.log_decay.zero_(), ssm.dynamics.frequency.zero_(), ssm.readout.skip.zero_()
        ssm.readout.output.copy_(torch.tensor([1.0, 0.0]))
    y = ChunkedSSM(ssm, 2)(torch.tensor([[[1.0], [0.0], [4.0], [0.0], [0.0], [0.0]]]))[:, :5]
    torch.testing.assert_close(y.flatten(), torch.tensor([1.0, 0.5, 4.25, 2.125, 1.0625]))


@settings(deadline=None, max_examples=30)
@given(
    length=st.integers(1, 40),
    chunk=st.sampled_from([1, 2, 5, 8]),
    batch=st.integers(1, 3),
    bidirectional=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_equals_the_convolution_at_any_length(length, chunk, batch, bidirectional, seed):
    torch.manual_seed(seed)
    ssm = MultiHeadSSM(6, 2, 3, bidirectional)
    u = torch.randn(batch, length, 6)
    with torch.no_grad():
        found = ChunkedSSM(ssm, chunk)(fill_chunks(u, chunk))[:, :length]
        torch.testing.assert_close(found, ssm(u, ssm.spectrum(length)), atol=2e-5, rtol=1e-4)


def test_a_stream_of_chunks_equals_frame_by_frame():
    torch.manual_seed(0)
    ssm = MultiHeadSSM(6, 2, 3, bidirectional=False)
    chunked = ChunkedSSM(ssm, 4)
    u, state, expected, found = torch.randn(2, 12, 6), None, [], []
    carried = Carried(torch.zeros(2, chunked.state_size))
    with torch.no_grad():
        for t in range(12):
            y, state = ssm.step(u[:, t], state)
            expected.append(y)
        for part in u.split(4, dim=1):
            found.append(chunked(part, carried))
    torch.testing.assert_close(torch.cat(found, 1), torch.stack(expected, 1), atol=1e-5, rtol=1e-5)
    packed = torch.cat([state.real, state.imag], dim=-1).flatten(1)
    torch.testing.assert_close(carried.packed, packed, atol=1e-5, rtol=1e-5)


def test_carry_by_hand():
    turn = torch.tensor([[0.0, 1.0], [-1.0, 0.0]]).expand(
        1, 2, 2, 2
    )  # i as a matrix on (real, imaginary), for both directions
    added = torch.tensor([[1.0, 0.0], [0.0, 2.0], [5.0, 5.0]]).reshape(1, 1, 1, 3, 2)
    forward, backward = Carry.apply(turn, added, added)
    assert forward.reshape(3, 2).tolist() == [[0, 0], [1, 0], [0, 3]]  # 1 i + 2 i = 3 i
    assert backward.reshape(3, 2).tolist() == [[-5, 7], [5, 5], [0, 0]]  # (5 + 5 i) i + 2 i = -5 + 7 i


class Alone(torch.nn.Module):
    def __init__(self, ssm, chunk):
        super().__init__()
        self.ssm, self.chunk = ChunkedSSM(ssm, chunk), chunk

    def forward(self, u):
        return self.ssm(fill_chunks(u, self.chunk))[:, : u.shape[1]]


@pytest.mark.parametrize("bidirectional", [True, False])
def test_the_runtime_computes_the_convolution(bidirectional):
    """As a graph, whose recurrence is a Scan, at lengths and batch sizes other than the example's."""
    torch.manual_seed(0)
    ssm = MultiHeadSSM(8, 2, 3, bidirectional)
    axes = {"u": ["N", "T", None], "y": ["N", "T", None]}
    graph = to_onnx(Alone(ssm, 4), {"u": torch.randn(2, 12, 8)}, ["y"], axes)
    assert [node.op_type for node in graph.graph.node].count("Scan") == 1
    assert {opset.domain for opset in graph.opset_import} == {""}
    runtime = Runtime(graph)
    for batch, length in ((2, 12), (1, 1), (3, 4), (1, 37)):
        u = torch.randn(batch, length, 8)
        with torch.no_grad():
            torch.testing.assert_close(runtime(u)[0], ssm(u, ssm.spectrum(length)), atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("length, frames", [(1, 4), (4, 4), (5, 8)])
def test_chunks_are_filled_with_zeros(length, frames):
    assert fill_chunks(torch.ones(2, length, 3), 4).shape == (2, frames, 3)
    assert fill_chunks(torch.ones(2, length, 3), 4).sum() == 2 * length * 3
