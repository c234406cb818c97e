"""Lets the tests of this folder import the helpers of tests/asr, and each other."""

import sys
from pathlib import Path

sys.path += [str(Path(__file__).parents[1] / "asr"), str(Path(__file__).parent)]
