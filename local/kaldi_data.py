"""Kaldi data directories: tables of ``key value`` lines, sorted by key."""

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from espnet_plugin.errors import UserError


def read_table(path: Path) -> dict[str, str]:
    """Read ``key value`` lines; a key without a value has the empty string.

    Raises:
        UserError: no such file, or a key twice.
    """
    if not path.is_file():
        raise UserError(f"'{path}' does not exist")
    table = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        key, _, value = line.strip().partition(" ")
        if key in table:
            raise UserError(f"{path}, line {number}: key '{key}' stands twice")
        table[key] = value.strip()
    return table


def write_table(path: Path, table: Mapping[str, object]) -> None:
    """Write a table sorted by key in code-point order, as Kaldi's tools want it."""
    path.write_text("".join(f"{key} {table[key]}\n" for key in sorted(table)), encoding="utf-8")


def write_speakers(folder: Path, utt2spk: Mapping[str, str]) -> None:
    """Write utt2spk and spk2utt."""
    write_table(folder / "utt2spk", utt2spk)
    utterances: dict[str, list[str]] = {}
    for utterance in sorted(utt2spk):
        utterances.setdefault(utt2spk[utterance], []).append(utterance)
    write_table(folder / "spk2utt", {speaker: " ".join(keys) for speaker, keys in utterances.items()})


def write_folder(target: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary folder beside `target`, then put it in place of `target`; a failure leaves `target` as it was."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        temporary.mkdir(parents=True)
        write(temporary)
        shutil.rmtree(target, ignore_errors=True)
        temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
