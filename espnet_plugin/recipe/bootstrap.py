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


def interval(statistic, sizes: list[int], resamples: int, seed: int) -> tuple[float | None, float | None]:
    """Ends of the 95 % percentile interval of a statistic of test sets, each drawn anew from its own utterances.

    Args:
        statistic: takes for each set the numbers (..., N) of the utterances drawn, and an axis.
        sizes: N of each set.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        found = stats.bootstrap(
            tuple(map(np.arange, sizes)),
            statistic,
            n_resamples=resamples,
            batch=100,  # bounds memory: 100 N numbers for each set
            vectorized=True,
            method="percentile",
            rng=np.random.default_rng(seed),
        ).confidence_interval
    return tuple(float(end) if np.isfinite(end) else None for end in found)


def word_error_rate(errors: Errors, resamples: int = 1000, seed: int = 0) -> Estimate:
    """Word error rate, %."""
    if len(errors.keys) < 2:
        return Estimate(errors.rate, None, None)

    def rate(drawn, axis):
        return 100 * errors.edits[drawn].sum(axis) / errors.words[drawn].sum(axis)

    return Estimate(errors.rate, *interval(rate, [len(errors.keys)], resamples, seed))


def relative_difference(pairs: list[tuple[Errors, Errors]], resamples: int = 1000, seed: int = 0) -> Estimate | None:
    """Mean over pairs of systems (new, old) of the relative difference of their error rates, %; below 0 the new one is better.

    A pair's systems ran on the same utterances; pairs may be of several test sets. The utterances of a set are drawn for all systems alike.

    Returns:
        None without pairs, or where an old system makes no error.
    """
    if not pairs or any(not old.edits.any() for _, old in pairs):
        return None
    sets = list(dict.fromkeys(new.keys for new, _ in pairs))
    number = [sets.index(new.keys) for new, _ in pairs]

    def difference(*drawn, axis):
        ratios = [new.edits[drawn[i]].sum(axis) / old.edits[drawn[i]].sum(axis) for i, (new, old) in zip(number, pairs)]
        return 100 * (sum(ratios) / len(ratios) - 1)

    sizes = [len(keys) for keys in sets]
    value = float(difference(*map(np.arange, sizes), axis=-1))
    if min(sizes) < 2:
        return Estimate(value, None, None)
    return Estimate(value, *interval(difference, sizes, resamples, seed))
