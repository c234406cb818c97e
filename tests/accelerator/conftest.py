"""Lets the tests of this folder import the helpers of tests/asr."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "asr"))
