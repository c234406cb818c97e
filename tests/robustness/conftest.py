"""The prepared workspace, and a copy of it for each case."""

import contextlib
import gc
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path += [str(Path(__file__).parent), str(Path(__file__).parents[1] / "asr")]
from cases import temporary_files_in
from workspace import copy_of, prepare


@pytest.fixture(scope="session")
def prepared(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("workspace")
    with contextlib.chdir(folder):
        prepare()
    gc.collect()
    gc.freeze()  # what is there stays: the cases collect what they leave, in a moment
    return folder


@pytest.fixture
def workspace(prepared) -> Iterator[Path]:
    """A copy, which is the current folder; ``tmp`` in it takes temporary files."""
    with tempfile.TemporaryDirectory(prefix="case.") as folder:
        copy_of(prepared, Path(folder))
        with contextlib.chdir(folder), temporary_files_in(Path("tmp")):
            yield Path(folder)
