import numpy as np
import pytest
import soundfile
import soxr

from espnet_plugin.asr.inference.data import batches, read_audio
from espnet_plugin.errors import UserError


def test_audio_is_mono_and_resampled_as_in_training(tmp_path):
    wave = 0.1 * np.random.default_rng(0).standard_normal(8000)
    soundfile.write(tmp_path / "a.wav", wave, 8000, subtype="FLOAT")
    np.testing.assert_allclose(read_audio(tmp_path / "a.wav", 16000), soxr.resample(wave, 8000, 16000), atol=1e-5)
    soundfile.write(tmp_path / "b.wav", np.stack([wave, -wave], 1), 16000, subtype="FLOAT")
    assert np.abs(read_audio(tmp_path / "b.wav", 16000)).max() < 1e-6


def test_unusable_audio_is_named(tmp_path):
    (tmp_path / "text.wav").write_text("no audio")
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 16000)
    soundfile.write(tmp_path / "one.wav", np.zeros(1), 48000)
    for name, value in (("nan.wav", np.nan), ("inf.wav", np.inf)):
        soundfile.write(tmp_path / name, np.array([0.1, value]), 16000, subtype="FLOAT")
    for name, said in (
        ("none.wav", "does not exist"),
        ("text.wav", "is not audio"),
        ("empty.wav", "has no samples"),
        ("one.wav", "has no samples at 16000 Hz"),
        ("nan.wav", "has samples that are infinite or no numbers"),
        ("inf.wav", "has samples that are infinite or no numbers"),
    ):
        with pytest.raises(UserError, match=f"{name}' {said}"):
            read_audio(tmp_path / name, 16000)


def test_batches_hold_every_utterance_once(tmp_path):
    paths = {}
    for i in range(9):
        paths[f"u{i}"] = tmp_path / f"{i}.wav"
        soundfile.write(paths[f"u{i}"], np.full(1600 * (i + 1), 0.25), 16000)
    found = list(batches(paths, 16000, batch_seconds=2.0))
    assert sorted(key for batch in found for key in batch.keys) == sorted(paths)
    for batch in found:
        assert batch.speech.numel() <= 2 * 16000
        for key, wave, length in zip(batch.keys, batch.speech, batch.lengths):
            assert length == 1600 * (int(key[1:]) + 1)
            assert (wave[:length] == 0.25).all() and (wave[length:] == 0).all()
