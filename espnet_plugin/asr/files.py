"""Outputs are written whole or not at all."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from espnet_plugin.errors import UserError


@contextmanager
def checkpoint_errors(folder: Path) -> Iterator[None]:
    """Tell a checkpoint that cannot be written, as on a full disk, in a sentence: torch raises a bare `RuntimeError`.

    Raises:
        UserError: naming the folder and the bytes that are free there.
    """
    try:
        yield
    except RuntimeError as error:
        if "PytorchStreamWriter" not in str(error) and "unexpected pos" not in str(error):
            raise
        free = shutil.disk_usage(folder).free
        raise UserError(f"a checkpoint cannot be written to '{folder}', where {free:,} bytes are free") from error


def write_whole(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` make a file or folder under a temporary name beside `path`, then rename it.

    An existing folder is replaced, an existing file is too. When `write` fails, `path` stays as it was.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with checkpoint_errors(path.parent):
            write(temporary)
        if path.is_dir():
            shutil.rmtree(path)
        os.replace(temporary, path)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        elif temporary.exists():
            temporary.unlink()
