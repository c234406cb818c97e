"""The scripts in local/: run as the recipe runs them, and importable for tests of their parts."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

LOCAL = Path(__file__).parents[2] / "local"
sys.path.append(str(LOCAL))


@pytest.fixture
def run_script() -> Callable[..., subprocess.CompletedProcess]:
    """Run local/NAME with arguments; `before` is shell text that comes first, such as a limit."""

    def run(name: str, *args: object, before: str = ":") -> subprocess.CompletedProcess:
        command = ["sh", "-c", f'{before}; exec "$@"', "sh", sys.executable, LOCAL / name, *args]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        return subprocess.run([str(part) for part in command], capture_output=True, text=True, env=environment)

    return run


@pytest.fixture
def refused(run_script) -> Callable[..., str]:
    """Run local/NAME, which must end with one sentence and no traceback; the sentence."""

    def run(name: str, *args: object, before: str = ":") -> str:
        done = run_script(name, *args, before=before)
        assert done.returncode == 1, done.stdout + done.stderr
        lines = done.stderr.strip().splitlines()
        assert len(lines) == 1 and lines[0].startswith("error: "), done.stderr
        return lines[0]

    return run
