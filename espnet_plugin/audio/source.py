"""Recordings as Kaldi's tables and command lines name them, read piece by piece.

A recording is the name of a file; a command that ends in ``|`` and writes a file to its standard output; ``FILE.ark:OFFSET``, a file
within an archive; or ``-``, standard input.
"""

import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import soundfile

from espnet_plugin.audio.extent import UNKNOWN, finds_end, hides_another
from espnet_plugin.errors import UserError

IN_ARCHIVE = re.compile(r"(.+\.ark):(\d+)")
DECLARED = re.compile(
    r"^data : (\d+) \(should be (\d+)\)", re.MULTILINE
)  # what libsndfile says of a WAV file's length in bytes
UNKNOWN_LENGTH = 0x7FFF0000  # about what programs declare that write to a pipe
STANDARD_INPUT = "-"
CUT_OFF = "a file that is shorter than its header says, as after a copy that was broken off: what is there was used"
JOINED = "a file behind which another one stands, as after 'cat a.wav b.wav': the first was used; 'sox a.wav b.wav both.wav' joins"


def spelt(name: str) -> str:
    """A file's name as text that can be written anywhere: a byte that is not UTF-8 is shown as ``\\udc`` and its two digits."""
    return name.encode(errors="backslashreplace").decode()


class Part(io.RawIOBase):
    """A file from a place on, as a file of its own. Args: path: of the file; begin: its first byte."""

    def __init__(self, path: str, begin: int):
        self.file, self.begin = Path(path).open("rb"), begin  # noqa: SIM115 (closed with the part)
        self.length = self.file.seek(0, io.SEEK_END) - begin
        self.seek(0)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        before = {io.SEEK_SET: 0, io.SEEK_CUR: self.tell(), io.SEEK_END: self.length}[whence]
        return self.file.seek(self.begin + before + offset) - self.begin

    def tell(self) -> int:
        return self.file.tell() - self.begin

    def readinto(self, buffer) -> int:
        return self.file.readinto(buffer)

    def close(self) -> None:
        self.file.close()
        super().close()


def run_command(command: str, file: BinaryIO) -> None:
    """Let a command write to a file.

    Raises:
        UserError: it failed.
    """
    done = subprocess.run(command, shell=True, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.PIPE)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise UserError(f"command failed with status {done.returncode}: {command}|{': ' + said[-1] if said else ''}")


def decode_by_ffmpeg(source: str | BinaryIO | Part, wave: BinaryIO) -> None:
    """Write what FFmpeg's decoders make of a file that libsndfile does not read (m4a, mp4, webm ...), or not to its end.

    Raises:
        UserError: they do not read it either, or it has no sound; the sentence goes on after the name of the audio.
    """
    import av  # only where it is needed: it takes a while to import

    try:
        with av.open(source, "r") as container:
            if not container.streams.audio:
                raise UserError("has no sound")
            stream = container.streams.audio[0]
            packed = av.AudioResampler(format="s16", layout=stream.layout, rate=stream.rate)
            rate, channels = stream.rate, stream.layout.nb_channels
            with soundfile.SoundFile(wave, "w", rate, channels, subtype="PCM_16", format="W64") as file:
                for frame in container.decode(stream):
                    for part in packed.resample(frame):
                        file.write(part.to_ndarray().reshape(-1, channels))
    except (av.FFmpegError, RuntimeError, ValueError) as error:
        raise UserError("is not audio that libsndfile or FFmpeg reads") from error


class Recording:
    """An open recording; a context manager.

    Args:
        source: see the module.

    Attributes:
        rate: Hz; channels; frames: samples of a channel.

    Raises:
        UserError: missing, unreadable, or of no length.
    """

    def __init__(self, source: str):
        self.source = str(source)
        if "\0" in self.source:
            raise UserError(f"audio {self.source!r} is no name of a file")
        self.held = ExitStack()
        try:
            self.file = self.open()
        except BaseException as error:
            self.close()
            if isinstance(error, OSError):
                raise self.error(f"cannot be opened: {error.strerror or error}") from error
            raise
        self.rate, self.channels, self.frames = self.file.samplerate, self.file.channels, self.file.frames

    def error(self, reason: str) -> UserError:
        return UserError(f"audio '{spelt(self.source)}' {reason}")

    def open(self) -> soundfile.SoundFile:
        content = self.original = self.content()
        file = None
        with suppress(soundfile.SoundFileError, RuntimeError):
            # Names need not be UTF-8, which soundfile wants of a text.
            name = os.fsencode(content) if isinstance(content, str) else content
            file = self.held.enter_context(soundfile.SoundFile(name))
        if file is not None and self.is_whole(file):
            return file
        if not isinstance(content, str):
            content.seek(0)
        wave = self.held.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
        try:
            decode_by_ffmpeg(content, wave)
        except UserError as error:
            if file is not None and not file.frames:
                return file
            raise self.error(str(error)) from error
        wave.seek(0)
        return self.held.enter_context(soundfile.SoundFile(wave))

    def is_whole(self, file: soundfile.SoundFile) -> bool:
        """Whether libsndfile reads all of a file, see `finds_end`. What follows a part of an archive is other audio."""
        if isinstance(self.original, Part):
            if file.frames == UNKNOWN:
                raise self.error("does not say how long it is, which a part of an archive must")
            return True
        with self.raw_bytes() as content:
            return finds_end(file, content)

    @contextmanager
    def raw_bytes(self) -> Iterator[BinaryIO]:
        """The bytes of the file, at any place; an open file is afterwards where it was."""
        if isinstance(self.original, str):
            with open(self.original, "rb") as content:
                yield content
            return
        place = self.original.tell()
        yield cast(BinaryIO, self.original)
        self.original.seek(place)

    def content(self) -> str | BinaryIO | Part:
        """The name of a plain file, or what the source stands for as an open file at its beginning."""
        source, archive = self.source, IN_ARCHIVE.fullmatch(self.source)
        if source.endswith("|") or source == STANDARD_INPUT:
            file = self.held.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
            if source == STANDARD_INPUT:
                shutil.copyfileobj(sys.stdin.buffer, file)
            else:
                run_command(source[:-1], file)
            file.seek(0)
            return file
        if archive and not Path(source).exists():
            if not Path(archive[1]).is_file():
                raise self.error(f"does not exist: there is no file '{archive[1]}'")
            return self.held.enter_context(Part(archive[1], int(archive[2])))
        if not Path(source).is_file():
            raise self.error("is a folder" if Path(source).is_dir() else "does not exist")
        return source

    def close(self) -> None:
        self.held.close()

    def __enter__(self) -> "Recording":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    @property
    def seconds(self) -> float:
        return self.frames / self.rate

    @property
    def is_plain(self) -> bool:
        """Whether it is a file of its own in a format that all programs read."""
        formats = self.file.format in ("FLAC", "WAV") and self.file.subtype in ("PCM_16", "PCM_24")
        return formats and self.file.name == os.fsencode(self.source)

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What is odd about the file, a sentence each: it was cut off and can be read up to there, or hides another file."""
        notes = []
        sizes = DECLARED.search(self.file.extra_info)
        if sizes is not None and int(sizes[2]) < int(sizes[1]) < UNKNOWN_LENGTH:
            notes.append(CUT_OFF)
        if not isinstance(self.original, Part):
            with self.raw_bytes() as content:
                notes += [JOINED] if hides_another(self.file, content) else []
        return tuple(notes)

    def blocks(self, start: int = 0, stop: int | None = None, seconds: float = 30.0) -> Iterator[np.ndarray]:
        """Samples from `start` up to `stop` (default: the end), `seconds` at a time.

        Returns:
            (n, C) float32.

        Raises:
            UserError: the file is damaged or cut off, or has samples that are no numbers.
        """
        stop = self.frames if stop is None else min(stop, self.frames)
        step = max(1, int(seconds * self.rate))
        try:
            self.file.seek(min(start, self.frames))
            while start < stop:
                block = self.file.read(min(step, stop - start), dtype="float32", always_2d=True)
                if not len(block):
                    raise self.error(f"ends after {start / self.rate:.3f} s of {self.seconds:.3f} s: it is cut off")
                if not np.isfinite(block).all():
                    raise self.error("has samples that are infinite or no numbers")
                start += len(block)
                yield block
        except (soundfile.SoundFileError, RuntimeError) as error:
            raise self.error(f"is damaged after {start / self.rate:.3f} s") from error
