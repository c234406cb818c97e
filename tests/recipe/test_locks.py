"""What runs that share a folder of data may do at the same time."""

import fcntl
import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from espnet_plugin.recipe.engine import SIGNALS, Engine, Spec, Work
from espnet_plugin.recipe.layout import Dump, Experiment
from espnet_plugin.recipe.locks import CORPUS_LOCK, OWN, SHARED, DumpLocks, Lock, alone_in
from espnet_plugin.recipe.record import marker_of, read_record, write_record


@pytest.fixture(autouse=True)
def handlers():
    """An engine hears signals for the rest of its process, which here is that of all tests."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def free(path: Path, mode: int) -> bool:
    """Whether another run could take a lock."""
    with path.open("a+") as file:
        try:
            fcntl.flock(file, mode | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def others(dump: Dump) -> str:
    """What another run may do."""
    checks = {"make": (dump.make_lock, OWN), "make anew": (dump.read_lock, OWN), "read": (dump.read_lock, SHARED)}
    return ", ".join(name for name, (path, mode) in checks.items() if free(path, mode))


def engine_of(dump: Dump, expdir: Path, redo: bool = False) -> Engine:
    """Of a run in a folder of its own."""
    expdir.mkdir(parents=True, exist_ok=True)
    lock = Lock(Experiment(expdir).lock, "--expdir")
    return Engine(1, 12, redo, lock, DumpLocks(dump, expdir), lambda *_: False)


@pytest.mark.parametrize(
    "expdir, output, there, meanwhile, after",
    [
        ("exp", "exp/supernet", False, "make, read", "make, read"),
        ("exp", "exp/supernet", True, "make, read", "make, read"),
        ("exp", "dump/raw", False, "read", "read"),  # what is there can be read, and no other run makes anything
        ("exp", "dump/raw", True, "", "read"),
        ("dump/exp", "dump/exp/supernet", True, "make, read", "make, read"),
        (".", "dump/raw", True, "", "read"),
    ],
)
def test_what_other_runs_may_do_meanwhile(tmp_path, expdir, output, there, meanwhile, after):
    dump, path, seen = Dump(tmp_path / "dump"), tmp_path / output, tmp_path / "seen"
    dump.root.mkdir()
    if there:
        path.mkdir(parents=True)
    engine = engine_of(dump, tmp_path / expdir)

    def run() -> None:
        path.mkdir(exist_ok=True)
        seen.write_text(others(dump))

    assert engine.work(Spec(5, "name", ""), Work(path, {"a": 1}, run))
    assert (seen.read_text(), others(dump)) == (meanwhile, after)
    seen.unlink()
    assert engine.work(Spec(5, "name", ""), Work(path, {"a": 1}, run)) and not seen.exists()  # complete


class Copying:
    """Stages: a text is made of an option, and read from there. Args: root; option; seconds: that making takes."""

    stages = (Spec(1, "making", ""), Spec(5, "reading", ""))

    def __init__(self, root: Path, name: str, option: str, seconds: float):
        self.dump, self.exp, self.option, self.seconds = Dump(root / "dump"), root / name, option, seconds

    def making(self):
        text = self.dump.root / "text"

        def run() -> None:
            text.write_text("")
            time.sleep(self.seconds)
            text.write_text(self.option)

        yield Work(text, {"option": self.option}, run)

    def reading(self):
        copy = self.exp / "copy"

        def run() -> None:
            before = (self.dump.root / "text").read_text()
            time.sleep(self.seconds)
            copy.write_text(f"{before} {(self.dump.root / 'text').read_text()}")

        yield Work(copy, {"text": (self.dump.root / "text").read_text()}, run)

    def run(self) -> None:
        engine_of(self.dump, self.exp).stages(self.stages, self)


@pytest.mark.parametrize("there", [False, True])
def test_each_run_reads_what_it_was_told_to_make(tmp_path, there):
    def together(names: str) -> None:
        fork = multiprocessing.get_context("fork")
        runs = [Copying(tmp_path, name, name, 0.3) for name in names]
        processes = [fork.Process(target=run.run) for run in runs]
        for process in processes:
            process.start()
        for process, run in zip(processes, runs):
            process.join(60)
            assert process.exitcode == 0
            assert (run.exp / "copy").read_text() == f"{run.option} {run.option}"

    if there:
        together("c")
    together("ab")


def test_what_an_earlier_record_did_not_tell_is_told_from_now_on(tmp_path):
    engine, output = engine_of(Dump(tmp_path / "dump"), tmp_path / "exp"), tmp_path / "exp" / "model"
    output.touch()
    write_record(marker_of(output, "making"), {"text": "#1"})
    for audio, complete in (("#1", True), ("#2", False)):
        state = engine.state("making", Work(output, {"text": "#1", "audio of dev": audio}, lambda: None))
        assert state.complete == complete and read_record(marker_of(output, "making"))["audio of dev"] == "#1"


def test_who_waited_for_a_moment_knows_that_data_may_be_others(tmp_path):
    dump = Dump(tmp_path)
    first, second = (DumpLocks(dump, tmp_path / name) for name in "ab")
    assert not first.make()
    timer = threading.Timer(0.2, first.leave)
    timer.start()
    assert second.make()
    timer.join()


def test_a_lock_file_is_as_open_as_its_folder(tmp_path):
    tmp_path.chmod(0o775)
    before = os.umask(0o077)
    try:
        Lock(tmp_path / "lock", "--dumpdir").close()
    finally:
        os.umask(before)
    assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o664


def test_a_corpus_is_made_by_one(tmp_path):
    path = tmp_path / "downloads" / CORPUS_LOCK
    with alone_in(path.parent):
        assert not free(path, SHARED)
    assert free(path, OWN)


def test_a_corpus_may_be_in_the_dump_folder_of_its_run(tmp_path):
    def run() -> None:
        locks = DumpLocks(Dump(tmp_path), tmp_path / "exp")
        locks.make()
        with alone_in(tmp_path):
            pass

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    process.join(20)
    process.kill()
    assert process.exitcode == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_data_of_somebody_else_are_locked_where_that_is_possible(tmp_path):
    dump = Dump(tmp_path / "dump")
    dump.root.mkdir()
    dump.read_lock.touch()
    dump.read_lock.chmod(0o444)
    dump.root.chmod(0o555)
    locks = DumpLocks(dump, tmp_path / "exp")
    assert locks.reading is not None
    with pytest.raises(PermissionError):
        locks.make()


def test_data_that_nobody_can_change_need_no_lock(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert DumpLocks(Dump(tmp_path), tmp_path / "exp").reading is None
    assert not list(tmp_path.iterdir())
