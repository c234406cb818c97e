"""What the data stages share: audio files and folders that are written whole."""

import argparse
import io
from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np
import soundfile

from espnet_plugin.common.files import check_place, write_whole


def positive(text: str) -> int:
    """A whole number of at least 1, for argparse."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' must be a whole number of at least 1")
    return int(text)


def write_flac(path: Path, wave: np.ndarray, fs: int) -> None:
    """Write mono samples (S,) in [-1, 1] as 16-bit flac; louder ones are clipped.

    Encoded in memory first: libsndfile's own error for a full disk does not say that the disk is full, the file system's does.
    """
    encoded = io.BytesIO()
    soundfile.write(encoded, np.clip(wave, -1, 1), fs, format="FLAC", subtype="PCM_16")
    # Not `getbuffer`: where writing fails, Python 3.12 crashes when it collects the error and the buffer together.
    path.write_bytes(encoded.getvalue())


def write_folder(target: Path, write: Callable[[Path], None], made_of: str = "", inputs: Collection[Path] = ()) -> None:
    """Let `write` fill a folder that then takes the place of `target`, see `write_whole`.

    Args:
        made_of: a file that marks a folder made before; "": any folder is replaced.
        inputs: what must not be replaced.

    Raises:
        UserError: `target` is something else, before anything is written.
    """

    def write_in(folder: Path) -> None:
        folder.mkdir()
        write(folder)

    check_place(target, (made_of,), inputs)
    write_whole(target, write_in, (made_of,), inputs)
