"""How programs end: by a sentence, or by a signal that leaves nothing behind."""

import signal
import subprocess
import sys

import pytest

from espnet_plugin.errors import UserError, orderly_end, run_main

# Writes half of an output, says so, and would go on for a minute.
HALF = """
import sys, time
from pathlib import Path
from espnet_plugin.common.files import write_whole
from espnet_plugin.errors import run_main
def write(path):
    path.write_text("half")
    print("writing", flush=True)
    time.sleep(60)
run_main(lambda: write_whole(Path(sys.argv[1]), write))
"""


@pytest.mark.parametrize("how, status", [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 1)])
def test_a_signal_leaves_no_temporary_file(tmp_path, how, status):
    def heed():  # Python takes no signal that its parent ignores
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)

    (tmp_path / "out").write_text("whole")
    command = [sys.executable, "-c", HALF, tmp_path / "out"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heed) as run:
        assert run.stdout.readline() == "writing\n" and len(list(tmp_path.iterdir())) == 2
        run.send_signal(how)
        assert run.wait(20) == status
        assert run.stderr.read() == ("interrupted\n" if how == signal.SIGINT else "")
    assert [path.name for path in tmp_path.iterdir()] == ["out"] and (tmp_path / "out").read_text() == "whole"


def test_what_the_parent_ignores_stays_ignored_and_handlers_go_with_the_program():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with orderly_end():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            assert callable(signal.getsignal(signal.SIGTERM))
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(
    "error, said",
    [
        (UserError("key: 1 must be 2"), "error: key: 1 must be 2"),
        (OSError(28, "No space left on device", "out"), "error: out: No space left on device"),
    ],
)
def test_mistakes_end_in_a_sentence(error, said):
    def fail():
        raise error

    with pytest.raises(SystemExit) as end:
        run_main(fail)
    assert end.value.code == said
