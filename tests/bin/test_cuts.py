from dataclasses import replace

import numpy as np
import pytest
import soundfile

from espnet_plugin.audio.utterances import read_utterances
from espnet_plugin.bin.cuts import kaldi_directory
from espnet_plugin.common.tables import Segment, read_table
from espnet_plugin.errors import UserError

lhotse = pytest.importorskip("lhotse")


@pytest.fixture
def cuts(tmp_path):
    for name in "ab":
        soundfile.write(tmp_path / f"{name}.wav", np.zeros(16000), 16000)
    recordings = [lhotse.Recording.from_file(tmp_path / f"{name}.wav") for name in "ab"]
    spoken = [
        lhotse.SupervisionSegment(id=f"s{r.id}", recording_id=r.id, start=0, duration=1, text="ONE TWO")
        for r in recordings
    ]
    return [
        lhotse.MonoCut(id=f"cut-{r.id}", start=0, duration=1, channel=0, recording=r, supervisions=[s])
        for r, s in zip(recordings, spoken)
    ]


def written(cuts, path):
    lhotse.CutSet.from_cuts(cuts).to_file(path)
    return path


@pytest.mark.parametrize("whole", [True, False])
def test_a_manifest_is_read_as_a_kaldi_directory(cuts, tmp_path, whole):
    folder = kaldi_directory(written(cuts, tmp_path / "dev_cuts.jsonl.gz"), whole)
    assert folder.name == "dev_cuts"
    assert read_table(folder / "text") == {"cut-a": "ONE TWO", "cut-b": "ONE TWO"}
    if whole:
        assert read_table(folder / "wav.scp") == {f"cut-{name}": str(tmp_path / f"{name}.wav") for name in "ab"}
    recordings, segments, lost = read_utterances(folder)
    assert set(segments) == {"cut-a", "cut-b"} and not lost and len(recordings) == 2


def test_a_piece_of_a_recording(cuts, tmp_path):
    path = written([cuts[0].truncate(offset=0.25, duration=0.5, preserve_id=True)], tmp_path / "cuts.jsonl")
    _, segments, _ = read_utterances(kaldi_directory(path))
    assert segments == {"cut-a": Segment("a", 0.25, 0.75)}
    with pytest.raises(UserError, match="'cut-a' is a piece"):
        kaldi_directory(path, whole=True)


def test_a_channel_of_several_is_a_piece(cuts, tmp_path):
    """A reader of whole recordings would take the mean of all."""
    soundfile.write(tmp_path / "two.wav", np.full((8000, 2), 0.1), 8000)
    recording = lhotse.Recording.from_file(tmp_path / "two.wav")
    one = replace(cuts[0], recording=recording)
    both = lhotse.MultiCut(id="both", start=0, duration=1, channel=[0, 1], recording=recording, supervisions=[])
    _, segments, _ = read_utterances(kaldi_directory(written([one], tmp_path / "one.jsonl")))
    assert segments["cut-a"].channel == 0
    with pytest.raises(UserError, match="'cut-a' is a piece"):
        kaldi_directory(tmp_path / "one.jsonl", whole=True)
    assert kaldi_directory(written([both], tmp_path / "both.jsonl"), whole=True).name == "both"


def test_what_is_no_file_as_it_is_is_refused(cuts, tmp_path):
    path = written([cuts[0].perturb_speed(1.1)], tmp_path / "cuts.jsonl.gz")
    with pytest.raises(UserError, match="without transforms"):
        kaldi_directory(path)
    other = tmp_path / "other.jsonl"
    other.write_text("no json\n")
    with pytest.raises(UserError, match="is not a manifest"):
        kaldi_directory(other)
    with pytest.raises(UserError, match="does not exist"):
        kaldi_directory(tmp_path / "none.jsonl.gz")
    assert kaldi_directory(tmp_path) == tmp_path


def renamed(cut, name, recording):
    return replace(cut, id=name, recording=replace(cut.recording, id=recording))


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(
    "first, second, said",
    [
        (
            ("a-utt", "001"),
            ("b-utt", "001"),
            "recording '001' is '.*a.wav' and '.*b.wav', each must have an id of its own",
        ),
        (("utt", "a"), ("utt", "b"), "cut 'utt' stands twice"),
        (("a b", "a"), ("utt", "b"), "id 'a b' of a cut must be a text without white space"),
        (("utt", "a b"), ("other", "b"), "id 'a b' of a recording must be"),
        (("", "a"), ("other", "b"), "id '' of a cut must be"),
        (("utt", "a\x00"), ("other", "b"), r"holds U\+0000"),
    ],
)
def test_ids_that_would_lose_audio_are_refused(cuts, tmp_path, whole, first, second, said):
    path = written([renamed(cut, *names) for cut, names in zip(cuts, (first, second))], tmp_path / "cuts.jsonl.gz")
    with pytest.raises(UserError, match=said) as error:
        kaldi_directory(path, whole)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_one_recording_of_several_cuts_and_a_text_of_several_lines(cuts, tmp_path):
    first = cuts[0].with_id("first")
    first.supervisions[0].text = "ONE\nTWO\t"
    folder = kaldi_directory(written([first, cuts[0].with_id("again")], tmp_path / "cuts.jsonl"))
    assert set(read_utterances(folder)[1]) == {"first", "again"}
    assert read_table(folder / "text")["first"] == "ONE TWO"


def test_a_file_name_of_two_lines_is_refused(cuts, tmp_path):
    cuts[0].recording.sources[0].source = "a\nb.wav"
    with pytest.raises(UserError, match="in one line"):
        kaldi_directory(written(cuts, tmp_path / "cuts.jsonl"))
