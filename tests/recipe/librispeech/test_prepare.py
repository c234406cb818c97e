import numpy as np
import pytest
import soundfile
from lhotse import load_manifest
from lhotse.recipes import prepare_librispeech

from espnet_plugin.common.tables import read_table


@pytest.fixture
def corpus(tmp_path):
    """Two parts with two utterances each, made by hand."""
    for part, speaker in (("train-clean-100", 19), ("dev-clean", 84)):
        folder = tmp_path / "LibriSpeech" / part / str(speaker) / "198"
        folder.mkdir(parents=True)
        lines = []
        for n, words in enumerate(("TURN ON THE LIGHTS", "GOOD MORNING")):
            name = f"{speaker}-198-{n:04d}"
            soundfile.write(folder / f"{name}.flac", 0.1 * np.sin(np.arange(16000 + n) / 20), 16000)
            lines.append(f"{name} {words}\n")
        (folder / f"{speaker}-198.trans.txt").write_text("".join(lines))
    return tmp_path / "LibriSpeech"


def test_data_directories_hold_what_lhotse_reads(corpus, tmp_path, run_script):
    sets = ["both=train-clean-100+dev-clean", "dev-clean"]
    done = run_script("librispeech.prepare", "--corpus", corpus, "--sets", *sets, "--out", tmp_path / "data")
    assert done.returncode == 0, done.stderr
    manifests = prepare_librispeech(corpus, dataset_parts=["train-clean-100", "dev-clean"])
    expected = {s.id: s for part in manifests.values() for s in part["supervisions"]}
    text, wavs, utt2spk = (read_table(tmp_path / "data" / "both" / name) for name in ("text", "wav.scp", "utt2spk"))
    assert text == {key: s.text for key, s in expected.items()}
    assert utt2spk == {key: s.speaker for key, s in expected.items()}
    assert {key: soundfile.info(path).duration for key, path in wavs.items()} == {
        k: s.duration for k, s in expected.items()
    }
    stored = [load_manifest(tmp_path / f"data/both/{name}.jsonl.gz") for name in ("recordings", "supervisions")]
    assert {s.id: s for s in stored[1]} == expected and {r.id: r.sources[0].source for r in stored[0]} == wavs
    assert (
        tmp_path / "data/dev-clean/text"
    ).read_text() == "84-198-0000 TURN ON THE LIGHTS\n84-198-0001 GOOD MORNING\n"
    assert (tmp_path / "data/dev-clean/spk2utt").read_text() == "84 84-198-0000 84-198-0001\n"


def test_unusable_utterances_are_listed_and_left_out(corpus, tmp_path, run_script, refused):
    folder = corpus / "dev-clean" / "84" / "198"
    (folder / "84-198-0000.flac").write_bytes(b"not audio")
    with (folder / "84-198.trans.txt").open("a") as lines:
        lines.write("84-198-0002\n84-198-0003 GONE\n")
    options = ["--corpus", corpus, "--sets", "dev-clean", "--out", tmp_path / "data"]
    done = run_script("librispeech.prepare", *options)
    assert done.returncode == 0, done.stderr
    assert "1 utterances" in done.stdout and "3 left out" in done.stdout
    rejected = dict(line.split("\t") for line in (tmp_path / "data/dev-clean/rejected.txt").read_text().splitlines())
    assert rejected["84-198-0000"].startswith("not readable as audio")
    assert rejected["84-198-0002"] == "empty transcript" and rejected["84-198-0003"] == "no such file"
    # The next stage's list has them too.
    done = run_script("format_data", "--data", tmp_path / "data/dev-clean", "--out", tmp_path / "raw")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "raw/rejected.txt").read_text() == (tmp_path / "data/dev-clean/rejected.txt").read_text()
    (folder / "84-198-0001.flac").unlink()
    assert "no usable utterance" in refused("librispeech.prepare", *options)
    assert read_table(tmp_path / "data/dev-clean/text") == {"84-198-0001": "GOOD MORNING"}


def test_a_transcript_that_is_no_text_is_named(corpus, tmp_path, refused):
    file = corpus / "dev-clean" / "84" / "198" / "84-198.trans.txt"
    file.write_bytes("84-198-0000 CAFÉ\n".encode("latin-1"))
    options = ["--corpus", corpus, "--sets", "dev-clean", "--out", tmp_path / "data"]
    assert f"'{file}': byte 15 is not UTF-8 text" in refused("librispeech.prepare", *options)


def test_missing_parts_and_corpus_are_named(corpus, tmp_path, refused):
    options = ["--sets", "dev-clean", "test-clean", "test-other", "--out", tmp_path / "data"]
    sentence = refused("librispeech.prepare", "--corpus", corpus, *options)
    assert "lacks test-clean, test-other" in sentence and "dev-clean" not in sentence
    assert "does not exist" in refused("librispeech.prepare", "--corpus", tmp_path / "nowhere", *options)
    assert not (tmp_path / "data").exists()


def test_a_part_that_is_cut_down_is_refused_when_it_must_be_complete(corpus, tmp_path, run_script, refused):
    options = ["--corpus", corpus, "--sets", "dev-clean", "test-other", "--out", tmp_path / "data"]
    sentence = refused("librispeech.prepare", *options, "--complete")
    assert "lacks 2,701 of dev-clean's 2,703 utterances, test-other" in sentence
    (corpus / "dev-clean" / "84" / "198" / "84-198-0001.flac").unlink()
    sentence = refused("librispeech.prepare", *options, "--complete")
    assert "lacks 2,702 of dev-clean's 2,703 utterances" in sentence
    assert not (tmp_path / "data").exists()
