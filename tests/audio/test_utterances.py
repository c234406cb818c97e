"""A Kaldi directory as it came, without formatting."""

import numpy as np
import pytest
import soundfile

from espnet_plugin.audio.mono import MonoAudio
from espnet_plugin.audio.utterances import open_utterances, read_utterances
from espnet_plugin.errors import UserError

FS = 16000


def write(folder, **tables):
    folder.mkdir(exist_ok=True)
    for name, lines in tables.items():
        (folder / name.replace("_", ".")).write_text(lines)
    return folder


def read(folder):
    recordings, segments, lost = read_utterances(folder)
    opened = open_utterances(recordings, segments, FS)
    found = {key: str(audio) if isinstance(audio, UserError) else audio.samples() for key, audio in opened}
    return found, lost


def test_segments_channels_pipes_and_bad_files(tmp_path):
    wave = np.random.default_rng(0).uniform(-0.5, 0.5, (FS, 2)).astype(np.float32)
    soundfile.write(tmp_path / "r.wav", wave, FS, subtype="FLOAT")
    scp = f"r0 cat {tmp_path}/r.wav |\nr1 {tmp_path}/none.wav\nr2 {tmp_path}/r.wav\n"
    segments = "a r0 0.5 0.75\nb r0 0.0 0.25 1\nc r1 0 1\nd r2 0.5 -1 A\ne r3 0 1\nf r0 0.9 9\n"
    found, lost = read(write(tmp_path / "d", wav_scp=scp, segments=segments))
    np.testing.assert_allclose(found["a"], wave[8000:12000].mean(axis=1), atol=1e-7)
    np.testing.assert_array_equal(found["b"], wave[:4000, 1])
    np.testing.assert_array_equal(found["d"], wave[8000:, 0])
    assert list(found) == ["b", "a", "f", "c", "d"]  # those of a recording one after the other
    assert "does not exist" in found["c"] and "is not in it" in found["f"]
    assert lost == {"e": "no recording 'r3' in wav.scp"}


def test_without_segments_recordings_are_utterances(tmp_path):
    soundfile.write(tmp_path / "r.wav", np.linspace(-1, 1, 100), FS)
    folder = write(tmp_path / "d", wav_scp=f"r0 {tmp_path}/r.wav\n")
    ((key, audio),) = open_utterances(*read_utterances(folder)[:2], FS)
    assert key == "r0" and isinstance(audio, MonoAudio)


def test_two_of_a_name_are_refused(tmp_path):
    folder = write(tmp_path / "d", wav_scp="r0 a.wav\nr0 b.wav\n")
    with pytest.raises(UserError, match="line 2: key 'r0' stands twice"):
        read_utterances(folder)
