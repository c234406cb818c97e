"""The recipe on a cluster, on real speech: two workers on two hosts, then Slurm jobs, with stand-ins for ssh and sbatch on this machine."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.append(str(Path(__file__).parent))
from test_an4 import kaldi_directories  # noqa: E402
from test_backends import SBATCH, script  # noqa: E402

# ssh HOST COMMAND: what a remote shell does with the words of the command.
SSH = '#!/usr/bin/env bash\necho "$1" >>"$(dirname "$0")/hosts"\nshift\nexec bash -c "$*"\n'


@pytest.fixture(scope="module")
def work(an4_dir, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("cluster")
    kaldi_directories(an4_dir, folder / "kaldi")
    (folder / "bin").mkdir()
    script(folder / "bin", "ssh", SSH)
    script(folder / "bin", "sbatch", SBATCH)
    (folder / "train.yaml").write_text(f"base: {ROOT}/conf/train_an4.yaml\nbatch_size: 5\nmax_epoch: 2\n")
    return folder


def recipe(work: Path, first: int, last: int, **variables: str) -> subprocess.CompletedProcess:
    options = "--corpus custom --nbpe 40 --nj 1 --average 2 --stage".split()
    folders = ["--data_dir", work / "kaldi", "--expdir", work / "exp", "--dumpdir", work / "dump"]
    command = [ROOT / "egs2/librispeech_todm/run.sh", *options, first, "--stop_stage", last, *folders]
    command += ["--asr_config", work / "train.yaml", "--sizes", "2x32 4x128"]
    path = f"{work / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "OMP_NUM_THREADS": "1"} | variables
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_hosts_train_together_and_jobs_decode(work):
    recipe(work, 1, 5, cmd_backend="ssh", train_hosts="one,two")
    assert sorted((work / "bin" / "hosts").read_text().split()) == ["one", "two"]  # both start at once
    cost = json.loads((work / "exp/supernet/cost.json").read_text())
    assert cost["workers"] == 2 and cost["updates"] == 2
    recipe(work, 6, 10, cmd_backend="slurm")
    asked = (work / "bin" / "asked").read_text().splitlines()
    assert sum("--array 1-2 " in line for line in asked) == 2  # words, then losses
    sizes = json.loads((work / "exp/sizes.json").read_text())["sizes"]
    assert [size["name"] for size in sizes] == ["4x128", "2x32"]
    assert sizes[0]["subnet"] == "0-3x128"
    # The experiment as the tables read it.
    (work / "root" / "seed0").mkdir(parents=True)
    (work / "root/seed0/supernet").symlink_to(work / "exp")
    (work / "conf" / "individual").mkdir(parents=True)
    for name in ("4x128", "2x32"):
        (work / "conf/individual" / f"{name}.yaml").touch()
    command = [sys.executable, "-m", "espnet_plugin.recipe.tables", "--conf", work / "conf", "--root", work / "root"]
    done = subprocess.run(
        [*map(str, command), "--test_sets", "test", "--resamples", "50"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    wer = json.loads((work / "exp/sizes/2x32/score/test/score.json").read_text())["wer"]
    line = next(line for line in done.stdout.splitlines() if line.startswith("| test | 2x32"))
    assert f"| {wer:.2f} [" in line and "missing" in line


def test_torchrun_starts_the_workers(work):
    """The training of the recipe's stage 5, as the README of the recipe has it started by torchrun."""
    dump, out = work / "dump", work / "torchrun"
    options = ["--config", work / "train.yaml", "--output_dir", out, "--max_epoch", 1]
    options += ["--token_type", "bpe", "--token_list", dump / "token_list/bpe_unigram40/tokens.txt"]
    options += ["--bpemodel", dump / "token_list/bpe_unigram40/bpe.model"]
    for phase in ("train", "valid"):
        for file, kind in (("wav.scp", "speech,sound"), ("text", "text,text")):
            options += [f"--{phase}_data_path_and_name_and_type", f"{dump}/raw/{phase}/{file},{kind}"]
        options += [f"--{phase}_shape_file", next(dump.glob(f"stats/*/{phase}/speech_shape"))]
    folder = Path(sys.executable).parent
    command = [folder / "torchrun", "--nproc_per_node", 2, "--no-python", folder / "espnet-todm", "train", *options]
    command += ["--multiprocessing_distributed", "false", "--dist_backend", "gloo"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    cost = json.loads((out / "cost.json").read_text())
    assert cost["workers"] == 2 and cost["updates"] == 1
