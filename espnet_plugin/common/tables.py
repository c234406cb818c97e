"""The one reader and writer of Kaldi's tables: wav.scp, text, utt2spk, segments.

A line ends at ``\\n`` or ``\\r\\n`` only, so that no other character in a transcript makes two lines of one. A byte order mark at the
beginning of the file is passed over, as Windows' editors write it. Any white space separates the key from its value.
"""

import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from espnet_plugin.common.files import need_file, read_text
from espnet_plugin.errors import UserError


@dataclass(frozen=True)
class Segment:
    """A piece of a recording.

    Args:
        recording: its key in wav.scp.
        start, end: s; an end below 0 is the recording's end.
        channel: number of the channel, from 0; None: the mean of all.
    """

    recording: str
    start: float = 0.0
    end: float = -1.0
    channel: int | None = None


def one_spaced(text: str) -> str:
    """Text with one space between words, whatever white space was there: tabs, form feeds, ideographic spaces, U+2028."""
    return " ".join(text.split())


def check_key(key: str, place: str) -> None:
    """
    Raises:
        UserError: the key holds a character that nobody sees, so that the same name in another table would be another key.
    """
    for character in key:
        if unicodedata.category(character) == "Cc" or character == "\ufeff":
            name = unicodedata.name(character, "control character")
            raise UserError(f"{place}: key {key!a} holds U+{ord(character):04X} ({name}), must be visible characters")


def read_table(path: Path) -> dict[str, str]:
    """Read ``key value`` lines in the file's order.

    A value keeps the white space within, since it may be a path; a key without a value has the empty string. Empty lines are passed over.

    Raises:
        UserError: no such file, not UTF-8, a key twice, or a key with control characters; with the line's number.
    """
    path = need_file("", path)
    table = {}
    for number, line in enumerate(read_text(path).split("\n"), 1):
        row = line.split(maxsplit=1)
        if not row:
            continue
        key = row[0]
        check_key(key, f"{path}, line {number}")
        if key in table:
            raise UserError(f"{path}, line {number}: key '{key}' stands twice")
        table[key] = row[1].strip() if len(row) > 1 else ""
    return table


def read_transcripts(path: Path) -> dict[str, str]:
    """Read a table of transcripts: words with one space between them.

    Raises:
        UserError: see `read_table`.
    """
    return {key: one_spaced(words) for key, words in read_table(path).items()}


def stream_transcripts(path: Path) -> Iterator[str]:
    """Transcripts of a table of any size one after the other, without memory of its keys.

    Raises:
        UserError: it is not UTF-8.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="\n") as lines:
            for line in lines:
                if row := line.split(maxsplit=1):
                    yield one_spaced(row[1]) if len(row) > 1 else ""
    except UnicodeDecodeError as error:
        raise UserError(f"'{path}' is not UTF-8 text: {error.reason}") from error


def channel_number(text: str) -> int:
    """Of the channel column of segments: a number from 0, or a letter from A. Raises `ValueError`."""
    if len(text) == 1 and "A" <= text <= "Z":
        return ord(text) - ord("A")
    if not (text.isascii() and text.isdigit()):
        raise ValueError(text)
    return int(text)


def read_segments(path: Path) -> dict[str, Segment]:
    """Read a segments table: ``utterance recording start end``, and a channel where there is one.

    Raises:
        UserError: see `read_table`; or a line of another form.
    """
    segments = {}
    for utterance, value in read_table(path).items():
        try:
            recording, start, end, *channel = value.split()
            (number,) = map(channel_number, channel) if channel else (None,)
            segments[utterance] = Segment(recording, float(start), float(end), number)
        except ValueError:
            raise UserError(
                f"{path}: '{utterance} {value}' must be 'utterance recording start end', times in s, "
                "and the number of a channel where there are several"
            ) from None
    return segments


def table_text(table: Mapping[str, object]) -> str:
    """A table's lines, sorted by key in code-point order, which is the C locale's order of UTF-8, as Kaldi's tools want it.

    Raises:
        ValueError: a key with white space, or a value of several lines.
    """
    lines = []
    for key in sorted(table):
        value = str(table[key])
        if key.split() != [key] or "\n" in value:
            raise ValueError(f"{key!r}: {value!r} is no line of a table")
        lines.append(f"{key} {value}".strip() + "\n")
    return "".join(lines)


def write_table(path: Path, table: Mapping[str, object]) -> None:
    """Write a table, see `table_text`."""
    path.write_text(table_text(table), encoding="utf-8", newline="\n")


def write_speakers(folder: Path, utt2spk: Mapping[str, str]) -> None:
    """Write utt2spk and spk2utt."""
    write_table(folder / "utt2spk", utt2spk)
    utterances: dict[str, list[str]] = {}
    for utterance in sorted(utt2spk):
        utterances.setdefault(utt2spk[utterance], []).append(utterance)
    write_table(folder / "spk2utt", {speaker: " ".join(keys) for speaker, keys in utterances.items()})
