"""Runs the other files of this folder in processes of their own: autograd counts devices once, before a process's first backward pass."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("name", ["configurations.py", "counting.py", "icefall.py", "steps.py"])
def test_on_the_simulated_accelerator(name):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(Path(__file__).with_name(name))]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
