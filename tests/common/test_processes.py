"""Processes that are killed, interrupted, or left alone."""

import os
import signal
import subprocess
import sys
import time

import pytest

from espnet_plugin.common.processes import processes, run_jobs
from espnet_plugin.errors import UserError

# Two processes that would answer in a minute; prints their parent's id when they are at work.
SLOW = """
import os, sys, time
from espnet_plugin.common.processes import processes
from espnet_plugin.errors import run_main
def work(job):
    os.write(1, f"{os.getpid()}\\n".encode())
    time.sleep(60)
def main():
    with processes(work, 2) as answers:
        list(answers([1, 2]))
run_main(main)
"""


def gone(pid: int) -> bool:
    """Whether a process has ended (it may wait for somebody to ask how) within seconds."""
    for _ in range(100):
        try:
            with open(f"/proc/{pid}/stat") as file:
                if file.read().rsplit(") ", 1)[1][0] == "Z":
                    return True
        except OSError:
            return True
        time.sleep(0.1)
    return False


def test_every_job_is_answered_by_what_was_inherited():
    here = os.getpid()
    with processes(lambda job: (job, os.getpid() != here), 2) as answers:
        assert sorted(answers(range(5))) == [(job, True) for job in range(5)]
        assert list(answers([])) == []


def test_an_error_of_the_work_is_that_of_the_program():
    def refuse(job):
        raise UserError(f"job {job}")

    with pytest.raises(UserError, match="job 7"), processes(refuse, 2) as answers:
        list(answers([7]))


def test_a_killed_process_is_told():
    def killed(job):
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(UserError, match="--nj: one of 2 processes was killed"), processes(killed, 2) as answers:
        list(answers(range(4)))


def halve(number: int) -> int:
    if number % 2:
        raise UserError(f"{number} is odd")
    return number // 2


@pytest.mark.parametrize("fresh", [False, True])
def test_jobs_give_all_answers_and_pass_errors_on(fresh):
    for chunk in (1, 2, 9):
        assert sorted(run_jobs(halve, [2, 4, 6], 2, "halving", fresh, chunk)) == [1, 2, 3]
    assert list(run_jobs(halve, [], 2, "halving", fresh)) == []
    with pytest.raises(UserError, match="3 is odd"):
        list(run_jobs(halve, [2, 3], 2, "halving", fresh))


def test_a_new_process_for_each_job_leaves_nothing_behind():
    kept = []

    def keep(job):
        kept.append(job)
        return len(kept)

    assert list(run_jobs(keep, list(range(5)), 1, "keeping", fresh=True)) == [1] * 5
    assert list(run_jobs(keep, list(range(5)), 1, "keeping")) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("fresh", [False, True])
def test_a_killed_worker_ends_the_jobs_at_once(fresh):
    """As the system kills when memory runs out: the others would have worked for a minute."""

    def work(job):
        if job == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)

    began = time.monotonic()
    with pytest.raises(UserError, match=r"--nj: .* was killed, as the system does when memory runs out"):
        list(run_jobs(work, [0, 1], 2, "working", fresh))
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("how, status", [(signal.SIGINT, 1), (signal.SIGKILL, -signal.SIGKILL)])
def test_no_process_stays_behind(how, status):
    def heed():  # Python takes no Ctrl-C where its parent ignores it, as a shell does in the background
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    run = subprocess.Popen([sys.executable, "-c", SLOW], preexec_fn=heed, **pipes)
    workers = [int(run.stdout.readline()) for _ in range(2)]
    run.send_signal(how)
    assert run.wait(20) == status and all(map(gone, workers))
    assert run.stderr.read() == ("interrupted\n" if how == signal.SIGINT else "")
