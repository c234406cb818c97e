"""What the data stages share: Kaldi tables (``key value`` lines sorted by key), whole outputs, and processes with progress."""

import argparse
import io
import multiprocessing
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import soundfile
from tqdm import tqdm

from espnet_plugin.common.files import check_place, read_text
from espnet_plugin.errors import UserError


def positive(text: str) -> int:
    """A whole number of at least 1, for argparse."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' must be a whole number of at least 1")
    return int(text)


def read_table(path: Path) -> dict[str, str]:
    """Read ``key value`` lines, separated by blanks or tabs; a key without a value has the empty string.

    Raises:
        UserError: no such file, not UTF-8, or a key twice.
    """
    if not path.is_file():
        raise UserError(f"'{path}' does not exist")
    table = {}
    for number, line in enumerate(read_text(path).split("\n"), 1):
        key, _, value = line.strip().replace("\t", " ").partition(" ")
        if key in table:
            raise UserError(f"{path}, line {number}: key '{key}' stands twice")
        if key:
            table[key] = value.strip()
    return table


def write_table(path: Path, table: Mapping[str, object]) -> None:
    """Write a table sorted by key in code-point order, which is the C locale's order of UTF-8, as Kaldi's tools want it."""
    path.write_text("".join(f"{key} {table[key]}".strip() + "\n" for key in sorted(table)), encoding="utf-8")


def write_speakers(folder: Path, utt2spk: Mapping[str, str]) -> None:
    """Write utt2spk and spk2utt."""
    write_table(folder / "utt2spk", utt2spk)
    utterances: dict[str, list[str]] = {}
    for utterance in sorted(utt2spk):
        utterances.setdefault(utt2spk[utterance], []).append(utterance)
    write_table(folder / "spk2utt", {speaker: " ".join(keys) for speaker, keys in utterances.items()})


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


def run_jobs[J, R](
    function: Callable[[J], R], jobs: list[J], nj: int, title: str, fresh: bool = False, chunk: int = 1
) -> Iterator[R]:
    """Results of `function` on each job, in the order in which they end, with progress on a terminal.

    Args:
        nj: processes; fresh: a new process for each job; chunk: jobs handed over at once.
    """
    pool = multiprocessing.get_context("fork").Pool(
        nj, signal.signal, (signal.SIGINT, signal.SIG_IGN), maxtasksperchild=1 if fresh else None
    )
    with pool, tqdm(total=len(jobs), desc=title, disable=None, file=sys.stderr) as bar:
        for result in pool.imap_unordered(function, jobs, chunksize=chunk):
            yield result
            bar.update()
