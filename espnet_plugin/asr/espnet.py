"""ESPnet's ASR model, imported without the line that it prints where flash_attn is not installed: nothing here uses it."""

import io
import sys
from contextlib import redirect_stderr

with redirect_stderr(io.StringIO()) as printed:
    from espnet2.asr.espnet_model import ESPnetASRModel

sys.stderr.writelines(line for line in printed.getvalue().splitlines(keepends=True) if "Flash Attention" not in line)

__all__ = ["ESPnetASRModel"]
