"""The program behind ``tables.sh``: a run of the recipe for each model of the paper's tables, then the tables."""

import fcntl
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from espnet_plugin.errors import UserError, run_main
from espnet_plugin.recipe.options import converted, option, option_lines, quoted, read_words

ABOUT = """\
usage: ./tables.sh [--option value] ... [-- OPTION OF run.sh ...]

Runs ./run.sh for the supernet, each individual model and each line of the ablation in conf/SCALE, in this order and seed by seed, each in
a folder of its own below --root; corpus, tokens and statistics are made once. What is complete is skipped, what was stopped
goes on. Started several times, also on machines that share the file system, it leaves to each other what another one is at.

options (default)"""


@dataclass(frozen=True)
class Plan:
    """What ``tables.sh`` takes."""

    scale: str = option("mini", "NAME", "a folder in conf/")
    corpus: str = option("", "NAME", "corpus of run.sh (mini for scale mini, otherwise librispeech)")
    seeds: tuple[str, ...] = option(("0", "1"), '"0 1"', "seeds of supernet and individual models")
    ablation_seeds: tuple[str, ...] = option(("0",), '"0"', "seeds of the ablation")
    sizes: tuple[str, ...] = option((), '"NAME ..."', "sizes of conf/SCALE/individual (all)")
    ablation: tuple[str, ...] = option(
        ("alpha", "kl", "dropout", "alone"), '"LINE ..."', 'lines of conf/SCALE/ablation, "" for none'
    )
    train_args: str = option(
        "", '"..."', 'options of espnet-todm train for every run alike, as "--max_epoch 4" for fewer updates'
    )
    supernet_args: str = option(
        "",
        '"..."',
        'more of them for the supernet alone, as "--max_epoch 12"; with --ablation "", whose last line it is',
    )
    test_sets: tuple[str, ...] = option(
        ("dev-clean", "dev-other", "test-clean", "test-other"), '"NAME ..."', "sets to decode"
    )
    init_from: str = option(
        "", "DIR", "begin from this supernet's directory, models trained alone from its subnet of their size"
    )
    root: str = option("", "DIR", "outputs (exp/tables_SCALE)")
    dumpdir: str = option("", "DIR", "data, shared by all runs (dump/CORPUS)")
    only_tables: bool = option(False, "true", "run nothing, write the tables of what is there")
    dry_run: bool = option(False, "true", "print the commands")

    def check(self, rest: list[str]) -> None:
        """Refuse what does not go together. Args: rest: options for run.sh. Raises `UserError`."""
        if not (self.conf / "individual").is_dir():
            raise UserError(f"--scale '{self.scale}': '{self.conf}/individual' does not exist")
        for name, seeds in (("seeds", self.seeds), ("ablation_seeds", self.ablation_seeds)):
            for seed in seeds:
                if not re.fullmatch(r"0|[1-9][0-9]{0,8}", seed):
                    raise UserError(f"--{name}: '{seed}' must be a whole number, without zeros in front")
        for kind, names in (("individual", self.sizes), ("ablation", self.ablation)):
            for name in names:
                file = self.conf / kind / f"{name}.yaml"
                if not file.is_file():
                    raise UserError(f"--{'sizes' if kind == 'individual' else kind}: '{file}' does not exist")
        if self.init_from and self.ablation:
            raise UserError('--init_from: lines of the ablation are not adapted from a model, give --ablation ""')
        if self.supernet_args and self.ablation:
            raise UserError('--supernet_args: lines of the ablation would be trained otherwise, give --ablation ""')
        own = {word.removeprefix("--") for command in self.commands([]) for word in command if word.startswith("--")}
        for word in rest:
            if word.startswith("--") and word[2:] in own:
                raise UserError(
                    f"option '{word}' after -- is one that tables.sh itself gives run.sh, see ./tables.sh --help"
                )

    @property
    def conf(self) -> Path:
        return Path("conf", self.scale)

    @property
    def all_sizes(self) -> list[str]:
        return list(self.sizes) or sorted(path.stem for path in (self.conf / "individual").glob("*.yaml"))

    @property
    def folder(self) -> Path:
        return Path(self.root or f"exp/tables_{self.scale}")

    @property
    def data_folder(self) -> Path:
        return Path(self.dumpdir or f"dump/{self.recipe_corpus}")

    @property
    def recipe_corpus(self) -> str:
        return self.corpus or ("mini" if self.scale == "mini" else "librispeech")

    def runs(self) -> Iterator[tuple[str, str, list[str]]]:
        """Seed, name and sizes of each run."""
        sizes = self.all_sizes
        for seed in self.seeds:
            yield seed, "supernet", sizes
            for size in sizes:
                yield seed, f"individual/{size}", [size]
        for seed in self.ablation_seeds if self.ablation else ():
            yield seed, "supernet", sizes
            for line in self.ablation:
                yield seed, f"ablation/{line}", sizes

    def command(self, config: str, folder: Path, train_args: str, last: int, sizes: list[str] | None) -> list[str]:
        """A run of the recipe."""
        words = ["./run.sh", "--corpus", self.recipe_corpus, "--asr_config", f"{self.conf}/{config}.yaml"]
        words += ["--expdir", str(folder), "--dumpdir", str(self.data_folder), "--train_args", train_args]
        words += [] if sizes is None else ["--sizes", " ".join(sizes)]
        words += ["--init_from", self.init_from] if self.init_from else []
        return [*words, "--test_sets", " ".join(self.test_sets), "--stop_stage", str(last)]

    def run_command(self, seed: str, name: str, sizes: list[str]) -> list[str]:
        more = self.supernet_args if name == "supernet" else ""
        args = " ".join(part for part in (f"--seed {seed}", self.train_args, more) if part)
        words = self.command(name, self.run_folder(seed, name), args, 11, sizes)
        alone = self.init_from and name.startswith("individual/")
        return [*words, "--init_subnet", *sizes] if alone else words

    def run_folder(self, seed: str, name: str) -> Path:
        return self.folder / f"seed{seed}" / name

    def data_command(self) -> list[str]:
        return self.command("supernet", self.folder / "data", self.train_args, 4, None)

    def commands(self, rest: list[str]) -> list[list[str]]:
        return [[*self.run_command(*run), *rest] for run in self.runs()]


def lock_of(path: Path, wait: bool):
    """An open file that holds a lock, which processes started with `close_fds` false inherit; None where another one has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        file.close()
        return None
    os.set_inheritable(file.fileno(), True)
    return file


def call(command: list[str]) -> None:
    """Run a command that tells its own failure; a signal is passed on, and ends this program when the command has ended."""
    process: subprocess.Popen | None = None
    received: list[int] = []
    waiting: list[int] = []  # not passed on yet

    def pass_on() -> None:  # each once, whatever interrupts what; nothing waits here: `wait` below holds a lock
        while process is not None and waiting:
            process.send_signal(waiting.pop(0))

    def stop(number: int, _frame) -> None:
        received.append(number)
        waiting.append(number)
        pass_on()

    numbers = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
    heard = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, stop) for number in heard}
    process = subprocess.Popen(command, close_fds=False)
    pass_on()  # what came while it was started
    status = process.wait()
    for number, handler in before.items():
        signal.signal(number, handler)
    if received:
        raise SystemExit(128 + received[0])
    if status:
        raise SystemExit(status if status > 0 else 128 - status)


def run_all(plan: Plan, rest: list[str]) -> None:
    """The runs, each left out while another ``tables.sh`` is at it."""
    # Data, tokens and statistics, before anything runs side by side.
    place = plan.data_folder / ".lock"
    lock = lock_of(place, wait=False)
    if lock is None:
        print("== waiting for another tables.sh to make the data", flush=True)
        lock = lock_of(place, wait=True)
    print("== data", flush=True)
    call([*plan.data_command(), *rest])
    lock.close()
    for seed, name, sizes in plan.runs():
        lock = lock_of(plan.run_folder(seed, name) / ".lock", wait=False)
        if lock is None:
            print(f"== seed {seed}, {name}: another tables.sh is at it", flush=True)
            continue
        print(f"== seed {seed}, {name}", flush=True)
        call([*plan.run_command(seed, name, sizes), *rest])
        lock.close()


def write_tables(plan: Plan, command: str) -> None:
    """The tables of what is there. Raises `UserError` for a folder that holds no run."""
    root = plan.folder
    if not root.is_dir():
        raise UserError(f"--root: '{root}' does not exist")
    if not any(path.is_dir() for path in root.glob("seed*/*")):
        raise UserError(f"--root: '{root}' holds no seedN/RUN, so it is none of tables.sh")
    from espnet_plugin.recipe import tables

    lock = os.open(root, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    words = ["--conf", str(plan.conf), "--root", str(root), "--sizes", *plan.all_sizes]
    tables.main([*words, "--test_sets", *plan.test_sets, "--command", command])
    os.close(lock)


def main(argv: list[str] | None = None) -> None:
    program, *words = sys.argv[1:] if argv is None else argv
    rest = words[words.index("--") + 1 :] if "--" in words else []
    own = words[: words.index("--")] if "--" in words else words
    if any(word in ("-h", "--help") for word in own):
        print("\n".join([ABOUT, *option_lines(Plan)]))
        return
    given = read_words(own, list(Plan.__dataclass_fields__), Path(program).name)
    for name in ("seeds", "ablation_seeds", "test_sets"):
        if given.get(name, "0").strip() == "":
            raise UserError(f"--{name} '' must name at least one")
    values = converted(Plan, given) | ({"ablation": ()} if given.get("ablation", "x").strip() == "" else {})
    plan = Plan(**values)
    plan.check(rest)
    if plan.dry_run:
        for command in [] if plan.only_tables else plan.commands(rest):
            print(f"{quoted(command)} ")
        return
    if not plan.only_tables:
        run_all(plan, rest)
    write_tables(plan, quoted([program, *words]))


if __name__ == "__main__":
    run_main(main)
