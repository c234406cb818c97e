"""Word error rates with confidence intervals: scipy's bootstrap, utterances drawn anew (Bisani & Ney, ICASSP 2004)."""

from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Errors:
    """Word edits of a system on a test set.

    Args:
        keys: utterance ids, ascending.
        edits: (N,) of each utterance, mean over the runs.
        words: (N,) of its reference.
        runs: number of runs (seeds).
    """

    keys: tuple[str, ...]
    edits: np.ndarray
    words: np.ndarray
    runs: int

    @property
    def rate(self) -> float:
        """Word error rate, %."""
        return 100 * self.edits.sum() / max(self.words.sum(), 1)


@dataclass(frozen=True)
class Estimate:
    """A figure and the ends of its 95 % confidence interval, None where the resamples give none; in percent."""

    value: float
    low: float | None
    high: float | None


def interval(statistic, data: tuple[np.ndarray, ...], resamples: int, seed: int) -> tuple[float | None, float | None]:
    """Ends of the 95 % percentile interval of a statistic of paired (N,) samples."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found = stats.bootstrap(
            data,
            statistic,
            n_resamples=resamples,
            batch=100,  # bounds memory: 100 N numbers for each sample
            vectorized=True,
            paired=True,
            method="percentile",
            rng=np.random.default_rng(seed),
        ).confidence_interval
    return tuple(float(end) if np.isfinite(end) else None for end in found)


def word_error_rate(errors: Errors, resamples: int = 1000, seed: int = 0) -> Estimate:
    """Word error rate, %."""
    if len(errors.keys) < 2:
        return Estimate(errors.rate, None, None)

    def rate(edits, words, axis):
        return 100 * edits.sum(axis) / words.sum(axis)

    return Estimate(errors.rate, *interval(rate, (errors.edits, errors.words), resamples, seed))


def relative_difference(pairs: list[tuple[Errors, Errors]], resamples: int = 1000, seed: int = 0) -> Estimate | None:
    """Mean over pairs of systems (new, old) of the relative difference of their error rates, %; below 0 the new one is better.

    All are systems on the same utterances, which are drawn for all of them alike.

    Returns:
        None without pairs, or where an old system makes no error.
    """
    if not pairs or any(not old.edits.any() for _, old in pairs):
        return None

    def difference(*edits, axis):
        sums = [values.sum(axis) for values in edits]
        return 100 * (sum(new / old for new, old in zip(sums[::2], sums[1::2])) / len(pairs) - 1)

    data = tuple(system.edits for pair in pairs for system in pair)
    value = float(difference(*data, axis=-1))
    if len(data[0]) < 2:
        return Estimate(value, None, None)
    return Estimate(value, *interval(difference, data, resamples, seed))
