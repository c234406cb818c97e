"""What is wrong with a piece of audio, and what is done about it.

What can be mended without a guess is mended and said; what cannot is refused with the reason.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from espnet_plugin.errors import UserError

# Floating-point samples up to ten times full scale (20 dB) are loud; beyond, they are integers of one of these scales.
LOUD = 10.0
INTEGER_SCALES = {"16-bit": 2.0**15, "24-bit": 2.0**23, "32-bit": 2.0**31}
SILENCE = 2.0**-14  # of full scale: two steps of a 16-bit sample between the lowest and the highest one
OPPOSITE = 0.1  # power of the mean of channels over the mean of their powers; 1 for equal ones, 1/2 for unlike ones


@dataclass(frozen=True)
class Survey:
    """Measures of a piece of audio.

    Args:
        frames: samples of a channel.
        peak: largest magnitude of a sample.
        span: highest minus lowest sample of the loudest channel.
        powers: mean square of each channel, without its mean.
        mixed: mean square of the mean of all channels, without its mean.
    """

    frames: int
    peak: float
    span: float
    powers: tuple[float, ...]
    mixed: float

    @classmethod
    def of(cls, blocks: Iterable[np.ndarray], channels: int) -> "Survey":
        """Args: blocks of samples (n, C), one after the other; channels: C."""
        frames, lowest, highest = 0, np.full(channels, np.inf), np.full(channels, -np.inf)
        sums, squares = np.zeros(channels + 1), np.zeros(channels + 1)  # the mean of all channels is the last
        for block in blocks:
            if not len(block):
                continue
            frames += len(block)
            lowest, highest = np.minimum(lowest, block.min(0)), np.maximum(highest, block.max(0))
            both = block if channels == 1 else np.concatenate([block, block.mean(1, keepdims=True)], axis=1)
            sums[: both.shape[1]] += both.sum(0, dtype=np.float64)
            squares[: both.shape[1]] += np.einsum("nc,nc->c", both, both, dtype=np.float64)
        if not frames:
            return cls(0, 0.0, 0.0, (0.0,) * channels, 0.0)
        powers = np.maximum(squares / frames - (sums / frames) ** 2, 0)
        peak = max(abs(lowest).max(), abs(highest).max())
        mixed = powers[0] if channels == 1 else powers[-1]
        return cls(
            frames, float(peak), float((highest - lowest).max()), tuple(powers[:channels].tolist()), float(mixed)
        )


@dataclass(frozen=True)
class Treatment:
    """How samples become what a model hears.

    Args:
        gain: factor.
        channel: the one that is taken, None for the mean of all.
        notes: sentences on what was done, none for a proper recording; equal ones for audio of the same kind, so that they can be counted.
    """

    gain: float = 1.0
    channel: int | None = None
    notes: tuple[str, ...] = ()

    def mono(self, block: np.ndarray) -> np.ndarray:
        """Args: block (n, C). Returns: (n,) float32."""
        wave = block.mean(axis=1) if self.channel is None else block[:, self.channel]
        return wave if self.gain == 1 else wave * np.float32(self.gain)


def treatment(survey: Survey, rate: int, fs: int) -> Treatment:
    """What to do with a piece of audio.

    Args:
        survey: its measures.
        rate: Hz; fs: Hz that the model hears.

    Raises:
        UserError: it is empty, silent or of no known scale; the sentence goes on after the name of the audio.
    """
    if survey.frames == 0:
        raise UserError("has no samples")
    notes, gain, channel = [], 1.0, None
    if survey.peak > LOUD:
        scales = [name for name, scale in INTEGER_SCALES.items() if survey.peak <= 1.01 * scale]
        if not scales:
            raise UserError(f"has samples of up to {survey.peak:.3g}, must be from -1 to 1")
        gain = 1 / INTEGER_SCALES[scales[0]]
        notes.append(f"floating-point samples at the scale of {scales[0]} integers, brought to [-1, 1]")
    elif survey.peak > 1:
        gain = 1 / survey.peak
        notes.append("samples beyond [-1, 1], made softer instead of clipped")
    if survey.span * gain <= SILENCE:
        raise UserError("is silent")
    if len(survey.powers) > 1 and survey.mixed < OPPOSITE * sum(survey.powers) / len(survey.powers):
        channel = int(np.argmax(survey.powers))
        notes.append("channels of opposite phases, which cancel each other in their mean: the louder one was taken")
    if rate < fs:
        notes.append(
            f"sampled at {rate} Hz for a model of {fs} Hz, which hears nothing above {rate // 2} Hz here and makes more errors: "
            f"record at {fs} Hz, or train with --bandwidth_augment true"
        )
    return Treatment(gain, channel, tuple(notes))
