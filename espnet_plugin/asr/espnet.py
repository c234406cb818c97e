"""ESPnet's ASR model, imported quickly and quietly.

ESPnet marks a function for torch.compile when it is defined. That imports the compiler, for over a second, and nothing here compiles.
A line that ESPnet prints where flash_attn is not installed is left out: nothing here uses it.
"""

import io
import sys
from contextlib import redirect_stderr
from unittest.mock import patch

import torch

with redirect_stderr(io.StringIO()) as printed, patch.object(torch.compiler, "disable", lambda function: function):
    from espnet2.asr.espnet_model import ESPnetASRModel

sys.stderr.writelines(line for line in printed.getvalue().splitlines(keepends=True) if "Flash Attention" not in line)

__all__ = ["ESPnetASRModel"]
