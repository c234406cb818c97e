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


@given(st.lists(st.integers(400, 6000), min_size=1, max_size=4), st.sampled_from([8000, 16000]))
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
        torch.testing.assert_close(together[row, : frames[row]], alone[0], atol=1e-4, rtol=1e-5)


def test_constants_are_no_weights():
    frontend = KaldiFbank()
    assert not list(frontend.parameters()) and not frontend.state_dict()


def test_rate_as_espnet_writes_it():
    assert KaldiFbank("16k").fs == 16000 and KaldiFbank(n_mels=40).output_size() == 40
    with pytest.raises(UserError, match=r"frontend_conf\.fs"):
        KaldiFbank(1000)
