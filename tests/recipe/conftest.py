"""Programs of the recipe run as its stages run them; and the tests of this folder import their helpers."""

import io
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module
from pathlib import Path

import pytest

from espnet_plugin.errors import run_main

sys.path.append(str(Path(__file__).parent))


def in_this_process(name: str, args: list[str]) -> subprocess.CompletedProcess:
    """What a program of the recipe that is run here prints, and its exit status."""
    out, err, status = io.StringIO(), io.StringIO(), 0
    module = import_module(f"espnet_plugin.recipe.{name}")
    with redirect_stdout(out), redirect_stderr(err):
        try:
            run_main(lambda: module.main(args))
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
            print(end.code, file=sys.stderr)
    return subprocess.CompletedProcess(args, status, out.getvalue(), err.getvalue())


@pytest.fixture
def run_script() -> Callable[..., subprocess.CompletedProcess]:
    """Run espnet_plugin.recipe.NAME with arguments: here, or after `before`, shell text such as a limit, in a process of its own."""

    def run(name: str, *args: object, before: str = "") -> subprocess.CompletedProcess:
        words = [str(part) for part in args]
        if not before:
            return in_this_process(name, words)
        program = [sys.executable, "-m", f"espnet_plugin.recipe.{name}"]
        command = ["sh", "-c", f'{before}; exec "$@"', "sh", *program, *words]
        return subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})

    return run


@pytest.fixture
def refused(run_script) -> Callable[..., str]:
    """Run espnet_plugin.recipe.NAME, which must end with one sentence and no traceback; the sentence."""

    def run(name: str, *args: object, before: str = "") -> str:
        done = run_script(name, *args, before=before)
        assert done.returncode == 1, done.stdout + done.stderr
        lines = done.stderr.strip().splitlines()
        assert len(lines) == 1 and lines[0].startswith("error: "), done.stderr
        return lines[0]

    return run
