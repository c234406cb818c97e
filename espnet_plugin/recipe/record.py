"""What an output was made from: a labelled JSON record beside it, by which the recipe says why a stage runs again."""

import json
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from espnet_plugin.common.files import write_json
from espnet_plugin.common.text import TextConf

REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
NOTHING = object()
NO_FILE = "#4294967295"  # the sum of files that are not there

# Labels that records of earlier versions lack, and what outputs of that time were made with.
BEFORE: dict[str, object] = {
    "losses": NO_FILE,
    "transcripts": TextConf().as_dict(),
    "text_conf": None,
    "symbols": [],
    "metric": "wer",
    "data_backend": "kaldi",
}
# What other labels begin with that they lack: what they stand for is taken to be as it was.
UNTOLD = ("audio of ", "speakers of ", "counts of ", "complete")
BLOCK = 1 << 20  # bytes read at a time


def cksum(data: bytes) -> int:
    """The CRC of POSIX's cksum."""
    return cksum_of([data])


def cksum_of(blocks: Iterable[bytes]) -> int:
    """The same of data in pieces: zlib's with the bits of each byte, and of the result, in reversed order, and the length behind."""
    crc, size = 0xFFFFFFFF, 0
    for block in blocks:
        crc, size = zlib.crc32(block.translate(REVERSED), crc), size + len(block)
    crc = zlib.crc32(size.to_bytes((size.bit_length() + 7) // 8, "little").translate(REVERSED), crc)
    return int(f"{crc:032b}"[::-1], 2)


def blocks_of(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            yield block


def sum_of(*paths: Path) -> str:
    """Sum of the content of files, one after the other; those that do not exist are empty."""
    return f"#{cksum_of(block for path in paths if path.is_file() for block in blocks_of(path))}"


def marker_of(output: Path, kind: str) -> Path:
    """Where the record of a stage's output is."""
    return output.parent / f".{output.name}.{kind}.done"


def as_json(inputs: dict) -> dict:
    """Inputs as they are after they were written and read."""
    return json.loads(json.dumps(inputs, default=str))


def read_record(path: Path) -> dict | str | None:
    """The record in a file; the text of one that an earlier version wrote, which had no labels; None where there is no file."""
    if not path.is_file():
        return None
    text = path.read_text(encoding="utf-8", errors="replace").removesuffix("\n")
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        return text
    return found if isinstance(found, dict) else text


def write_record(path: Path, inputs: dict) -> None:
    write_json(path, as_json(inputs))


def flat(values: dict, above: str = "") -> dict[str, object]:
    """Nested dictionaries as one, with dots between the keys."""
    found: dict[str, object] = {}
    for key, value in values.items():
        if isinstance(value, dict) and value:
            found |= flat(value, f"{above}{key}.")
        else:
            found[f"{above}{key}"] = value
    return found


def text_of(value: object) -> str:
    """A value as a reader wants it in a sentence."""
    if value is NOTHING:
        return "(none)"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."


def differences(before: dict, now: dict) -> list[str]:
    """What has changed, an entry each: ``optim_conf.lr 0.03 -> 0.045``; of the content of files only that it has.

    Args:
        before: the record of an output.
        now: what it would be made from now.
    """
    told = []
    for label in dict.fromkeys([*now, *before]):
        old, new = (values.get(label, BEFORE.get(label, NOTHING)) for values in (before, now))
        if old == new or (label not in before and label.startswith(UNTOLD)):
            continue
        nested = isinstance(old, dict) and isinstance(new, dict)  # then the keys say enough
        old_keys, new_keys = (flat(v) for v in (old, new)) if nested else (flat({label: old}), flat({label: new}))
        for key in dict.fromkeys([*new_keys, *old_keys]):
            a, b = old_keys.get(key, NOTHING), new_keys.get(key, NOTHING)
            if a is b or a == b:
                continue
            sums = all(isinstance(value, str) and value.startswith("#") for value in (a, b))
            told.append(f"{key} has changed" if sums else f"{key} {text_of(a)} -> {text_of(b)}")
    return told


def as_before(now: dict) -> bool:
    """Whether inputs have nothing that records without labels could not hold. Args: now: see `as_json`."""
    return all(now[label] == as_json({label: value})[label] for label, value in BEFORE.items() if label in now)


def reason(changes: Iterable[str]) -> str:
    """The changes in one line, the first three of many."""
    changes = list(changes)
    more = f" and {len(changes) - 3} more" if len(changes) > 3 else ""
    return "; ".join(changes[:3]) + more
