"""Outputs are written whole or not at all, and damaged inputs are told in a sentence."""

import errno
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from urllib.parse import quote

from espnet_plugin.errors import UserError

TEMPORARY = ".espnet-todm.tmp"  # what names of temporary folders end in
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # where a copy fails for these, Python blames its source
temporary_folders: set[Path] = set()  # of this process
LONGEST_NAME = 200  # bytes; file systems take 255, and temporary names are longer than the file's own


@contextmanager
def write_errors(target: Path) -> Iterator[None]:
    """Tell a failure to write by the name that the user gave, as on a full disk: neither by a temporary one nor by none.

    Raises:
        OSError: naming `target`, for one without a name or with one that is not the user's.
        UserError: torch's bare `RuntimeError` of a checkpoint that cannot be written.
    """
    try:
        yield
    except OSError as error:
        named = error.filename is not None and TEMPORARY not in str(error.filename) and error.errno not in FULL
        if named or error.errno is None:  # of a reader of archives
            raise
        raise OSError(error.errno, error.strerror or str(error), str(target)) from error
    except RuntimeError as error:
        if "PytorchStreamWriter" not in str(error) and "unexpected pos" not in str(error):
            raise
        folder = next(folder for folder in (Path(target), *Path(target).absolute().parents) if folder.is_dir())
        free = shutil.disk_usage(folder).free
        raise UserError(f"'{target}' cannot be written: {free:,} bytes are free in '{folder}'") from error


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
        UserError: it holds something else, as a folder does, or a number that JSON does not have (NaN, Infinity).
    """
    if not path.exists():
        return None
    try:
        found = json.loads(read_text(need_file("JSON", path)), parse_constant=no_number)
    except json.JSONDecodeError as error:
        raise UserError(f"'{path}', line {error.lineno}: is not JSON") from error
    except (ValueError, RecursionError) as error:  # an integer of thousands of digits, lists in lists
        raise UserError(f"'{path}': is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise UserError(f"'{path}': is not a JSON object")
    return found


def no_number(word: str) -> None:
    raise ValueError(f"{word} is no number of JSON")


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
    for folder in path.parents:
        if folder.exists() and not folder.is_dir():
            raise UserError(f"'{path}' cannot be written, since '{folder}' is a file")
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


def remove(path: Path) -> None:
    """Remove a folder or file, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def check_places(
    outputs: Mapping[str, Path | None],
    inputs: Iterable[Path | None],
    made_of: Mapping[str, Collection[str]] = MappingProxyType({}),
) -> None:
    """Whether the outputs of a program may be written, see `check_place`, and none of them is or holds another.

    Args:
        outputs: what each is called in a sentence, as the option that names it, and its place; None: there is none.
        inputs: likewise.
        made_of: of those that are folders.

    Raises:
        UserError: naming both.
    """
    kept = [path for path in inputs if path is not None]
    found: dict[Path, str] = {}
    for what, place in outputs.items():
        if place is None:
            continue
        path = check_place(place, made_of.get(what, ()), kept)
        for other, said in found.items():
            if path.is_relative_to(other) or other.is_relative_to(path):
                raise UserError(f"{what}: '{place}' is or holds what {said} writes: name another output")
        found[path] = what


def remove_temporary_folders() -> None:
    """Remove what this process is writing, before it ends without unwinding."""
    for folder in tuple(temporary_folders):
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def temporary_folder(target: Path) -> Iterator[Path]:
    """A folder beside an output, on the same file system, that goes with all that is in it; so do empty folders made to hold the output."""
    made = [folder for folder in (target.parent, *target.parent.parents) if not folder.exists()]
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = target.parent / f".{target.name[:40]}.{secrets.token_hex(4)}{TEMPORARY}"
    temporary_folders.add(folder)  # before it is there, so that no moment is left in which it could stay
    try:
        folder.mkdir()
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        temporary_folders.discard(folder)
        for parent in made:
            with suppress(OSError):  # something lies in it
                parent.rmdir()


def write_whole(
    path: Path, write: Callable[[Path], object], made_of: Collection[str] = (), inputs: Iterable[Path] = ()
) -> None:
    """Let `write` make a file or folder under the same name in a temporary folder beside it, then move it into its place.

    What is there is replaced where `check_place` allows it. When `write` fails, or the program is ended, `path` stays as it was.

    Args:
        write: is given the place to write to; what else it puts beside that is thrown away.
        made_of: names that mark a folder made before; none: the names of what `write` puts into it, if it makes a folder.
        inputs: what must not be replaced.

    Raises:
        UserError: see `check_place`.
        OSError: naming `path`, see `write_errors`.
    """
    path = Path(path)
    if path.is_dir() or path.name == "..":
        path = path.resolve()  # '.' and '..' have no name to write beside
    if not path.name:
        check_place(path)  # the root of all folders has none either
    with write_errors(path), temporary_folder(path) as folder:
        made = folder / path.name
        write(made)
        if made.is_dir():
            made_of = made_of or os.listdir(made)
        path = check_place(path, made_of, inputs)
        if not path.is_dir():
            os.replace(made, path)
            return
        before = folder / f"{path.name}.before"
        try:
            path.rename(before)
            made.rename(path)
        except BaseException:
            if before.exists() and not path.exists():
                before.rename(path)
            raise


def write_text(path: Path, text: str) -> None:
    """Write a text file whole, as UTF-8."""
    write_whole(path, lambda whole: whole.write_text(text, encoding="utf-8", newline=""))


def write_json(path: Path, value: object, indent: int | None = 1) -> None:
    """Write a JSON file whole. Args: indent: of nested values, spaces; None for one line."""
    write_text(path, json.dumps(value, indent=indent, ensure_ascii=False) + "\n")


def need_file(what: str, path: Path | str, may_be_folder: bool = False) -> Path:
    """The path of an input, which must be a file.

    Args:
        what: beginning of the sentence, as ``--data:`` or ``checkpoint``; "" for none.
        may_be_folder: a folder, or what is no plain file, will do too.

    Raises:
        UserError: it is a folder, or does not exist.
    """
    if not (Path(path).exists() if may_be_folder else Path(path).is_file()):
        why = "is a folder, must be a file" if Path(path).is_dir() else "does not exist"
        raise UserError(f"{what} '{path}' {why}".lstrip())
    return Path(path)
