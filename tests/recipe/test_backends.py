"""Where commands run: Slurm jobs and arrays through a stand-in for sbatch, hosts through a stand-in for ssh."""

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "egs2" / "librispeech_todm"
# Runs what it is given as sbatch --wait would: each task of an array, the last failure as its status.
SBATCH = """#!/usr/bin/env bash
echo "$@" >>"$(dirname "$0")/asked"
last=1 output=
while [ $# -gt 1 ]; do
    case $1 in
    --array) last=${2#1-} ;;
    --output) output=$2 ;;
    esac
    shift
done
jobs=() status=0
for task in $(seq 1 "$last"); do
    SLURM_ARRAY_TASK_ID=$task bash "$1" >"${output//%a/$task}" 2>&1 &
    jobs+=($!)
done
for job in "${jobs[@]}"; do wait "$job" || status=$?; done
exit $status
"""


def environment(folder: Path, **variables: str) -> dict:
    path = f"{folder}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    return os.environ | {"PATH": path, "OMP_NUM_THREADS": "1"} | variables


def script(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)
    (folder / name).chmod(stat.S_IRWXU)


@pytest.fixture
def cluster(tmp_path) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    script(folder, "sbatch", SBATCH)
    return folder


def slurm(cluster: Path, *words: object, **variables: str) -> subprocess.CompletedProcess:
    command = [ROOT / "local" / "slurm.pl", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, env=environment(cluster, **variables))


def test_a_job_runs_with_the_options_of_its_kind(cluster, tmp_path):
    options = dict(SLURM_OPTIONS="--partition all --mem 8G", SLURM_GPU_OPTIONS="--constraint big")
    done = slurm(
        cluster,
        "--gpu",
        4,
        "--num_threads",
        2,
        "--num_nodes",
        3,
        tmp_path / "a.log",
        "printf",
        "%s|",
        "a b",
        "$x",
        **options,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "a.log").read_text() == "a b|$x|"
    asked = (cluster / "asked").read_text()
    for words in (
        "--nodes 3",
        "--cpus-per-task 2",
        "--gpus-per-node 4",
        "--constraint big",
        "--partition all --mem 8G",
    ):
        assert words in asked
    assert slurm(cluster, tmp_path / "b.log", "true").returncode == 0
    assert "--gpus" not in (cluster / "asked").read_text().splitlines()[1]
    assert not list(tmp_path.glob(".*.sh"))


def test_an_array_numbers_its_jobs_and_names_what_failed(cluster, tmp_path):
    pick = 'echo "${@:JOB:1}"'
    done = slurm(
        cluster, "JOB=1:3", tmp_path / "log/d.JOB.log", "bash", "-c", pick, "name", "one", "two words", "three"
    )
    assert done.returncode == 0, done.stderr
    assert [(tmp_path / f"log/d.{n}.log").read_text() for n in (1, 2, 3)] == ["one\n", "two words\n", "three\n"]
    failing = slurm(cluster, "JOB=1:2", tmp_path / "f.JOB.log", "bash", "-c", "echo error: job JOB; exit $((JOB - 1))")
    assert failing.returncode == 1
    assert failing.stderr == f"error: job 2 (log: {tmp_path}/f.JOB.log)\n"
    assert "'--fast' is not one of" in slurm(cluster, "--fast", 1, tmp_path / "c.log", "true").stderr


def test_a_job_ends_with_who_waits_for_it(cluster, tmp_path):
    script(cluster, "sbatch", "#!/usr/bin/env bash\necho '42;cluster'\nexec sleep 60\n")
    script(cluster, "scancel", f'#!/usr/bin/env bash\necho "$@" >{tmp_path}/cancelled\n')
    command = [ROOT / "local" / "slurm.pl", tmp_path / "a.log", "true"]
    waiting = subprocess.Popen(command, env=environment(cluster), start_new_session=True)
    while not any(path.read_text() for path in tmp_path.glob(".*.id")):
        assert waiting.poll() is None
        time.sleep(0.05)
    os.killpg(waiting.pid, signal.SIGTERM)  # as the recipe stops a stage
    assert waiting.wait(20) == 143
    assert (tmp_path / "cancelled").read_text() == "42\n" and not list(tmp_path.glob(".a.log*"))


def test_commands_that_ask_for_gpus_run_here_too(tmp_path):
    """As ESPnet's launcher calls the program for several GPUs of one machine."""
    command = [ROOT / "local" / "run_local.sh", "--gpu", "2", tmp_path / "a.log", "echo", "two words"]
    assert subprocess.run(command, cwd=tmp_path).returncode == 0
    assert "two words\n" in (tmp_path / "a.log").read_text() and [path.name for path in tmp_path.iterdir()] == ["a.log"]


def run(*options: object, **variables: str) -> subprocess.CompletedProcess:
    command = [RECIPE / "run.sh", *map(str, options)]
    return subprocess.run(command, capture_output=True, text=True, env=environment(ROOT, **variables))


@pytest.mark.parametrize(
    "options, variables, said",
    [
        ([], {"cmd_backend": "pbs"}, "cmd_backend 'pbs' in cmd.sh is not one of local, slurm, ssh"),
        ([], {"cmd_backend": "ssh"}, "cmd_backend 'ssh' needs train_hosts"),
        (["--num_nodes", "2"], {}, "--num_nodes '2' needs cmd_backend slurm"),
        (["--num_nodes", "none"], {}, "--num_nodes 'none' must be a whole number from 1"),
        (["--full_libri", "half"], {}, "--full_libri 'half' must be true or false"),
    ],
)
def test_wrong_backends_end_in_one_sentence(options, variables, said):
    done = run(*options, **variables)
    assert done.returncode == 1 and said in done.stderr and done.stderr.count("\n") == 1


def test_missing_parts_of_librispeech_are_listed(tmp_path):
    part = tmp_path / "LibriSpeech" / "dev-clean" / "1" / "2"
    part.mkdir(parents=True)
    (part / "1-2.trans.txt").write_text("1-2-0000 A\n")
    work = ["--corpus", "librispeech", "--dumpdir", tmp_path / "dump", "--expdir", tmp_path / "exp", "--stop_stage", 1]
    done = run(*work, LIBRISPEECH=str(tmp_path))
    assert done.returncode == 1
    for missing in ("train-clean-100", "train-clean-360", "train-other-500", "dev-clean", "test-other"):
        assert missing in done.stderr
    done = run(*work, "--full_libri", "false", LIBRISPEECH=str(tmp_path))
    assert "train-clean-100" in done.stderr and "train-clean-360" not in done.stderr


def test_tables_are_made_of_runs_that_it_names(tmp_path):
    command = [RECIPE / "tables.sh", "--dry_run", "true", "--seeds", "0 1", "--", "--nj", "3"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(ROOT))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    individual = sorted(path.stem for path in (ROOT / "conf/mini/individual").glob("*.yaml"))
    assert (
        len(lines) == 2 * (1 + len(individual)) + 1 + 4
    )  # two seeds, then the ablation with its last line, the supernet
    assert all(line.startswith("./run.sh") and line.endswith("--nj 3 ") for line in lines)
    for name in individual:
        assert sum(f"seed1/individual/{name} " in line and f"--sizes {name} " in line for line in lines) == 1
    fewer = "--sizes|6x512 3x64|--seeds|2|--ablation||--train_args|--max_epoch 4".split("|")
    done = subprocess.run([*command[:3], *fewer], capture_output=True, text=True, env=environment(ROOT))
    supernet, large, small = done.stdout.splitlines()
    assert "seed2/supernet " in supernet and "--sizes 6x512\\ 3x64 " in supernet
    assert all("--train_args --seed\\ 2\\ --max_epoch\\ 4 " in line for line in (supernet, large, small))
    started = [*command[:3], *fewer, "--init_from", "DIR"]
    done = subprocess.run(started, capture_output=True, text=True, env=environment(ROOT))
    supernet, large, small = done.stdout.splitlines()
    assert all("--init_from DIR " in line for line in (supernet, large, small))
    assert "--init_subnet" not in supernet and "--init_subnet 6x512 " in large and "--init_subnet 3x64 " in small


@pytest.mark.parametrize(
    "wrong, said",
    [
        (["--scale", "huge"], "--scale 'huge': 'conf/huge/individual' does not exist"),
        (["--sizes", "9x9"], "--sizes: 'conf/mini/individual/9x9.yaml' does not exist"),
        (["--ablation", "none"], "--ablation: 'conf/mini/ablation/none.yaml' does not exist"),
        (["--seeds", "one"], "--seeds: 'one' must be a whole number"),
        (["--seeds", "0 0"], "--seeds '0 0' has '0' twice"),
        (["--init_from", "DIR"], "--init_from: lines of the ablation are not adapted from a model"),
        (["--seeds", ""], "--seeds '' must name at least one"),
        (["--", "--expdir", "DIR"], "option '--expdir' after -- is one that tables.sh itself gives run.sh"),
        (["--only_tables", "true", "--root", "{tmp}/none"], "none' does not exist"),
        (["--only_tables", "true", "--root", "{tmp}"], "holds no seedN/RUN, so it is none of tables.sh"),
    ],
)
def test_wrong_options_of_tables_end_in_one_sentence(tmp_path, wrong, said):
    wrong = [word.format(tmp=tmp_path) for word in wrong]
    refused = subprocess.run([RECIPE / "tables.sh", *wrong], capture_output=True, text=True, env=environment(ROOT))
    assert refused.returncode == 1 and refused.stdout == "" and not list(tmp_path.iterdir())
    assert refused.stderr.startswith("error: ") and said in refused.stderr and refused.stderr.count("\n") == 1
