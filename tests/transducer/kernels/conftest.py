"""Lets the cases be run by themselves: they need Triton's interpreter, which is chosen before its first import."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))
