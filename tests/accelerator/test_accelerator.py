"""Runs the other files of this folder in processes of their own: autograd counts devices once, before a process's first backward pass."""

import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch

from espnet_plugin.asr.training.launches import host_waits


@pytest.mark.parametrize("name", ["configurations.py", "counting.py", "icefall.py", "steps.py"])
def test_on_the_simulated_accelerator(name):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(Path(__file__).with_name(name))]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


def test_waits_for_a_gpu_are_named_by_their_lines(monkeypatch):
    modes = []
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", modes.append)
    with host_waits() as waits:
        warnings.warn("called a synchronizing CUDA operation", stacklevel=1)
        warnings.warn("another one", stacklevel=1)
    assert [line.rpartition(":")[0] for line in waits] == [__file__] and modes == ["warn", "default"]
    with pytest.raises(KeyError), host_waits():
        raise KeyError
    assert modes[2:] == ["warn", "default"]
