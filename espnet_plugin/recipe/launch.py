"""Where commands run: on this machine, as Slurm jobs, or training on several hosts, as ``cmd.sh`` says."""

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from espnet_plugin.errors import UserError


def own_program(name: str, words: list[str]) -> None:
    """Run a program of the recipe in this process. Args: name: of its module; words: its options."""
    import_module(f"espnet_plugin.recipe.{name}").main(words)


def verb(name: str, words: list[str]) -> None:
    """Run a verb of ``espnet-todm`` in this process, which keeps its progress on the terminal."""
    with contextlib.redirect_stderr(io.StringIO()):  # ESPnet tells there what optional parts it lacks
        module = import_module(f"espnet_plugin.bin.{name}")
    module.main(words)


def ended(process: subprocess.Popen, watch: Callable[[], None] | None = None) -> int:
    """Exit status of a process, when it has ended. An error here, as by a signal, gives it ten seconds to end by itself.

    Args:
        watch: is called twice a second meanwhile.
    """
    try:
        while True:
            try:
                return process.wait(timeout=None if watch is None else 0.5)
            except subprocess.TimeoutExpired:
                if watch is not None:
                    watch()
    except BaseException:
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
        raise


def call(command: list[str], one_thread: bool = False, watch: Callable[[], None] | None = None, **where) -> None:
    """Run a command that tells its own failure; its exit status then is that of this process.

    The command inherits the lock of the experiment, so that it is held as long as anything works there.
    """
    environment = os.environ | {"OMP_NUM_THREADS": "1"} if one_thread else None
    status = ended(subprocess.Popen(command, env=environment, close_fds=False, **where), watch)
    if status:
        raise SystemExit(status if status > 0 else 128 - status)


@dataclass(frozen=True)
class Machines:
    """What ``cmd.sh`` sets.

    Args:
        backend: local, slurm or ssh.
        train_cmd, decode_cmd: programs that take a log and a command.
        hosts: for ssh, names with a comma between them.
        num_nodes, ngpu: for training.
    """

    backend: str
    train_cmd: str
    decode_cmd: str
    hosts: str
    num_nodes: int
    ngpu: int

    @classmethod
    def from_environment(cls, num_nodes: int, ngpu: int) -> "Machines":
        """Raises: UserError: several nodes without Slurm."""
        of = os.environ.get
        found = cls(
            of("cmd_backend", "local"),
            of("train_cmd", "local/run_local.sh"),
            of("decode_cmd", "local/run_local.sh"),
            of("train_hosts", ""),
            num_nodes,
            ngpu,
        )
        if num_nodes > 1 and found.backend != "slurm":
            raise UserError(
                f"--num_nodes '{num_nodes}' needs cmd_backend slurm in cmd.sh (with ssh, train_hosts names the nodes)"
            )
        return found

    def check_gpus(self) -> None:
        """Refuse more GPUs than this machine has, where training runs on it. Raises `UserError`."""
        if self.ngpu == 0 or self.backend != "local":
            return
        counting = "import torch; print(torch.cuda.device_count())"
        done = subprocess.run([sys.executable, "-c", counting], capture_output=True, text=True)
        there = int(done.stdout.split()[-1]) if done.returncode == 0 and done.stdout.split() else 0
        if self.ngpu > there:
            raise UserError(f"--ngpu '{self.ngpu}' is more than the {there} GPUs that torch finds on this machine")

    def train(self, log: Path, command: list[str]) -> None:
        """Run a command of preparation or training here or as a job."""
        call([self.train_cmd, str(log), *command])

    def decode(self, log: Path, command: list[str], jobs: int = 0) -> None:
        """Run a command here or as a job, with one thread a process.

        Args:
            jobs: of an array, as Slurm has them; the word JOB in `log` and `command` then stands for the number of the job. 0 for none.
        """
        array = [f"JOB=1:{jobs}"] if jobs else []
        call([self.decode_cmd, *array, str(log), *command], one_thread=True)

    def launch(self, log: Path, init_files: Path, command: list[str], watch: Callable[[], None]) -> None:
        """Train on one GPU or none here, on several, on several nodes, or on hosts, through ESPnet's launcher.

        Args:
            log: of the training.
            init_files: prefix of the files by which workers find each other.
            watch: is called twice a second meanwhile.

        Raises:
            UserError: the reason that the log tells, where ESPnet's launcher is between.
        """
        if not self.hosts and self.num_nodes == 1 and self.ngpu <= 1:
            gpu = ["--gpu", str(self.ngpu)] if self.backend == "slurm" else []
            return call([self.train_cmd, *gpu, str(log), *command], watch=watch)
        where = ["--host", self.hosts] if self.hosts else ["--cmd", self.train_cmd, "--num_nodes", str(self.num_nodes)]
        launcher = [sys.executable, "-m", "espnet2.bin.launch", *where, "--ngpu", str(self.ngpu), "--log", str(log)]
        launcher += ["--init_file_prefix", str(init_files), "--", *command]
        said = log.with_name("launch.log")
        try:
            with said.open("w") as file:
                call(launcher, watch=watch, stdout=file, stderr=subprocess.STDOUT)
        except SystemExit as end:
            if end.code in (129, 130, 143):
                raise
            raise UserError(failure(log, said)) from end


def failure(log: Path, launcher_log: Path) -> str:
    """Why a training failed: the last error in its log, or in that of the launcher."""
    for path in (log, launcher_log):
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
        errors = [line.removeprefix("error: ") for line in lines if line.startswith("error:")]
        if errors:
            return f"{errors[-1].removesuffix(f' (log: {log})')} (log: {log})"
    return f"a worker failed (logs: {', '.join(str(path) for path in (log, launcher_log) if path.is_file())})"


def show_lines(log: Path, mark: str) -> None:
    """Print the lines of a log that hold a text."""
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        if mark in line:
            print(line, flush=True)
