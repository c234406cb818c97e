"""Outputs are written whole or not at all, and damaged inputs are told in a sentence."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from espnet_plugin.errors import UserError

LONGEST_NAME = 200  # bytes; file systems take 255, and temporary names are longer than the file's own


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


def read_text(path: Path | str) -> str:
    """Text of a file, without the byte order mark that Windows' editors write, and with line ends as they are.

    Raises:
        UserError: it is not UTF-8.
    """
    try:
        return Path(path).read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"'{path}': byte {error.start} is not UTF-8 text") from error


def read_json(path: Path) -> dict | None:
    """The object in a JSON file, None where there is no such file.

    Raises:
        UserError: it holds something else.
    """
    if not path.is_file():
        return None
    try:
        found = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise UserError(f"'{path}', line {error.lineno}: is not JSON") from error
    if not isinstance(found, dict):
        raise UserError(f"'{path}': is not a JSON object")
    return found


def is_plain_name(name: object) -> bool:
    """Whether a name from a file is that of something directly in a folder: it can lead nowhere else."""
    return isinstance(name, str) and name == Path(name).name and name not in ("", "..") and "\0" not in name


def file_name(key: str, suffix: str) -> str:
    """A name that any file system takes, for an utterance's file: percent-encoded, and with a hash in place of what is too long."""
    name = quote(key, safe="")
    if len(name) + len(suffix) > LONGEST_NAME:
        name = f"{name[: LONGEST_NAME - len(suffix) - 33]}-{hashlib.sha256(key.encode()).hexdigest()[:32]}"
    return name + suffix


def check_place(path: Path, made_of: Collection[str] = (), inputs: Iterable[Path] = ()) -> Path:
    """Whether an output may be written to `path`, so that a mistaken one does no harm.

    A folder is replaced only if it is empty or was made in the same way before, and a file never takes the place of a folder.

    Args:
        made_of: names of files that mark a folder made before; none of them: the output is a file.
        inputs: files and folders that the output is made from.

    Returns:
        where it is written: the folder that `path` stands for, if it is one, such as ``..`` or a link.

    Raises:
        UserError: then `path` must be another one.
    """
    path = path.resolve() if path.is_dir() else path.parent.resolve() / path.name
    for what, kept in (("the current directory", Path.cwd()), *((f"the input '{kept}'", kept) for kept in inputs)):
        if kept.resolve().is_relative_to(path):
            raise UserError(f"'{path}' is not replaced, since it is or holds {what}: name another output")
    if not made_of and path.is_dir():
        raise UserError(f"'{path}' is a folder, must be the name of a file")
    if made_of and path.exists() and not path.is_dir():
        raise UserError(f"'{path}' is a file, must be the name of a folder")
    missing = [name for name in made_of if not (path / name).exists()]
    if missing and path.is_dir() and any(path.iterdir()):
        raise UserError(
            f"'{path}' exists and is not replaced, since it holds no {missing[0]}: must be new, empty or made by this command"
        )
    return path


def write_whole(
    path: Path, write: Callable[[Path], object], made_of: Collection[str] = (), inputs: Iterable[Path] = ()
) -> None:
    """Let `write` make a file or folder under a temporary name beside `path`, then rename it.

    What is there is replaced where `check_place` allows it. When `write` fails, `path` stays as it was.

    Args:
        made_of: names that mark a folder made before; none: the names of what `write` puts into it, if it makes a folder.
        inputs: what must not be replaced.

    Raises:
        UserError: see `check_place`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        path = path.resolve()  # '.' and '..' have no name to write beside
    temporary = path.parent / f".{path.name}.{os.getpid()}.tmp"
    try:
        with checkpoint_errors(path.parent):
            write(temporary)
        if temporary.is_dir():
            made_of = made_of or os.listdir(temporary)
        path = check_place(path, made_of, inputs)
        if path.is_dir():
            shutil.rmtree(path)
        os.replace(temporary, path)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        elif temporary.exists():
            temporary.unlink()
