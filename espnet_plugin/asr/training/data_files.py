"""The files that a training reads, looked at before anything is trained: tables and shapes that go together, audio that is there."""

import argparse
import logging
import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import soundfile

from espnet_plugin.audio.source import IN_ARCHIVE
from espnet_plugin.common.bounds import shown
from espnet_plugin.common.files import need_file
from espnet_plugin.common.tables import read_table
from espnet_plugin.errors import UserError

AUDIO = ("sound", "kaldi_ark")  # types whose values name files
TABLES = (
    *AUDIO,
    "npy",
    "text",
    "text_int",
    "text_float",
    "csv_int",
    "csv_float",
)  # types of ESPnet with a line an utterance
LOOKED_AT = 200  # audio files of a table whose headers are read, evenly spread: of large corpora all would take minutes


def check_data(args: argparse.Namespace, fs: int | None) -> None:
    """
    Args:
        fs: Hz that the frontend asks for, None where it does not tell.

    Raises:
        UserError: a file that is missing or damaged, an utterance that one file has and another lacks, audio of another sampling rate.
    """
    for phase in ("train", "valid"):
        files = getattr(args, f"{phase}_data_path_and_name_and_type")
        tables = {path: read_lines(path) for path, _, kind in files if kind in TABLES}
        shapes = {path: read_shapes(f"--{phase}_shape_file", path) for path in getattr(args, f"{phase}_shape_file")}
        used = check_together(shapes, tables)
        for path, _, kind in files:
            if kind in AUDIO:
                check_audio(path, {key: tables[path][key] for key in used})
            if kind == "sound" and fs is not None and not args.allow_multi_rates:
                check_rates(path, [tables[path][key] for key in used], fs)


def read_lines(path: str) -> dict[str, str]:
    """A table as ESPnet reads it.

    Raises:
        UserError: see `read_table`; or it has no lines, an empty one, or a byte order mark, which ESPnet takes for a part of the first key.
    """
    table = read_table(Path(path))
    if not table:
        raise UserError(f"'{path}': has no utterance")
    text = Path(path).read_bytes().decode()  # `read_table` has found it to be UTF-8
    if text.startswith("\ufeff"):
        raise UserError(f"'{path}', line 1: begins with a byte order mark (U+FEFF), must be UTF-8 without one")
    for number, line in enumerate(text.removesuffix("\n").split("\n"), 1):
        if not line.strip():
            raise UserError(f"'{path}', line {number}: is empty")
    return table


def read_shapes(key: str, path: str) -> dict[str, str]:
    """A shape file: lengths of utterances, and perhaps features a frame, separated by commas. Raises `UserError`."""
    need_file(f"{key}:", path)
    table = read_lines(path)
    for name, value in table.items():
        numbers = value.split(",")
        if not all(number.isascii() and number.isdigit() and int(number) > 0 for number in numbers):
            raise UserError(
                f"'{path}': the shape of '{name}', {shown(value)}, must be positive numbers such as 32820 or 205,80"
            )
    return table


def check_together(shapes: dict[str, dict], tables: dict[str, dict]) -> Sequence[str]:
    """The utterances that are trained on: those of the shape files, or without any those of the first table.

    Raises:
        UserError: one of them is missing elsewhere.
    """
    found = shapes | tables
    if not found:
        return ()
    first, keys = next(iter(found.items()))
    for path, table in found.items():
        lost = [key for key in keys if key not in table]
        if lost:
            raise UserError(f"'{first}': utterance '{lost[0]}' is not in '{path}', and so {len(lost)} of {len(keys)}")
        more = len(table) - len(keys)
        if more and path in shapes:
            extra = next(key for key in table if key not in keys)
            raise UserError(f"'{path}': utterance '{extra}' is not in '{first}', and so {more} of {len(table)}")
        if more:
            # Not by logging, which ESPnet has yet to configure.
            left_out = f"{more} of {len(table)} utterances of '{path}' are left out, since '{first}' has none of them"
            print(left_out, file=sys.stderr)
    return list(keys)


def check_audio(path: str, audio: dict[str, str]) -> None:
    """Raise a `UserError` for an utterance whose file is not there. Commands are not run."""
    for key, name in audio.items():
        if name == "":
            raise UserError(f"'{path}': utterance '{key}' names no file")
        archive = IN_ARCHIVE.fullmatch(name)
        file = Path(archive[1] if archive else name)
        if not name.endswith("|") and not file.is_file():
            raise UserError(
                f"'{path}': '{file}' of utterance '{key}' {'is a folder' if file.is_dir() else 'does not exist'}"
            )


def check_rates(path: str, names: Sequence[str], fs: int) -> None:
    """Raise a `UserError` for audio that is sampled at another rate, of the files that are looked at."""
    plain = [name for name in names if not name.endswith("|") and not IN_ARCHIVE.fullmatch(name)]
    looked = plain[:: max(1, math.ceil(len(plain) / LOOKED_AT))]
    others = []
    for name in looked:
        try:
            rate = soundfile.info(name).samplerate
        except (soundfile.SoundFileError, RuntimeError) as error:
            raise UserError(f"'{path}': '{name}' is not audio that can be read") from error
        others += [(name, rate)] if rate != fs else []
    if others:
        name, rate = others[0]
        raise UserError(
            f"'{path}': '{name}' is sampled at {rate} Hz, frontend_conf.fs is {fs}: {len(others)} of {len(looked)} files looked at are "
            "of another rate, format them (the recipe's formatting stage does) or change fs"
        )


@contextmanager
def reading() -> Iterator[None]:
    """Tell what cannot be read in the midst of training in a sentence, where data are at fault more often than the program.

    Raises:
        UserError: with the reason; the traceback is in the log.
    """
    try:
        yield
    except (UserError, KeyboardInterrupt, SystemExit):
        raise
    except Exception as error:  # of any library that reads data, in this process or a worker of it
        logging.exception("data of the training cannot be read")
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise UserError(
            f"training stopped: its data cannot be read, {lines[-1] if lines else type(error).__name__}"
        ) from error
