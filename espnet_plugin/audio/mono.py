"""Mono audio at a model's sampling rate, checked: the one way from a recording to samples, for formatting, decoding and transcribing."""

import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soxr

from espnet_plugin.audio.checks import Survey, Treatment, treatment
from espnet_plugin.audio.samples import Samples
from espnet_plugin.audio.source import Recording
from espnet_plugin.errors import UserError

OVERSHOOT = 0.5  # s that a piece may end after its recording, as in Kaldi's extract-segments


class MonoAudio:
    """A recording, or a piece of one, as a model hears it.

    Nothing but a block is held in memory. The audio is read twice: once for its measures, once for its samples.

    Args:
        recording: open, or samples.
        fs: Hz wanted, other rates are resampled.
        start, end: of the piece, s; an end below 0 is the recording's end.
        channel: the one wanted, None for the mean of all.
        speed: factor by which the audio is played faster, pitch and tempo alike.

    Attributes:
        notes: what was mended, see `Treatment`.
        crc: of the samples of the wanted channels, before anything is mended or resampled.

    Raises:
        UserError: the piece lies outside the recording, is damaged, or refused by `treatment`; with the name of the audio.
    """

    def __init__(
        self,
        recording: Recording | Samples,
        fs: int,
        start: float = 0.0,
        end: float = -1.0,
        channel: int | None = None,
        speed: float = 1.0,
    ):
        self.recording, self.fs, self.channel = recording, fs, channel
        seconds, rate = recording.seconds, recording.rate
        end = seconds if end < 0 else end
        if not 0 <= start <= end <= seconds + OVERSHOOT:
            raise recording.error(f"has {seconds:.3f} s, a piece from {start} to {end} s is not in it")
        if channel is not None and not 0 <= channel < recording.channels:
            raise recording.error(f"has {recording.channels} channels, so none of number {channel}, counted from 0")
        self.first, self.last = round(start * rate), min(round(end * rate), recording.frames)
        self.played, self.crc = rate * speed, 0
        self.treatment = self.examine()

    def chosen(self) -> Iterator[np.ndarray]:
        """Blocks (n, C) of the wanted channels."""
        blocks = self.recording.blocks(self.first, self.last)
        return blocks if self.channel is None else (block[:, self.channel : self.channel + 1] for block in blocks)

    def summed(self) -> Iterator[np.ndarray]:
        """The same, whose sum becomes `crc`."""
        for block in self.chosen():
            self.crc = zlib.crc32(np.ascontiguousarray(block), self.crc)
            yield block

    def examine(self) -> Treatment:
        channels = self.recording.channels if self.channel is None else 1
        try:
            return treatment(Survey.of(self.summed(), channels), self.recording.rate, self.fs)
        except UserError as error:
            raise error if str(error).startswith("audio '") else self.recording.error(str(error)) from error

    @property
    def notes(self) -> tuple[str, ...]:
        return self.treatment.notes + self.recording.notes

    @property
    def seconds(self) -> float:
        return (self.last - self.first) / self.played

    def blocks(self) -> Iterator[np.ndarray]:
        """Samples (n,) float32 at `fs`, some at a time, for audio of any length."""
        if self.played == self.fs:
            yield from map(self.treatment.mono, self.chosen())
            return
        resampler = soxr.ResampleStream(self.played, self.fs, 1)
        for block in self.chosen():
            yield resampler.resample_chunk(self.treatment.mono(block))
        yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)

    def samples(self) -> np.ndarray:
        """All samples (n,) float32 at `fs`.

        Raises:
            UserError: none is left at that rate.
        """
        wave = np.concatenate([self.treatment.mono(block) for block in self.chosen()])
        # One resampler for training and for use: another one leaves other traces above the old Nyquist frequency, and a model hears them.
        wave = wave if self.played == self.fs else soxr.resample(wave, self.played, self.fs)
        if not len(wave):
            raise self.recording.error(f"has no samples at {self.fs} Hz")
        return wave


def read_mono(source: str | Path, fs: int) -> np.ndarray:
    """All samples (n,) float32 at `fs` of a recording, see `MonoAudio`."""
    with Recording(str(source)) as recording:
        return MonoAudio(recording, fs).samples()
