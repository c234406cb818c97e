"""Forked processes that answer jobs; when one is killed the program ends, instead of waiting for its answer for ever."""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial

from tqdm import tqdm

from espnet_plugin.common.bounds import Bounds
from espnet_plugin.common.files import remove_temporary_folders, temporary_folders
from espnet_plugin.errors import UserError

PROCESSES = Bounds(1, 16 * (os.cpu_count() or 1), why="16 for each core of this machine")
SECONDS = 3.0  # that a process has to end by itself
work_of_process: Callable | None = None


def follow_parent() -> None:
    """End this process when its parent is gone, however that ended."""
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
    remove_temporary_folders()
    os._exit(1)


def end(number: int, _frame) -> None:
    """End this process at once, as its parent asks."""
    remove_temporary_folders()
    os._exit(128 + number)


def stop(children: Iterable) -> None:
    """End processes: they have a moment to remove what they are writing."""
    for process in children:
        process.terminate()
    for process in children:
        process.join(SECONDS)
        process.kill()


def adopt(work: Callable) -> None:
    """Give a process, which a fork has made, what it answers with."""
    global work_of_process
    work_of_process = work
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends them
    for number in (signal.SIGHUP, signal.SIGTERM):  # what the parent does with them is not for its children
        signal.signal(number, end)
    temporary_folders.clear()  # those of the parent
    threading.Thread(target=follow_parent, daemon=True).start()


def answer(job):
    return work_of_process(job)


def killed(who: str) -> UserError:
    return UserError(f"--nj: {who} was killed, as the system does when memory runs out, use fewer")


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
            raise killed(f"one of {count} processes") from error

    try:
        yield answers
    except BaseException:
        stop(forked)
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def answer_to(pipe, work: Callable, job) -> None:
    """Send through a pipe what comes of a job: whether it was an error, and the answer or error."""
    threading.Thread(target=follow_parent, daemon=True).start()
    try:
        pipe.send((False, work(job)))
    except Exception as error:
        pipe.send((True, error))


def in_new_process[J, R](work: Callable[[J], R], job: J) -> R:
    """The answer of a process that is forked for this job alone, for work that leaves something behind.

    Raises:
        UserError: the process was killed.
    """
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=answer_to, args=(sender, work, job))
    child.start()
    sender.close()
    try:
        failed, found = receiver.recv()
    except EOFError as error:
        raise killed("a process") from error
    finally:
        child.join()
    if failed:
        raise found
    return found


def in_turn[J, R](work: Callable[[J], R], jobs: list[J]) -> list[R]:
    return [work(job) for job in jobs]


def run_jobs[J, R](
    work: Callable[[J], R], jobs: list[J], nj: int, title: str, fresh: bool = False, chunk: int = 1
) -> Iterator[R]:
    """Answers to jobs, in the order in which they are known, with progress on a terminal.

    Args:
        nj: processes.
        title: of the progress.
        fresh: each job has a new process.
        chunk: jobs handed over at once, for many small ones.

    Raises:
        UserError: a process was killed; or what `work` raises.
    """
    work = partial(in_new_process, work) if fresh else work
    chunks = [jobs[at : at + chunk] for at in range(0, len(jobs), chunk)]
    if not chunks:
        return
    with (
        processes(partial(in_turn, work), min(nj, len(chunks))) as answers,
        tqdm(total=len(jobs), desc=title, disable=None, file=sys.stderr) as bar,
    ):
        for found in answers(chunks):
            yield from found
            bar.update(len(found))
