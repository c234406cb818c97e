"""Programs of the recipe run as its stages run them; and the tests of this folder import their helpers."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))


@pytest.fixture
def run_script() -> Callable[..., subprocess.CompletedProcess]:
    """Run espnet_plugin.recipe.NAME with arguments; `before` is shell text that comes first, such as a limit."""

    def run(name: str, *args: object, before: str = ":") -> subprocess.CompletedProcess:
        program = [sys.executable, "-m", f"espnet_plugin.recipe.{name}"]
        command = ["sh", "-c", f'{before}; exec "$@"', "sh", *program, *args]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        return subprocess.run([str(part) for part in command], capture_output=True, text=True, env=environment)

    return run


@pytest.fixture
def refused(run_script) -> Callable[..., str]:
    """Run espnet_plugin.recipe.NAME, which must end with one sentence and no traceback; the sentence."""

    def run(name: str, *args: object, before: str = ":") -> str:
        done = run_script(name, *args, before=before)
        assert done.returncode == 1, done.stdout + done.stderr
        lines = done.stderr.strip().splitlines()
        assert len(lines) == 1 and lines[0].startswith("error: "), done.stderr
        return lines[0]

    return run
