"""The program behind tables.sh: what it gives a run, and how it ends."""

import signal
import subprocess
import sys
import time
from functools import partial

import pytest

from espnet_plugin.recipe.experiments import Plan, call

CALL = "from espnet_plugin.recipe.experiments import call; call(['sh', '-c', '{}'])"


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_its_command(number, tmp_path):
    """The command has time to put its things in order."""
    script = f'trap "sleep 0.2; touch {tmp_path}/tidy; exit 1" {number.value}; touch {tmp_path}/ready; sleep 60 & wait; sleep 60'
    heard = partial(signal.signal, number, signal.SIG_DFL)  # tests that run in the background ignore some
    program = subprocess.Popen([sys.executable, "-c", CALL.format(script)], start_new_session=True, preexec_fn=heard)
    while not (tmp_path / "ready").exists():
        time.sleep(0.02)
    program.send_signal(number)
    assert program.wait(timeout=20) == 128 + number and (tmp_path / "tidy").exists()


@pytest.mark.parametrize("script, status", [("exit 3", 3), ("kill -9 $$", 137)])
def test_a_failure_is_its_own(script, status):
    assert subprocess.run([sys.executable, "-c", CALL.format(script)], timeout=20).returncode == status


def test_signals_that_come_while_a_command_is_started_reach_it_once_each(monkeypatch):
    class Process:
        heard: list[int]

        def __init__(self, command, **_):
            self.heard = sent
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGHUP)

        def send_signal(self, number):
            self.heard.append(number)

        def wait(self):
            signal.raise_signal(signal.SIGTERM)
            return 0

    sent: list[int] = []
    monkeypatch.setattr(subprocess, "Popen", Process)
    monkeypatch.setattr(signal, "getsignal", lambda number: signal.SIG_DFL)  # whatever the tests run under
    with pytest.raises(SystemExit) as ended:
        call(["true"])
    assert sent == [signal.SIGTERM, signal.SIGHUP, signal.SIGTERM] and ended.value.code == 128 + signal.SIGTERM


def test_between_two_commands_a_signal_does_what_it_did_before():
    numbers = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]
    call(["true"])
    assert [signal.getsignal(number) for number in numbers] == before


def test_arguments_of_the_supernet_alone():
    """They come after those of all runs, whose place they take."""
    plan = Plan(train_args="--max_epoch 10", supernet_args="--max_epoch 14", ablation=())
    found = {}
    for name in ("supernet", "individual/3x64"):
        words = plan.run_command("1", name, ["3x64"])
        found[name] = words[words.index("--train_args") + 1]
    assert found == {"supernet": "--seed 1 --max_epoch 10 --max_epoch 14", "individual/3x64": "--seed 1 --max_epoch 10"}
