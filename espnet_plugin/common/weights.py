"""The one reader of what ``torch.save`` wrote: damage shows before anything is computed with it."""

import pathlib
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch

from espnet_plugin.common.files import need_file
from espnet_plugin.errors import UserError

PATHS = (pathlib.PosixPath, pathlib.WindowsPath, pathlib.Path)  # icefall keeps some; they are names and no more


def read_saved(path: Path, what: str = "checkpoint"):
    """The content of a file that ``torch.save`` wrote, on the CPU. Nothing but tensors, numbers, texts and their containers is unpickled.

    Args:
        what: beginning of the sentence, as ``checkpoint``.

    Raises:
        UserError: no such file, an empty or cut off one, one whose bytes were changed (the CRC of zip files), or another one.
    """
    need_file(what, path)
    with open(path, "rb") as file:
        start = file.read(2)
    if not start:
        raise UserError(f"{what} '{path}' is empty")
    try:
        if start == b"PK":
            with zipfile.ZipFile(path) as archive:
                damaged = archive.testzip() is not None
            if damaged:
                raise UserError(f"{what} '{path}' is damaged: its bytes are not those that were written, copy it again")
        with torch.serialization.safe_globals([*PATHS]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except zipfile.BadZipFile as error:
        raise UserError(f"{what} '{path}' is cut off or damaged: copy it again") from error
    except UserError:
        raise
    except Exception as error:  # whatever unpickling noise may raise
        raise UserError(f"{what} '{path}' cannot be read: must be what torch.save writes of tensors") from error


def check_finite(state: Mapping, path: Path, what: str = "checkpoint") -> None:
    """Refuse weights that are infinite or no numbers, of which everything computed would be none either.

    Args:
        state: name -> tensor; path, what: for the sentence, see `read_saved`.

    Raises:
        UserError: naming the first of them.
    """
    for name, value in state.items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise UserError(f"{what} '{path}': '{name}' has numbers that are not finite, take one from before that")
