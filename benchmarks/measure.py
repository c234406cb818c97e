"""Run a command and measure it from outside: wall time, and the peak memory of all its processes together."""

import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Measured:
    """Args: seconds of wall time; peak_gb: proportional set sizes of the process tree, summed, 10^9 bytes; status: exit status."""

    seconds: float
    peak_gb: float
    status: int


def children(pid: int) -> list[int]:
    """Process ids of a process and all below it."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += map(int, task.read_text().split())
            except OSError:
                continue  # ended in the meantime
    return found


def memory(pid: int) -> int:
    """Bytes of a process tree; pages shared by several processes count once (PSS)."""
    total = 0
    for process in children(pid):
        try:
            rows = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += 1024 * sum(int(row.split()[1]) for row in rows if row.startswith("Pss:"))
    return total


def measure(command: list, every: float = 1.0, **options) -> Measured:
    """Run a command, its output shown; memory is sampled `every` s."""
    began = time.perf_counter()
    process = subprocess.Popen([str(word) for word in command], **options)
    peak, done = 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(every):
            peak = max(peak, memory(process.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    status = process.wait()
    done.set()
    watcher.join()
    return Measured(round(time.perf_counter() - began, 3), round(peak / 1e9, 2), status)
