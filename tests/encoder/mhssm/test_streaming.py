import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet_plugin.encoder.mhssm.encoder import MHSSMEncoder
from espnet_plugin.encoder.mhssm.supernet import MHSSMSupernetEncoder
from espnet_plugin.errors import UserError


def build(**conf):
    torch.manual_seed(0)
    sizes = dict(d_model=8, num_heads=4, num_modes=3, ffn_dims=[8, 8], dt_max=0.5, bidirectional=False)
    return MHSSMEncoder(5, **sizes | conf).eval()


@torch.no_grad()
def in_chunks(encoder, x, chunks):
    stream, parts = encoder.on_stream(), []
    state = stream.start()
    for part in x.split(chunks, dim=1):
        y, state = stream.advance(part, state)
        parts.append(y)
    return torch.cat(parts, 1), state


@given(st.lists(st.integers(1, 30), min_size=1, max_size=12), st.integers(1, 3))
@settings(max_examples=40)
def test_chunks_of_any_size_equal_the_whole(chunks, batch):
    encoder, frames = build(), max(sum(chunks), 7)
    x = torch.randn(batch, frames, 5)
    chunks[-1] += frames - sum(chunks)
    expected, _, _ = encoder(x, torch.full((batch,), frames))
    found, _ = in_chunks(encoder, x, chunks)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("frames", [1, 32])
def test_a_minute_of_audio_equals_the_convolution_form(frames):
    """6,000 frames, one at a time and in chunks of 320 ms, within 1e-4; the state has one size at all times."""
    encoder = build(d_model=32, num_modes=16, dt_max=0.8, dt_min=1e-3)
    x = torch.randn(1, 6000, 5)
    expected, _, _ = encoder(x, torch.tensor([6000]))
    found, state = in_chunks(encoder, x, frames)
    assert found.shape == expected.shape and (found - expected).abs().max() < 1e-4
    assert state.frames.shape[1] < 7
    assert [s.shape for s in state.layers] == [(1, 4, 16, 16)] * 2


def test_models_that_need_the_future_are_refused():
    with pytest.raises(UserError, match="bidirectional and needs the whole audio"):
        build(bidirectional=True).on_stream()
    with pytest.raises(UserError, match="extract a size"):
        MHSSMSupernetEncoder(5, d_model=8, num_heads=4, search_space=dict(ffn_dims=[8])).on_stream()
    build().on_stream()
