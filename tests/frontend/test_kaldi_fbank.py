import kaldi_native_fbank
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet_plugin.errors import UserError
from espnet_plugin.frontend.kaldi_fbank import KaldiFbank


def reference(wave, fs=16000):
    """What sherpa-onnx computes."""
    options = kaldi_native_fbank.FbankOptions()
    options.frame_opts.samp_freq = fs
    options.frame_opts.dither = 0
    options.frame_opts.snip_edges = False
    options.mel_opts.num_bins = 80
    options.mel_opts.low_freq = 20
    options.mel_opts.high_freq = -400
    computer = kaldi_native_fbank.OnlineFbank(options)
    computer.accept_waveform(fs, wave.tolist())
    computer.input_finished()
    return torch.stack([torch.from_numpy(computer.get_frame(i).copy()) for i in range(computer.num_frames_ready)])


def test_equals_kaldi_native_fbank_on_real_speech(an4_wavs):
    frontend = KaldiFbank()
    waves = [torch.from_numpy(soundfile.read(path, dtype="float32")[0]) for path in an4_wavs]
    lengths = torch.tensor([len(wave) for wave in waves])
    feats, frames = frontend(torch.nn.utils.rnn.pad_sequence(waves, batch_first=True), lengths)
    for row, wave in enumerate(waves):
        expected = reference(wave)
        assert len(expected) == frames[row]
        assert (feats[row, : frames[row]] - expected).abs().max() < 1e-3
        assert feats[row, frames[row] :].abs().sum() == 0


@pytest.mark.parametrize("fs", [8000, 11025, 22050, 44100, 48000])
def test_equals_kaldi_native_fbank_at_other_rates(an4_wavs, fs):
    wave = torch.from_numpy(soundfile.read(an4_wavs[0], dtype="float32")[0])  # read as if it were recorded at that rate
    feats, frames = KaldiFbank(fs)(wave[None], torch.tensor([len(wave)]))
    expected = reference(wave, fs)
    assert len(expected) == frames[0]
    assert (feats[0] - expected).abs().max() < 1e-3


@pytest.mark.parametrize("size", [80, 95, 106, 239, 240, 399])
def test_shorter_than_a_window_is_reflected_again_and_again(an4_wavs, size):
    wave = torch.from_numpy(soundfile.read(an4_wavs[0], dtype="float32")[0])[5000 : 5000 + size]
    feats, frames = KaldiFbank()(wave[None], torch.tensor([size]))
    expected = reference(wave)
    assert len(expected) == frames[0] == (size + 80) // 160
    assert (feats[0] - expected).abs().max() < 1e-3


def test_under_half_a_shift_there_is_no_frame():
    feats, frames = KaldiFbank()(torch.randn(3, 200), torch.tensor([79, 0, 200]))
    assert frames.tolist() == [0, 0, 1] and feats.isfinite().all() and feats[:2].abs().sum() == 0


@given(st.lists(st.integers(1, 6000), min_size=1, max_size=4), st.sampled_from([8000, 16000]))
@settings(deadline=None, max_examples=25)
def test_features_do_not_depend_on_the_batch(sizes, fs):
    frontend = KaldiFbank(fs)
    waves = [0.1 * torch.randn(size) for size in sizes]
    batch = torch.full((len(sizes), max(sizes)), 9.0)  # padding that would show
    for row, wave in enumerate(waves):
        batch[row, : len(wave)] = wave
    together, frames = frontend(batch, torch.tensor(sizes))
    for row, wave in enumerate(waves):
        alone, count = frontend(wave[None], torch.tensor([len(wave)]))
        assert frames[row] == count == (len(wave) + fs // 200) // (fs // 100)
        torch.testing.assert_close(together[row, : frames[row]], alone[0, :count], atol=1e-4, rtol=1e-5)


def test_constants_are_no_weights():
    frontend = KaldiFbank()
    assert not list(frontend.parameters()) and not frontend.state_dict()


def test_rate_as_espnet_writes_it():
    assert (
        KaldiFbank("16k").fs == 16000 and KaldiFbank("44.1k").fs == 44100 and KaldiFbank(n_mels=40).output_size() == 40
    )
    for bad in (1000, "16 kHz", "", "nan", "inf", None, -16000):
        with pytest.raises(UserError, match=r"frontend_conf\.fs"):
            KaldiFbank(bad)
    with pytest.raises(UserError, match=r"frontend_conf\.n_mels: 0"):
        KaldiFbank(n_mels=0)
