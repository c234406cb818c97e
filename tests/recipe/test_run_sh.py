"""run.sh as a user meets it: options, refusals, and stages that were cut short. No stage here needs torch."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "egs2" / "librispeech_todm"


def run(*options) -> subprocess.CompletedProcess:
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    return subprocess.run([RECIPE / "run.sh", *map(str, options)], capture_output=True, text=True, env=environment)


@pytest.fixture
def corpus(tmp_path):
    """Kaldi directories with three tones a set."""
    for name in ("train", "valid", "test"):
        folder = tmp_path / "kaldi" / name
        folder.mkdir(parents=True)
        for i in range(3):
            soundfile.write(folder / f"{i}.wav", 0.1 * np.sin(np.arange(8000) * (i + 1) / 20), 8000)
        (folder / "wav.scp").write_text("".join(f"{name}{i} {folder}/{i}.wav\n" for i in range(3)))
        (folder / "text").write_text("".join(f"{name}{i} LOW HIGH TONE\n" for i in range(3)))
    return tmp_path


def stages(corpus, first, last, *options):
    work = [
        "--corpus",
        "custom",
        "--data_dir",
        corpus / "kaldi",
        "--dumpdir",
        corpus / "dump",
        "--expdir",
        corpus / "exp",
    ]
    return run(*work, "--nbpe", 20, "--nj", 1, "--stage", first, "--stop_stage", last, *options)


def test_help_lists_stages_and_options():
    done = run("--help")
    assert done.returncode == 0
    for word in (
        "--stage",
        "--stop_stage",
        "--nj",
        "--ngpu",
        "--nbpe",
        "--asr_config",
        "--expdir",
        "--dumpdir",
        "--train_set",
    ):
        assert word in done.stdout
    for number in range(1, 12):
        assert f"\n  {number:2}  " in done.stdout


@pytest.mark.parametrize(
    "options, said",
    [
        (["--corpse", "mini"], "option '--corpse' is unknown"),
        (["--corpus", "timit"], "--corpus 'timit' is not one of mini, custom, librispeech"),
        (["--stage", "two"], "--stage 'two' must be a positive number"),
        (["--nj"], "option '--nj' needs a value"),
        (["mini"], "argument 'mini' is not an option"),
        (["--corpus", "custom"], "--corpus custom needs --data_dir"),
        (["--asr_config", "conf/none.yaml"], "configuration 'conf/none.yaml' does not exist"),
        (["--redo", "maybe"], "--redo 'maybe' must be true or false"),
    ],
)
def test_wrong_options_end_in_one_sentence(options, said):
    done = run(*options)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("error: ") and said in done.stderr and done.stderr.count("\n") == 1


def test_streaming_needs_a_forward_direction_before_anything_is_made(tmp_path):
    for config, status in (("conf/train_mini.yaml", 1), ("conf/train_mini_elastic.yaml", 0)):
        places = ["--expdir", tmp_path / "exp", "--dumpdir", tmp_path / "dump", "--stage", 13, "--stop_stage", 13]
        done = run("--asr_config", config, "--streaming", "true", *places)
        assert done.returncode == status, done.stderr
        assert (
            "encoder_conf.search_space.directions in 'conf/train_mini.yaml' must name 'forward'" in done.stderr
        ) == status


def test_missing_data_is_named(corpus):
    (corpus / "kaldi" / "valid" / "text").unlink()
    done = stages(corpus, 1, 1)
    assert done.returncode == 1 and f"'{corpus}/kaldi/valid/text' does not exist" in done.stderr
    done = run("--corpus", "librispeech", "--dumpdir", corpus / "d", "--expdir", corpus / "e", "--stop_stage", 1)
    assert done.returncode == 1 and "LIBRISPEECH in db.sh" in done.stderr


def test_complete_stages_are_skipped_and_redone_on_request(corpus):
    done = stages(corpus, 1, 3)
    assert done.returncode == 0, done.stderr
    tokens = corpus / "dump" / "token_list" / "bpe_unigram20" / "tokens.txt"
    assert tokens.is_file() and soundfile.info(corpus / "dump/raw/train/audio/train0.flac").samplerate == 16000
    again = stages(corpus, 1, 3)
    assert again.stdout.count("complete, skipped") == 2 + 3  # formatting counts by set
    assert stages(corpus, 1, 3, "--redo", "true").stdout.count("done in") == 2 + 3
    text = corpus / "kaldi" / "test" / "text"
    text.write_text(text.read_text().replace("TONE", "TUNE"))
    edited = stages(corpus, 1, 2).stdout
    assert "stage 2, formatting test: done" in edited and "formatting train: complete" in edited
    assert "TUNE" in (corpus / "dump" / "raw" / "test" / "text").read_text()
    other = stages(corpus, 3, 3, "--nbpe", 21)
    assert "stage 3, bpe: done" in other.stdout and tokens.is_file()


def test_a_stage_that_was_cut_short_is_done_again(corpus):
    assert stages(corpus, 1, 2).returncode == 0
    (corpus / "dump" / "raw" / ".test.formatting.done").unlink()  # as after a kill: the set is there, the marker is not
    text = corpus / "dump" / "raw" / "test" / "text"
    text.write_text("test0 LOW")
    assert stages(corpus, 2, 2).returncode == 0
    assert len(text.read_text().splitlines()) == 3


def test_a_stage_that_fails_is_not_complete(corpus):
    for i in range(3):
        (corpus / "kaldi" / "test" / f"{i}.wav").write_bytes(b"")
    done = stages(corpus, 1, 3)
    assert done.returncode != 0 and "no usable utterance" in done.stderr and "Traceback" not in done.stderr
    assert not (corpus / "dump" / "raw" / ".test.formatting.done").exists() and "stage 3" not in done.stdout
