"""Utterances spoken one after the other: audio that is joined with pauses between."""

from collections.abc import Sequence

import numpy as np

from espnet_plugin.errors import UserError

QUIET = 0.05  # s of an utterance whose quietest stretch tells how loud a pause is


def floor_of(wave: np.ndarray, fs: int) -> float:
    """Root mean square of the quietest 50 ms of samples (n,), of all where there are less."""
    size = min(int(QUIET * fs), len(wave))
    pieces = wave[: len(wave) // size * size].reshape(-1, size)
    return float(np.sqrt(np.square(pieces, dtype=np.float64).mean(axis=1).min()))


def join_utterances(
    waves: Sequence[np.ndarray], fs: int, pauses: Sequence[float], rng: np.random.Generator
) -> tuple[np.ndarray, list[float]]:
    """Join utterances with pauses that sound as the quietest moments of what is around them: noise whose level goes from one to the other.

    Args:
        waves: samples (n,) of each.
        fs: Hz.
        pauses: s between them, one less than utterances.
        rng: of the noise.

    Returns:
        samples (n,) float32, and where each utterance begins, s.

    Raises:
        UserError: no utterance, an empty one, or another number of pauses.
    """
    if not waves or not all(map(len, waves)):
        raise UserError("utterances to be joined: there must be at least one, and none without samples")
    if len(pauses) != len(waves) - 1:
        raise UserError(f"utterances to be joined: {len(waves)} need {len(waves) - 1} pauses, not {len(pauses)}")
    parts, begins, place = [], [], 0
    for number, wave in enumerate(waves):
        begins.append(place / fs)
        parts.append(np.asarray(wave, np.float32))
        if number < len(pauses):
            size = round(pauses[number] * fs)
            level = np.linspace(floor_of(wave, fs), floor_of(waves[number + 1], fs), size)
            parts.append((rng.standard_normal(size) * level).astype(np.float32))
        place += sum(map(len, parts[-2:])) if number < len(pauses) else 0
    return np.concatenate(parts), begins
