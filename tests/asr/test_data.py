import numpy as np
import soundfile

from espnet_plugin.asr.inference import data
from espnet_plugin.asr.inference.data import batches


def test_batches_hold_every_utterance_once(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "POOL", 2)
    paths, ramp = {}, np.linspace(0.1, 0.9, 16000)
    for i in range(9):
        paths[f"u{i}"] = tmp_path / f"{i}.wav"
        soundfile.write(paths[f"u{i}"], ramp[: 1600 * (i + 1)], 16000, subtype="FLOAT")
    found = list(batches(paths, 16000, batch_seconds=2.0))
    assert sorted(key for batch in found for key in batch.keys) == sorted(paths)
    for batch in found:
        assert batch.speech.numel() <= 2 * 16000
        for key, wave, length in zip(batch.keys, batch.speech, batch.lengths):
            assert length == 1600 * (int(key[1:]) + 1)
            np.testing.assert_array_equal(wave[:length], ramp[:length].astype(np.float32))
            assert (wave[length:] == 0).all()
