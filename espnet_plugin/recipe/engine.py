"""Runs the pieces of work of stages: those that are asked for and not complete, each in a process group of its own, one run in a folder."""

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from espnet_plugin.errors import run_main
from espnet_plugin.recipe.locks import DumpLocks, Lock
from espnet_plugin.recipe.record import (
    as_before,
    as_json,
    differences,
    marker_of,
    read_record,
    reason,
    write_record,
)

SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True)
class Spec:
    """A stage.

    Args:
        number: as ``--stage`` names it.
        name: of the method that yields its work.
        about: what it does, for ``--help``.
    """

    number: int
    name: str
    about: str


@dataclass(frozen=True)
class Work:
    """A piece of work of a stage.

    Args:
        output: file or folder that it makes; the record of `inputs` is put beside it when it has ended well.
        inputs: what it depends on, label -> value; with other values it is done again, and the label says why.
        run: does it.
        kind: of work, if not the stage's name; records of different kinds may stand beside one output.
        of: what it is done for, such as a set.
        told_by: a second record of what the output was made from, which stands while it is made.
    """

    output: Path
    inputs: dict
    run: Callable[[], None]
    kind: str = ""
    of: str = ""
    told_by: Path | None = None


@dataclass(frozen=True)
class State:
    """What is known of a piece of work. Args: there: whether its output is; told: its record; changes: of inputs since; complete."""

    there: bool
    told: dict | str | None
    changes: list[str]
    complete: bool


class Engine:
    """Runs work, and stops it when this process is asked to stop.

    Args:
        first, last: numbers of stages.
        redo: do again what is complete.
        lock: of the folder.
        data: locks of the data's folder, which other runs may use at the same time.
        same_as_before: takes kind, text and `Work.of` of a record without labels, which an earlier version wrote; whether it stands for
            the inputs of today.
    """

    def __init__(
        self,
        first: int,
        last: int,
        redo: bool,
        lock: Lock,
        data: DumpLocks,
        same_as_before: Callable[[str, str, str], bool],
    ):
        self.first, self.last, self.redo, self.lock = first, last, redo, lock
        self.data, self.same_as_before = data, same_as_before
        self.group: int | None = None
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # as SIGHUP under nohup
                signal.signal(number, self.stop)

    def stop(self, number: int, _frame) -> None:
        """End the stage at work, and this process."""
        if self.group is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.group, signal.SIGTERM)
        raise SystemExit(128 + number)

    def stages(self, specs: Iterable[Spec], recipe: object) -> None:
        """Run all stages that are asked for, in their order. Work is asked for only when that before it has ended."""
        asked = [spec for spec in specs if self.first <= spec.number <= self.last]
        while not all(self.work(spec, work) for spec in asked for work in getattr(recipe, spec.name)()):
            pass  # from the first stage on: another run has made data meanwhile

    def work(self, spec: Spec, work: Work) -> bool:
        """Do a piece of work that is not complete. Returns whether it is; not where what is known of its inputs has become old."""
        kind = work.kind or spec.name
        title = f"stage {spec.number}, {kind} {work.of}".rstrip()
        state = self.state(kind, work)
        if state.complete:
            print(f"{title}: complete, skipped (--redo true does it again)", flush=True)
            return True
        if not self.data.holds(work.output):
            self.data.leave()
        elif self.data.make():
            return False
        with self.data.alone(work.output):
            print(f"{title}{why(self.redo, state)}", flush=True)
            marker = marker_of(work.output, kind)
            marker.unlink(missing_ok=True)
            began = time.monotonic()
            status = self.in_group(work.run)
            if status:
                raise SystemExit(status)
            write_record(marker, as_json(work.inputs))
            print(f"{title}: done in {time.monotonic() - began:.0f} s", flush=True)
        return True

    def state(self, kind: str, work: Work) -> State:
        marker, now = marker_of(work.output, kind), as_json(work.inputs)
        recorded = read_record(marker)
        there = work.output.exists()
        if isinstance(recorded, str) and there and as_before(now) and self.same_as_before(kind, recorded, work.of):
            write_record(marker, now)
            recorded = now
        told = recorded if recorded is not None or work.told_by is None else read_record(work.told_by)
        changes = differences(told, now) if isinstance(told, dict) else []
        if there and isinstance(recorded, dict) and not changes and now.keys() - recorded.keys():
            with suppress(OSError):  # data of somebody else
                write_record(marker, now)  # what an earlier version did not tell may change from now on
        return State(there, told, changes, not self.redo and there and isinstance(recorded, dict) and not changes)

    def in_group(self, run: Callable[[], None]) -> int:
        """Exit status of a function, run in a process group of its own."""
        sys.stdout.flush()
        sys.stderr.flush()
        child = os.fork()
        if child == 0:
            os.setpgid(0, 0)
            os._exit(status_of(run))
        with suppress(PermissionError, ProcessLookupError):  # it has done so itself, and may have ended
            os.setpgid(child, child)
        self.group = child
        self.lock.tell(f"process group {child}")
        _, code = os.waitpid(child, 0)
        self.group = None
        status = os.waitstatus_to_exitcode(code)
        return status if status >= 0 else 128 - status


def why(redo: bool, state: State) -> str:
    """Why work is done that had been done before."""
    there, told, changes = state.there, state.told, state.changes
    if not there or told is None or (isinstance(told, dict) and not changes and not redo):
        return ""
    if redo:
        return " again: --redo true"
    return f" again: {reason(changes) or 'an earlier version made it, of other inputs'}"


def status_of(run: Callable[[], None]) -> int:
    """Run a function as a program: its exit status, after a sentence for a mistake of the user's and a traceback for one of ours."""
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    try:
        run_main(run)
        return 0
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
            return 1
        return end.code or 0
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        with suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
