"""Work of a stage, and the locks under which it is done."""

import fcntl
from functools import partial
from pathlib import Path

import pytest

from espnet_plugin.recipe.engine import Engine, Lock, Spec, Work
from espnet_plugin.recipe.layout import Dump, Experiment


def free(path: Path, mode: int) -> bool:
    """Whether another run could take a lock."""
    with path.open("a") as file:
        try:
            fcntl.flock(file, mode | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def free_locks(dump: Dump) -> str:
    """To make, to make anew, to read."""
    checks = ((dump.make_lock, fcntl.LOCK_EX), (dump.read_lock, fcntl.LOCK_EX), (dump.read_lock, fcntl.LOCK_SH))
    return " ".join(str(free(path, mode)) for path, mode in checks)


@pytest.mark.parametrize(
    "output, there, expected",
    [
        ("exp/supernet", False, "True False True"),  # reads: others may read and make more
        ("exp/supernet", True, "True False True"),
        ("dump/raw", False, "False True True"),  # makes: others may read what is there
        ("dump/raw", True, "False False False"),
        ("dump/exp/supernet", True, "True False True"),
    ],
)
def test_what_other_runs_may_do_meanwhile(tmp_path, output, there, expected):
    dump, exp = Dump(tmp_path / "dump"), Experiment(tmp_path / output.removesuffix("/supernet"))
    exp = Experiment(tmp_path / "exp") if "exp" not in output else exp
    for folder in (dump.root, exp.root):
        folder.mkdir(parents=True)
    path, seen = tmp_path / output, tmp_path / "seen"
    if there:
        path.mkdir()
    engine = Engine(1, 12, False, Lock(exp.lock, "--expdir"), dump, lambda *_: False)

    def run() -> None:
        path.mkdir(exist_ok=True)
        seen.write_text(free_locks(dump))

    work = partial(engine.work, Spec(5, "name", ""), Work(path, {"a": 1}, run))
    work()
    assert seen.read_text() == expected
    assert free_locks(dump) == "True True True"
    seen.unlink()
    work()
    assert not seen.exists()  # complete
