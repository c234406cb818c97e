"""Samples in memory, read as a recording is."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from espnet_plugin.common.bounds import is_number, shown
from espnet_plugin.common.rate import RATES
from espnet_plugin.errors import UserError

FLOATS = ("float16", "float32", "float64")
INTEGERS = ("int8", "int16", "int32")  # int64 would be of a scale that nobody uses


def of_full_scale(values: object) -> np.ndarray:
    """Samples (n, channels) float32 in [-1, 1].

    Raises:
        UserError: see `Samples`.
    """
    try:
        found = np.asarray(values)
    except Exception as error:  # whatever lists of unlike lengths or tensors on a device raise
        raise UserError(
            f"samples: a {type(values).__name__} is no array of numbers: {str(error).splitlines()[0]}"
        ) from error
    if found.dtype.name not in (*FLOATS, *INTEGERS):
        raise UserError(
            f"samples: {found.dtype.name} must be one of {', '.join(FLOATS)} in [-1, 1], {', '.join(INTEGERS)}"
        )
    if found.ndim not in (1, 2) or (found.ndim == 2 and not 1 <= found.shape[1] <= len(found)):
        turned = ", transpose it" if found.ndim == 2 and found.shape[1] > len(found) else ""
        raise UserError(f"samples: an array of shape {found.shape} must be (n,) or (n, channels){turned}")
    with np.errstate(over="ignore"):  # becomes infinite, which is refused
        wave = found.reshape(len(found), -1 if len(found) else 1).astype(np.float32)
    if found.dtype.name in INTEGERS:
        wave /= np.float32(np.iinfo(found.dtype).max + 1)
    return wave


class Samples:
    """Samples with what `MonoAudio` asks of a recording.

    Args:
        values: (n,) or (n, channels): floats in [-1, 1], or integers of 8, 16 or 32 bits of which the lowest stands for -1.
        rate: Hz, a whole number.

    Attributes:
        rate: Hz; channels; frames: samples of a channel; seconds; notes: what is odd about them, nothing.

    Raises:
        UserError: another type, shape or rate, or numbers that are infinite or none.
    """

    notes: tuple[str, ...] = ()

    def __init__(self, values: object, rate: object):
        self.wave = of_full_scale(values)
        number: Any = rate.item() if isinstance(rate, np.number) else rate
        if not is_number(number) or number not in RATES or number != round(number):
            raise UserError(f"rate: {shown(rate)} must be a whole number {RATES} Hz")
        self.rate = round(number)
        self.frames, self.channels = self.wave.shape
        self.seconds = self.frames / self.rate
        if not np.isfinite(self.wave).all():
            raise self.error("has numbers that are infinite or none")

    def error(self, reason: str) -> UserError:
        return UserError(f"audio 'samples' {reason}")

    def blocks(self, start: int = 0, stop: int | None = None, seconds: float = 30.0) -> Iterator[np.ndarray]:
        """Samples from `start` up to `stop` (default: the end), `seconds` at a time. Returns: (n, C) float32."""
        wave, step = self.wave[start:stop], max(1, int(seconds * self.rate))
        return (wave[place : place + step] for place in range(0, len(wave), step))
