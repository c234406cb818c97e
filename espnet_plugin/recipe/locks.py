"""Who may work in a folder: one run in an ``--expdir``; in a ``--dumpdir`` any number that read, and one that makes something; one process
that makes or fetches a corpus.

The processes of a stage inherit the locks of their run, so that those of a run that was killed keep them as long as they live.
"""

import fcntl
import math
import os
import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from espnet_plugin.errors import UserError
from espnet_plugin.recipe.layout import Dump

PATIENCE = 10.0  # s that the processes of a run which was stopped have to end, see `launch.ended`
TOLD = 1.0  # s after which waiting for them is told
OWN, SHARED = fcntl.LOCK_EX, fcntl.LOCK_SH
CORPUS_LOCK = ".corpus.lock"  # none of a dump's: the corpus may be in the ``--dumpdir`` of the run that makes it


def opened(path: Path, mode: int) -> int:
    """A file to lock, as open to others as its folder; one of somebody else is good enough for a shared lock."""
    rights = path.parent.stat().st_mode & 0o666
    try:
        with suppress(FileExistsError):
            new = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, rights)
            os.fchmod(new, rights)  # whatever the umask
            return new
        return os.open(path, os.O_RDWR)
    except PermissionError:
        if mode == SHARED and path.is_file():
            return os.open(path, os.O_RDONLY)
        raise


class Lock:
    """A lock of a folder.

    Args:
        path: file in the folder, which says who has the lock.
        option: that names the folder, for the message.
        patience: s to wait for another run's end.
        mode: `OWN`, or `SHARED` with others that share it.

    Attributes:
        waited: whether another run had it.

    Raises:
        UserError: another run has it.
    """

    def __init__(self, path: Path, option: str, patience: float = PATIENCE, mode: int = OWN):
        self.path, self.option, self.patience = path, option, patience
        self.file = opened(path, mode)
        self.waited = self.become(mode)
        os.set_inheritable(self.file, True)

    def become(self, mode: int) -> bool:
        """Change the mode. Returns whether that had to wait for another run. Raises `UserError`."""
        waited = not self.taken(mode, 0.0)
        if waited and not self.taken(mode, TOLD):
            limit = f"up to {self.patience:.0f} s " if self.patience < math.inf else ""
            print(f"{self.at_work()}, waiting {limit}for its end", flush=True)
            if not self.taken(mode, self.patience):
                raise UserError(f"{self.at_work()}, must end first")
        self.tell(f"process {os.getpid()}")
        return waited

    def at_work(self) -> str:
        return f"{self.option} '{self.path.parent}': a run is at work there ({self.path.read_text().strip()})"

    def taken(self, mode: int, seconds: float) -> bool:
        """Whether the lock became this process's. Args: seconds: to try for."""
        end = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(self.file, mode | fcntl.LOCK_NB)
                return True
            except BlockingIOError:
                if time.monotonic() > end:
                    return False
                time.sleep(0.05)

    def tell(self, who: str) -> None:
        with suppress(PermissionError):  # a file of somebody else
            self.path.write_text(f"{who} on {socket.gethostname()}\n")

    def close(self) -> None:
        """Leave the folder to others."""
        os.close(self.file)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """While this process makes or fetches a corpus in a folder; another one waits."""
    folder.mkdir(parents=True, exist_ok=True)
    with closing(Lock(folder / CORPUS_LOCK, "corpus", math.inf)):
        yield


class DumpLocks:
    """A run's locks in a ``--dumpdir``: it reads there from its first stage to its end, so that nothing there is made anew meanwhile. From
    the first thing that it makes there to the first that it makes elsewhere, no other run makes anything.

    Args:
        dump: the folder; it may not be there yet.
        own: ``--expdir``, which another lock keeps for the run; it may be inside of the other folder.
    """

    def __init__(self, dump: Dump, own: Path):
        self.dump, self.own = dump, own
        self.reading: Lock | None = None
        self.making: Lock | None = None
        self.read()

    def holds(self, output: Path) -> bool:
        """Whether an output is of the data."""
        data, own = self.dump.root, self.own
        return output.is_relative_to(data) and not (own.is_relative_to(data) and output.is_relative_to(own))

    def read(self) -> None:
        path = self.dump.read_lock
        if path.is_file() or os.access(path.parent, os.W_OK):  # else nobody could make anything there
            self.reading = Lock(path, "--dumpdir", math.inf, SHARED)

    def make(self) -> bool:
        """Be the run that makes data. Returns whether another one was, so that what was known of them is old."""
        if self.making is not None:
            return False
        if self.reading is not None:  # one that makes something anew waits for those that read
            self.reading.close()
        self.dump.root.mkdir(parents=True, exist_ok=True)
        self.making = Lock(self.dump.make_lock, "--dumpdir", math.inf)
        self.read()
        return self.making.waited

    @contextmanager
    def alone(self, output: Path) -> Iterator[None]:
        """While this run makes an output: nobody reads data that are made anew."""
        if self.making is None or self.reading is None or not output.exists():
            yield
            return
        self.reading.become(OWN)
        yield
        self.reading.become(SHARED)

    def leave(self) -> None:
        """Let others make data."""
        if self.making is not None:
            self.making.close()
            self.making = None
