from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml
from espnet2.train.dataset import kaldi_loader

from espnet_plugin.common.tables import read_table, write_speakers, write_table
from espnet_plugin.frontend.kaldi_fbank import KaldiFbank


@pytest.fixture
def data(tmp_path, an4_wavs) -> Path:
    """Three utterances of real speech, in a folder with a blank in its name."""
    folder = tmp_path / "three utterances"
    folder.mkdir()
    keys = [f"u{i}" for i in range(3)]
    for key, wav in zip(keys, an4_wavs):
        soundfile.write(folder / f"{key}.flac", *soundfile.read(wav))
    write_table(folder / "wav.scp", {key: folder / f"{key}.flac" for key in keys})
    write_table(folder / "text", dict.fromkeys(keys, "HELLO"))
    write_speakers(folder, {key: key for key in keys})
    return folder


def config(tmp_path: Path, **conf) -> Path:
    path = tmp_path / "train.yaml"
    path.write_text(yaml.safe_dump(dict(frontend="kaldi_fbank", frontend_conf=dict(fs="16k", n_mels=40)) | conf))
    return path


def test_espnet_reads_what_the_frontend_gives_a_padded_batch(tmp_path, data, run_script):
    out = tmp_path / "fbank"
    done = run_script("dump_features", "--config", config(tmp_path), "--data", data, "--out", out)
    assert done.returncode == 0, done.stderr
    read = kaldi_loader(str(out / "feats.scp"))
    waves = [torch.from_numpy(soundfile.read(data / f"{key}.flac", dtype="float32")[0]) for key in read]
    lengths = torch.tensor([len(wave) for wave in waves])
    feats, frames = KaldiFbank(n_mels=40)(torch.nn.utils.rnn.pad_sequence(waves, batch_first=True), lengths)
    for i, key in enumerate(read):
        assert read[key].dtype == np.float32
        np.testing.assert_allclose(read[key], feats[i, : frames[i]], rtol=0, atol=1e-4)
    assert read_table(out / "utt2num_frames") == {key: str(int(n)) for key, n in zip(read, frames)}
    for name in ("text", "utt2spk", "spk2utt"):
        assert (out / name).read_bytes() == (data / name).read_bytes()


def test_mistakes_are_told_in_a_sentence(tmp_path, data, refused):
    right = config(tmp_path)
    assert "'no'" in refused("dump_features", "--config", "no", "--data", data, "--out", tmp_path / "out")
    assert "wav.scp' does not exist" in refused(
        "dump_features", "--config", right, "--data", tmp_path, "--out", tmp_path / "out"
    )
    assert "must be another folder" in refused("dump_features", "--config", right, "--data", data, "--out", data)
    wrong = config(tmp_path, frontend="fbanks")
    assert "frontend: 'fbanks' in" in refused(
        "dump_features", "--config", wrong, "--data", data, "--out", tmp_path / "out"
    )
    wrong = config(tmp_path, frontend_conf=dict(n_mel=40))
    told = refused("dump_features", "--config", wrong, "--data", data, "--out", tmp_path / "out")
    assert "frontend_conf.n_mel: unknown key" in told and "n_mels" in told
    (data / "u1.flac").unlink()
    told = refused("dump_features", "--config", config(tmp_path), "--data", data, "--out", tmp_path / "out")
    assert "u1.flac' does not exist" in told and not (tmp_path / "out").exists()
