"""LibriSpeech's layout, cut down to two utterances a part, through the stages before training; and the plan of the training."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from espnet_plugin.recipe.librispeech.parts import PARTS

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def work(tmp_path_factory) -> Path:
    """Folder with LibriSpeech/ in it."""
    folder = tmp_path_factory.mktemp("librispeech")
    for speaker, part in enumerate(PARTS, 1):
        place = folder / "LibriSpeech" / part / str(speaker) / "1"
        place.mkdir(parents=True)
        lines = []
        for n, words in enumerate(("TURN ON THE LIGHTS", "GOOD MORNING")):
            name = f"{speaker}-1-{n:04d}"
            soundfile.write(place / f"{name}.flac", 0.1 * np.sin(np.arange(16000 + 100 * n) / 20), 16000)
            lines.append(f"{name} {words}\n")
        (place / f"{speaker}-1.trans.txt").write_text("".join(lines))
    return folder


def run(work: Path, *options: object, conf: Path | None = None) -> subprocess.CompletedProcess:
    """The recipe on that corpus, with a configuration of a small model."""
    command = [ROOT / "egs2/librispeech_todm/run.sh", "--corpus", "librispeech", "--complete", "false", "--nbpe", 24]
    command += ["--dumpdir", work / "dump", "--expdir", work / "exp", "--nj", 1, *options]
    environment = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "LIBRISPEECH": str(work)}
    environment |= {"OMP_NUM_THREADS": "1"}
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, env=os.environ | environment)


def test_stages_before_training_and_the_plan(work):
    (work / "small.yaml").write_text(
        f"base: {ROOT}/conf/train_an4.yaml\nbatch_type: numel\nbatch_bins: 100000\nmax_epoch: 2\nuse_amp: true\n"
    )
    done = run(work, "--asr_config", work / "small.yaml", "--stop_stage", 4)
    assert done.returncode == 0, done.stdout + done.stderr
    text = (work / "dump/raw/train-960/text").read_text().splitlines()
    assert len(text) == 3 * 3 * 2 and sum(line.startswith("sp0.9-") for line in text) == 6
    for name in ("dev-clean", "dev-other", "test-clean", "test-other"):
        assert len((work / "dump/raw" / name / "text").read_text().splitlines()) == 2
    plain = (work / "exp/train.yaml").read_text()
    assert "base:" not in plain and "batch_bins: 100000" in plain
    plan = run(work, "--asr_config", work / "small.yaml", "--dry_run", "true", "--ngpu", 2, "--utilisation", 0.3)
    assert plan.returncode == 0, plan.stderr
    row = next(line for line in plan.stdout.splitlines() if line.startswith("| supernet"))
    # 18 utterances of about 16,000 samples: a batch is closed by the one that exceeds the bins, the seventh.
    assert row.split("|")[3].strip() == "3" and "2 a100" in plan.stdout
    # Another seed, length or size has the same statistics.
    (work / "other.yaml").write_text("base: small.yaml\nbatch_bins: 90000\nencoder_conf: {dropout: 0.2}\n")
    other = ["--asr_config", work / "other.yaml", "--expdir", work / "other", "--train_args", "--seed 3 --max_epoch 1"]
    done = run(work, *other, "--stage", 4, "--stop_stage", 4)
    assert done.returncode == 0 and "stage 4, statistics: complete, skipped" in done.stdout, done.stderr
    assert len(list((work / "dump/stats").glob("train-960-bpe24-*"))) == 1
    # What was taken cut down once is not complete for that; and only the check is made again, not the data.
    done = run(work, *other, "--complete", "true", "--stop_stage", 2)
    assert done.returncode == 1 and "lacks" in done.stderr, done.stdout + done.stderr
    assert "stage 1, data again: complete false -> true" in done.stdout
    done = run(work, *other, "--stop_stage", 2)
    assert done.returncode == 0 and done.stdout.count("complete, skipped") == 5, done.stdout


def test_a_plan_needs_to_know_the_length_of_the_corpus(tmp_path):
    command = [ROOT / "egs2/librispeech_todm/run.sh", "--dry_run", "true", "--dumpdir", tmp_path, "--expdir", tmp_path]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PATH": path})
    assert done.returncode == 1 and done.stderr.startswith("error: --dry_run: corpus 'mini'")
