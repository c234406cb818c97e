"""Utterances of another corpus among one's own training data, from tones made by hand."""

import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from espnet_plugin.common.tables import read_table
from espnet_plugin.errors import UserError

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
from mix_data import mix


def write_set(folder: Path, texts: dict[str, str], fs: int) -> None:
    folder.mkdir(parents=True)
    for key in texts:
        soundfile.write(folder / f"{key}.wav", 0.1 * np.sin(np.arange(fs)), fs)
    (folder / "wav.scp").write_text("".join(f"{key} {folder / key}.wav\n" for key in texts))
    (folder / "text").write_text("".join(f"{key} {text}\n" for key, text in texts.items()))


@pytest.fixture
def data(tmp_path) -> Path:
    write_set(tmp_path / "ours" / "train", {"a": "ONE TWO", "b": "TWO"}, 8000)
    write_set(tmp_path / "ours" / "test", {"c": "ONE"}, 8000)
    write_set(tmp_path / "more", {"x": "PLAY TRACK TWO", "y": "PLAY A SONG", "z": "ONE"}, 16000)
    return tmp_path


def test_utterances_with_our_words_come_at_our_rate(data):
    counts = mix(data / "ours", data / "more", data / "mixed")
    assert counts == {"ours": 2, "more": 2, "fs": 8000}
    train = data / "mixed" / "train"
    assert read_table(train / "text") == {"a": "ONE TWO", "b": "TWO", "x": "PLAY TRACK TWO", "z": "ONE"}
    assert read_table(train / "utt2spk") == {key: key for key in "abxz"}
    sources = read_table(train / "wav.scp")
    assert sources["a"] == str(data / "ours" / "train" / "a.wav")
    waves = {key: soundfile.read(sources[key]) for key in "xz"}
    assert {key: (len(wave), fs) for key, (wave, fs) in waves.items()} == {"x": (8000, 8000), "z": (8000, 8000)}
    assert read_table(data / "mixed" / "test" / "text") == {"c": "ONE"}
    assert sorted(path.name for path in (data / "mixed" / "audio").iterdir()) == ["x.flac", "z.flac"]


def test_commands_of_wav_scp_stay_as_they_are(data):
    command = f"cat {data}/ours/train/a.wav |"
    (data / "ours" / "train" / "wav.scp").write_text(f"a {command}\nb {data}/ours/train/b.wav\n")
    assert mix(data / "ours", data / "more", data / "mixed")["fs"] == 8000
    assert read_table(data / "mixed" / "train" / "wav.scp")["a"] == command


def test_who_is_not_named_is_a_speaker_of_its_own(data):
    (data / "more" / "utt2spk").write_text("x sam\n")
    mix(data / "ours", data / "more", data / "mixed")
    assert read_table(data / "mixed" / "train" / "utt2spk") == {"a": "a", "b": "b", "x": "sam", "z": "z"}


def test_recordings_in_the_output_are_not_replaced(data):
    """A folder `audio` marks what was made before, and may be that of one's own recordings."""
    (data / "ours" / "train").rename(data / "train")
    (data / "audio").mkdir()
    (data / "train" / "wav.scp").write_text("".join(f"{key} {data}/audio/{key}.wav\n" for key in "ab"))
    for key in "ab":
        (data / "train" / f"{key}.wav").rename(data / "audio" / f"{key}.wav")
    for out in (data, data / "audio"):
        with pytest.raises(UserError, match=r"is or holds the input|exists and is not replaced"):
            mix(data, data / "more", out)
    assert sorted(path.name for path in (data / "audio").iterdir()) == ["a.wav", "b.wav"]


def test_it_is_made_anew_but_takes_no_other_folder_s_place(data):
    mix(data / "ours", data / "more", data / "mixed")
    mix(data / "ours", data / "more", data / "mixed")
    with pytest.raises(UserError, match="is not replaced"):
        mix(data / "ours", data / "more", data / "ours")
    assert (data / "ours" / "train" / "a.wav").is_file()


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("x GO\n", "no transcript of .* has a word"),
        ("a TWO\n", "utterance 'a' is in --data_dir too"),
        ("lost ONE\n", "utterance 'lost' has no recording"),
    ],
)
def test_what_cannot_be_mixed_is_told(data, text, sentence):
    (data / "more" / "text").write_text(text)
    with pytest.raises(UserError, match=sentence):
        mix(data / "ours", data / "more", data / "mixed")
    assert not (data / "mixed").exists()
