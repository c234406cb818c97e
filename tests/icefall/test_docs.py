"""The patch of docs/icefall.md."""

import os
import re
import subprocess
from pathlib import Path

import pytest

DOC = Path(__file__).parents[2] / "docs" / "icefall.md"


def patch() -> str:
    return re.search(r"```diff\n(.*?)```", DOC.read_text(), re.DOTALL)[1]


def changed_lines() -> int:
    """Lines that the user takes away or adds: icefall_changed_lines."""
    return sum(bool(re.match(r"[+-](?![+-]{2})", line)) for line in patch().splitlines())


def test_ten_lines_are_enough():
    assert 0 < changed_lines() <= 10


@pytest.mark.skipif("ICEFALL_RECIPE" not in os.environ, reason="ICEFALL_RECIPE names no folder of an icefall recipe")
def test_the_patch_applies(tmp_path):
    train = tmp_path / "train.py"
    train.write_bytes((Path(os.environ["ICEFALL_RECIPE"]) / "train.py").read_bytes())
    subprocess.run(["patch", "-p5", str(train)], input=patch(), text=True, check=True, capture_output=True)
    assert "todm.add_arguments(parser)" in train.read_text()
