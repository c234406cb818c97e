"""What the data stages share: audio files and folders that are written whole."""

import argparse
import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

from espnet_plugin.common.files import check_place


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
    path.write_bytes(encoded.getbuffer())


def write_folder(target: Path, write: Callable[[Path], None], made_of: str = "") -> None:
    """Let `write` fill a temporary folder beside `target`, then put it in the place of `target`.

    A failure leaves `target` as it was. Where `made_of` is given, an existing `target` is replaced only if it is empty or holds that
    file, as one made before does, so that a mistaken path does no harm.

    Raises:
        UserError: `target` is something else.
        OSError: naming `target` where the system names no file, as for a full disk.
    """
    target = check_place(target, (made_of,))
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    before = target.with_name(f".{target.name}.{os.getpid()}.old")
    try:
        temporary.mkdir(parents=True)
        write(temporary)
        if target.exists():
            target.rename(before)
        temporary.rename(target)
    except OSError as error:
        raise error if error.filename else OSError(error.errno, error.strerror, str(target)) from error
    finally:
        if before.exists() and not target.exists():
            before.rename(target)
        shutil.rmtree(before, ignore_errors=True)
        shutil.rmtree(temporary, ignore_errors=True)
