"""The chunked state space model against the Fourier transform and the recurrence of ssm.py."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet_plugin.encoder.mhssm.chunks import Carried, ChunkedSSM, carry, split_chunks
from espnet_plugin.encoder.mhssm.ssm import MultiHeadSSM


def test_one_mode_by_hand():
    """One channel, pole -1, dt = ln 2: exp(z) = 1/2, readout 2 Re C (exp(z) - 1) / A = 2 * 1 * 1/2 = 1; skip 0."""
    ssm = MultiHeadSSM(1, 1, 1, bidirectional=False)
    with torch.no_grad():
        ssm.dynamics.log_dt.fill_(torch.log(torch.log(torch.tensor(2.0))))
        ssm.dynamics.log_decay.zero_(), ssm.dynamics.frequency.zero_(), ssm.readout.skip.zero_()
        ssm.readout.output.copy_(torch.tensor([1.0, 0.0]))
    y = ChunkedSSM(ssm, 2)(torch.tensor([[[1.0], [0.0], [4.0], [0.0], [0.0]]]))
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
        torch.testing.assert_close(ChunkedSSM(ssm, chunk)(u), ssm(u, ssm.spectrum(length)), atol=2e-5, rtol=1e-4)


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
    turn = torch.tensor([[0.0, 1.0], [-1.0, 0.0]]).reshape(1, 1, 2, 2)  # i as a matrix on (real, imaginary)
    added = torch.tensor([[1.0, 0.0], [0.0, 2.0], [5.0, 5.0]]).reshape(1, 1, 3, 1, 2)
    assert carry(added, turn, False).reshape(3, 2).tolist() == [[0, 0], [1, 0], [0, 3]]  # 1 i + 2 i = 3 i
    assert carry(added, turn, True).reshape(3, 2).tolist() == [[-5, 7], [5, 5], [0, 0]]  # (5 + 5 i) i + 2 i = -5 + 7 i


@pytest.mark.parametrize("length, chunks", [(1, 1), (4, 1), (5, 2)])
def test_chunks_are_filled_with_zeros(length, chunks):
    assert split_chunks(torch.ones(2, length, 3), 4).shape == (2, chunks, 4, 3)
    assert split_chunks(torch.ones(2, length, 3), 4).sum() == 2 * length * 3
