"""Pareto fronts of subnets: an error against a cost, both to be small."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from espnet_plugin.supernet.subnet import Subnet


@dataclass(frozen=True)
class Candidate:
    """An evaluated subnet. Args: subnet; cost: in the unit searched by; error: loss or word error rate."""

    subnet: Subnet
    cost: float
    error: float

    @property
    def order(self) -> tuple:
        return (self.cost, self.error, str(self.subnet))


def front(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Those that no other one beats: none is at most as dear and at most as wrong, and better in one of the two.

    Of equal ones the first in text order stays. Errors that are not finite never belong to it.

    Returns:
        by ascending cost, so by descending error.
    """
    best, kept = math.inf, []
    for candidate in sorted(candidates, key=lambda c: c.order):
        if candidate.error < best:
            best = candidate.error
            kept.append(candidate)
    return kept


def crowding(candidates: list[Candidate]) -> dict[Subnet, float]:
    """Distance of each member of a front to its neighbours, relative to the front's extent; infinite at the ends (NSGA-II)."""
    ordered = sorted(candidates, key=lambda c: c.order)
    width = ordered[-1].cost - ordered[0].cost or 1.0
    height = abs(ordered[0].error - ordered[-1].error) or 1.0
    distance = {ordered[0].subnet: math.inf, ordered[-1].subnet: math.inf}
    for before, here, after in zip(ordered, ordered[1:], ordered[2:]):
        distance[here.subnet] = (after.cost - before.cost) / width + abs(before.error - after.error) / height
    return distance


def ranked(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Best first: the front, then the front of the rest and so on, each by descending crowding distance (NSGA-II, Deb et al. 2002)."""
    rest, order = {c.subnet: c for c in candidates if math.isfinite(c.error)}, []
    while rest:
        layer = front(rest.values())
        distance = crowding(layer)
        order += sorted(layer, key=lambda c: (-distance[c.subnet], *c.order))
        for candidate in layer:
            del rest[candidate.subnet]
    return order


def hypervolume(candidates: Iterable[Candidate], cost: float, error: float) -> float:
    """Area that the front dominates, up to the reference point (`cost`, `error`); what lies beyond it counts nothing."""
    area, level = 0.0, error
    for candidate in front(candidates):
        if candidate.cost < cost and candidate.error < level:
            area += (cost - candidate.cost) * (level - candidate.error)
            level = candidate.error
    return area
