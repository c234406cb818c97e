"""Searches for a front: evolutionary, with random subnets and a uniform grid as baselines, behind one loop."""

import random
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from espnet_plugin.errors import UserError
from espnet_plugin.search.front import Candidate, ranked
from espnet_plugin.search.genes import crossover, mutate
from espnet_plugin.supernet.space import SearchSpace
from espnet_plugin.supernet.subnet import Subnet

Known = dict[Subnet, float]
Fits = Callable[[Subnet], bool]


@dataclass(frozen=True)
class Budget:
    """When a search ends. Args: evaluations: at most so many subnets; seconds: no generation begins later; None for no limit.

    Raises:
        UserError: a number that is not positive.
    """

    evaluations: int
    seconds: float | None = None

    def __post_init__(self):
        for name in ("evaluations", "seconds"):
            value = getattr(self, name)
            if value is not None and not value > 0:  # nor is not-a-number
                raise UserError(f"--{name}: {value} must be above 0")


class RandomSearch:
    """Baseline: subnets that `SearchSpace.sample` draws.

    Args:
        space: where.
        seed: of the draws.
        fits: a budget that each subnet must be within.
    """

    tries = 50  # draws for each new subnet before the space counts as exhausted

    def __init__(self, space: SearchSpace, seed: int = 0, fits: Fits | None = None):
        self.space, self.fits, self.rng = space, fits, random.Random(seed)

    def draw(self, known: Known) -> Subnet:
        return self.space.sample(self.rng, self.fits)

    def propose(self, known: Known, count: int) -> list[Subnet]:
        """At most `count` new subnets; fewer where `tries` draws find no more."""
        found: dict[Subnet, None] = {}
        for _ in range(self.tries * count):
            if len(found) == count:
                break
            subnet = self.draw(known)
            if subnet not in known:
                found[subnet] = None
        return list(found)


class GridSearch:
    """Baseline: every subnet whose layers are all alike, in an order that spreads over the grid."""

    def __init__(self, space: SearchSpace, seed: int = 0, fits: Fits | None = None):
        self.grid = [subnet for subnet in space.even() if fits is None or fits(subnet)]
        random.Random(seed).shuffle(self.grid)

    def propose(self, known: Known, count: int) -> list[Subnet]:
        return [subnet for subnet in self.grid if subnet not in known][:count]


class EvolutionarySearch(RandomSearch):
    """Parents from the best fronts so far, children by crossover and mutation; selection as in NSGA-II (Deb et al. 2002).

    Args:
        cost: of a subnet, what the error is traded against.
        start: subnets to evaluate first, beside max and min net; random ones follow up to `population`.
        population: candidates that may become parents.
        rate: of mutation, for each dimension of a child; half of the children have two parents.
        others: see `RandomSearch`.
    """

    def __init__(
        self,
        space: SearchSpace,
        cost: Callable[[Subnet], float],
        seed: int = 0,
        fits: Fits | None = None,
        start: Iterable[Subnet] = (),
        population: int = 24,
        rate: float = 0.15,
    ):
        super().__init__(space, seed, fits)
        self.cost, self.population, self.rate = cost, population, rate
        first = dict.fromkeys((space.max, space.min, *start))
        self.start = [subnet for subnet in first if fits is None or fits(subnet)]
        self.parents: list[Subnet] = []

    def draw(self, known: Known) -> Subnet:
        if len(known) < self.population or not self.parents:
            return super().draw(known)
        one, other = self.parent(), self.parent()
        child = crossover(self.space, one, other, self.rng) if self.rng.random() < 0.5 else one
        child = mutate(self.space, child, self.rng, self.rate)
        return child if self.fits is None else self.space.shrunk(child, self.rng, self.fits)

    def parent(self) -> Subnet:
        """The better of two drawn ones."""
        return self.parents[min(self.rng.randrange(len(self.parents)) for _ in range(2))]

    def propose(self, known: Known, count: int) -> list[Subnet]:
        first = [subnet for subnet in self.start if subnet not in known][:count]
        if first:
            return first
        best = ranked(Candidate(subnet, self.cost(subnet), error) for subnet, error in known.items())
        self.parents = [candidate.subnet for candidate in best[: self.population]]
        return super().propose(known, count)


def explore(
    search: RandomSearch | GridSearch,
    evaluate: Callable[[list[Subnet]], Iterator[tuple[Subnet, float]]],
    budget: Budget,
    generation: int = 16,
    clock: Callable[[], float] = time.monotonic,
) -> Known:
    """Let `search` propose and `evaluate` answer, once at least, until the budget is spent or the space exhausted.

    With the same seed it proposes the same subnets whatever the order of the answers, so that a search that begins again with a cache
    goes through the same steps.

    Returns:
        subnet -> error.
    """
    known: Known = {}
    began = clock()
    while len(known) < budget.evaluations:
        if known and budget.seconds is not None and clock() - began >= budget.seconds:
            break
        proposed = search.propose(known, min(generation, budget.evaluations - len(known)))
        if not proposed:
            break
        answers = dict(evaluate(proposed))
        known |= {subnet: answers[subnet] for subnet in proposed}
    return known
