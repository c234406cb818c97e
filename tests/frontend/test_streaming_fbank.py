import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet_plugin.frontend.kaldi_fbank import KaldiFbank
from espnet_plugin.frontend.streaming import StreamingFbank


def in_chunks(frontend, wave, size):
    fbank = StreamingFbank(frontend)
    return torch.cat([*(fbank.feed(part) for part in wave.split(size)), fbank.finish()])


@given(st.integers(80, 5000), st.integers(1, 3000), st.sampled_from([8000, 16000]))
@settings(max_examples=30)
def test_pieces_of_any_size_equal_the_whole(samples, size, fs):
    frontend = KaldiFbank(fs=fs, n_mels=8)
    wave = 0.1 * torch.randn(samples, generator=torch.Generator().manual_seed(samples))
    feats, lengths = frontend(wave[None], torch.tensor([samples]))
    found = in_chunks(frontend, wave, max(size, samples // 50))
    torch.testing.assert_close(found, feats[0, : int(lengths)], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("samples", [0, 79])
def test_too_little_audio_has_no_frame(samples):
    assert StreamingFbank(KaldiFbank()).feed(torch.zeros(samples)).shape == (0, 80)
    fbank = StreamingFbank(KaldiFbank())
    fbank.feed(torch.zeros(samples))
    assert fbank.finish().shape[0] == 0


def test_a_frame_comes_with_its_last_sample():
    fbank = StreamingFbank(KaldiFbank())
    assert len(fbank.feed(torch.randn(279))) == 0  # frame 0 ends 280 samples into the signal
    assert len(fbank.feed(torch.randn(1))) == 1
    assert len(fbank.feed(torch.randn(160))) == 1
