"""Forked processes that answer jobs; when one is killed the program ends, instead of waiting for its answer for ever."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

from espnet_plugin.errors import UserError

work_of_process: Callable | None = None


def follow_parent() -> None:
    """End this process when its parent is gone, however that ended."""
    multiprocessing.parent_process().join()
    os._exit(1)


def adopt(work: Callable) -> None:
    """Give a process, which a fork has made, what it answers with."""
    global work_of_process
    work_of_process = work
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends them
    threading.Thread(target=follow_parent, daemon=True).start()


def answer(job):
    return work_of_process(job)


@contextmanager
def processes[J, R](work: Callable[[J], R], count: int) -> Iterator[Callable[[Iterable[J]], Iterator[R]]]:
    """Processes that are forked now, so that they share what this one holds; an error, as by Ctrl-C, ends them at once.

    Args:
        work: of a job; it is inherited, so it may be anything, while jobs and answers are pickled.
        count: processes.

    Returns:
        from jobs to their answers, in the order in which they are known.

    Raises:
        UserError: a process was killed.
    """
    before = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(count, multiprocessing.get_context("fork"), adopt, (work,))
    pool.submit(int)  # forks, before a progress bar starts a thread
    forked = set(multiprocessing.active_children()) - before

    def answers(jobs: Iterable[J]) -> Iterator[R]:
        try:
            for future in as_completed([pool.submit(answer, job) for job in jobs]):
                yield future.result()
        except BrokenProcessPool as error:
            raise UserError(
                f"--nj: one of {count} processes was killed, as the system does when memory runs out, use fewer"
            ) from error

    try:
        yield answers
    except BaseException:
        for process in forked:
            process.kill()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
