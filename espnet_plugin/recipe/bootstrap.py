"""Ratios such as word error rates, with confidence intervals: scipy's bootstrap, seeds and utterances drawn anew.

Utterances are drawn as Bisani & Ney (ICASSP 2004) do. Where a system was trained with several seeds, these are drawn too, so that an
interval also says how much another training would differ (hierarchical bootstrap). One seed says nothing of that. Of R seeds R - 1 are
drawn (Rao & Wu 1988, m = n - 1): the mean of R drawn of R varies by (R - 1) / R of what it should, which is half with two seeds.
"""

import warnings
from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Counts:
    """What a system's trainings did on a test set: its word edits of words, or its loss of tokens.

    Args:
        keys: utterance ids, ascending.
        above: (R, N) of each run and utterance: edits, or nats.
        below: (N,) of each utterance: words of its reference, or tokens.
    """

    keys: tuple[str, ...]
    above: np.ndarray
    below: np.ndarray

    @property
    def runs(self) -> int:
        """R, trainings with different seeds."""
        return len(self.above)

    def ratio(self, runs: np.ndarray | None = None, utterances: np.ndarray | None = None) -> np.ndarray:
        """Sum above over sum below, mean over runs.

        Args:
            runs: (..., R) indices of the runs that were drawn; None for each once.
            utterances: (..., N) likewise.

        Returns:
            (...).
        """
        runs = np.arange(self.runs) if runs is None else runs
        utterances = np.arange(len(self.keys)) if utterances is None else utterances
        above = self.above[runs[..., :, None], utterances[..., None, :]]
        with np.errstate(divide="ignore", invalid="ignore"):
            return above.sum((-1, -2)) / (runs.shape[-1] * self.below[utterances].sum(-1))


@dataclass(frozen=True)
class Estimate:
    """A figure and the ends of its 95 % confidence interval, None where the resamples give none."""

    value: float
    low: float | None
    high: float | None


class Draws:
    """The samples that are drawn: utterances of each test set, runs of each system.

    Args:
        systems: those of a statistic. The utterances of a test set are drawn for all of its systems alike. The runs of a system are drawn
            for all test sets alike.
        names: a name for each system; systems with one name are one training, seen on other test sets or at other sizes.
    """

    def __init__(self, systems: list[Counts], names: list[str]):
        self.systems = systems
        self.samples: list[np.ndarray] = []
        self.place: dict[tuple[str, tuple], int] = {}
        for system, name in zip(systems, names):
            for kind, what, count in (
                ("set", system.keys, len(system.keys)),
                ("run", (name, system.runs), system.runs),
            ):
                if (kind, what) not in self.place and count > 1:  # scipy draws from two or more
                    self.place[kind, what] = len(self.samples)
                    self.samples.append(np.arange(count))
        self.names = names

    def ratios(self, drawn: tuple[np.ndarray, ...] | None) -> list[np.ndarray]:
        """Of each system, (...). Args: drawn: of each sample the indices (..., count); None for the systems as they are."""
        found = []
        for system, name in zip(self.systems, self.names):
            places = [self.place.get(what) for what in (("run", (name, system.runs)), ("set", system.keys))]
            runs, utterances = (None if drawn is None or i is None else drawn[i] for i in places)
            found.append(system.ratio(None if runs is None else runs[..., 1:], utterances))
        return found

    def estimate(self, statistic, resamples: int, seed: int) -> Estimate:
        """A function of the ratios, with the ends of its 95 % percentile interval."""
        value = float(statistic(self.ratios(None)))
        if not any(kind == "set" for kind, _ in self.place):
            return Estimate(value, None, None)
        largest = max(system.above.size for system in self.systems)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", stats.DegenerateDataWarning)  # then there is no interval, which None says
            found = stats.bootstrap(
                tuple(self.samples),
                lambda *drawn, axis: statistic(self.ratios(drawn)),
                n_resamples=resamples,
                batch=max(1, 1_000_000 // largest),  # bounds memory
                vectorized=True,
                method="percentile",
                rng=np.random.default_rng(seed),
            ).confidence_interval
        return Estimate(value, *(float(end) if np.isfinite(end) else None for end in found))


def ratio(counts: Counts, scale: float = 1.0, resamples: int = 1000, seed: int = 0) -> Estimate:
    """A word error rate in percent (`scale` 100) or a loss in nats a token (1)."""
    draws = Draws([counts], [""])
    return draws.estimate(lambda ratios: scale * ratios[0], resamples, seed)


@dataclass(frozen=True)
class Pair:
    """Two systems on one test set. Args: new, old: counts on the same utterances; new_name, old_name: their trainings, see `Draws`."""

    new: Counts
    old: Counts
    new_name: str = "new"
    old_name: str = "old"


def relative_difference(pairs: list[Pair], resamples: int = 1000, seed: int = 0) -> Estimate | None:
    """Mean over pairs of the relative difference of their ratios, %; below 0 the new systems are better.

    Returns:
        None without pairs, or where an old system makes no error.
    """
    if not pairs or any(not pair.old.above.any() for pair in pairs):
        return None
    systems = [system for pair in pairs for system in (pair.new, pair.old)]
    draws = Draws(systems, [name for pair in pairs for name in (pair.new_name, pair.old_name)])

    def difference(ratios):
        with np.errstate(divide="ignore", invalid="ignore"):
            quotients = [new / old for new, old in zip(ratios[::2], ratios[1::2])]
        return 100 * (sum(quotients) / len(quotients) - 1)

    return draws.estimate(difference, resamples, seed)
