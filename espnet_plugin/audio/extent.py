"""Whether libsndfile finds the end of an audio file.

It goes by what stands at the beginning, and reads no further: of a FLAC file whose length its encoder did not know, as one that wrote to a
pipe; of MP3 and Ogg files that were joined end to end; of an MP3 file that counts nothing, whose length it guesses from the first frames.
Of joined WAV and FLAC files every program reads the first alone, since its header says how long it is.
"""

import re
from typing import BinaryIO

from soundfile import SoundFile

UNKNOWN = 2**63 - 1  # frames that libsndfile gives to a FLAC file that does not say
XING = re.compile(rb"(?:Xing|Info)\0\0\0[\x03\x07\x0b\x0f].{4}(.{4})", re.DOTALL)  # numbers of frames and of bytes
FIRST_FRAME = 64  # bytes that hold its header, its side information and the beginning of Xing's header
SLACK = 2048  # bytes behind those that an MP3 file counts: tags, and a frame that some encoders leave out
FIRST_PAGE = 2  # flag of a page that begins a stream of Ogg
STREAMINFO = b"fLaC\0\0\0\x22"  # how a FLAC file begins; too long to stand elsewhere by chance
BLOCK = 1 << 20  # bytes read at a time


def finds_end(file: SoundFile, content: BinaryIO) -> bool:
    """Whether `file.frames` is the length of all that is there. It costs a look at the headers, no decoding.

    Args:
        file: opened by libsndfile.
        content: the same file's bytes, at any place; left at any other.
    """
    if file.frames in (0, UNKNOWN):  # a program that wrote to a pipe may have declared no length, or 0
        return False
    if file.format == "MP3":
        return counts_all(content)
    return file.format != "OGG" or has_one_stream(content)


def counts_all(content: BinaryIO) -> bool:
    """Whether an MP3 file begins with Xing's header, and this counts the bytes of all that follows."""
    size = content.seek(0, 2)
    content.seek(0)
    tag, begin = content.read(10), 0
    if tag.startswith(b"ID3") and len(tag) == 10:
        begin = 10 + sum((byte & 127) << 7 * place for place, byte in enumerate(reversed(tag[6:])))
    content.seek(begin)
    counted = XING.search(content.read(FIRST_FRAME))
    return counted is not None and size - begin - int.from_bytes(counted[1]) < SLACK


def has_one_stream(content: BinaryIO) -> bool:
    """Whether an Ogg file is pages from its beginning to its end, and no stream begins after another one has gone on."""
    size, place, gone_on = content.seek(0, 2), 0, False
    while place < size:
        content.seek(place)
        head = content.read(27)
        if len(head) < 27 or not head.startswith(b"OggS"):
            return False
        begins = bool(head[5] & FIRST_PAGE)
        if begins and gone_on:
            return False
        gone_on = gone_on or not begins
        place += 27 + head[26] + sum(content.read(head[26]))
    return True


def hides_another(file: SoundFile, content: BinaryIO) -> bool:
    """Whether another file stands behind a WAV or FLAC file.

    Args:
        file: as libsndfile or FFmpeg reads it.
        content: as for `finds_end`.
    """
    content.seek(0)
    head = content.read(8)
    if head.startswith(b"RIFF"):
        size = int.from_bytes(head[4:], "little")
        content.seek(8 + size + size % 2)
        return content.read(4) == b"RIFF"
    content.seek(0)
    return file.format == "FLAC" and count(STREAMINFO, content) > 1


def count(mark: bytes, content: BinaryIO) -> int:
    """How often a mark stands between here and the end."""
    found, rest = 0, b""
    while block := content.read(BLOCK):
        block = rest + block
        found += block.count(mark)
        rest = block[1 - len(mark) :]
    return found
