"""From a search by the cheap loss to subnets that were decoded: the best one within limits, or a ladder of sizes."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice

from espnet_plugin.errors import UserError
from espnet_plugin.search.costs import Costs, Limits
from espnet_plugin.search.explore import Budget, EvolutionarySearch, GridSearch, RandomSearch, explore
from espnet_plugin.search.front import Candidate, front
from espnet_plugin.search.workers import Workers
from espnet_plugin.supernet.sizes import candidates, ladder
from espnet_plugin.supernet.space import SearchSpace
from espnet_plugin.supernet.subnet import Subnet

SEARCHES = ("evolution", "random", "grid")
NEAR = 0.05  # how far, relative to it, a size may be from its target


@dataclass(frozen=True)
class Plan:
    """How to search.

    Args:
        budget: of the search.
        kind: one of `SEARCHES`.
        by: kind of cost that the error is traded against, see `costs.UNITS`.
        decoded: subnets of each choice that are decoded.
        seed: of the search.
        metric: error rate of those: ``wer`` or ``cer``, of words or of characters.
    """

    budget: Budget
    kind: str = "evolution"
    by: str = "params"
    decoded: int = 6
    seed: int = 0
    metric: str = "wer"


@dataclass(frozen=True)
class Found:
    """What a search has found. Args: loss: subnet -> cheap loss of all; rates: subnet -> error rate (%) of those decoded."""

    loss: dict[Subnet, float]
    rates: dict[Subnet, float]

    @property
    def correlation(self) -> float | None:
        """Spearman's rank correlation of loss and error rate over the decoded subnets; None where it is not defined."""
        from scipy.stats import spearmanr  # slow to import

        pairs = [(self.loss[subnet], rate) for subnet, rate in self.rates.items()]
        defined = len(pairs) > 2 and all(len(set(values)) > 1 for values in zip(*pairs))
        return float(spearmanr(*zip(*pairs)).statistic) if defined else None

    def front(self, cost: Callable[[Subnet], float]) -> list[Subnet]:
        """Front of the cheap loss against a cost."""
        return [c.subnet for c in front(Candidate(subnet, cost(subnet), loss) for subnet, loss in self.loss.items())]

    def best(self, subnets: Iterable[Subnet], cost: Callable[[Subnet], float]) -> Subnet:
        """The decoded one with the lowest error rate; of several, the lowest loss, then the lowest cost."""
        return min(
            (subnet for subnet in subnets if subnet in self.rates),
            key=lambda subnet: (self.rates[subnet], self.loss[subnet], cost(subnet), str(subnet)),
        )


def search_losses(
    space: SearchSpace, costs: Costs, plan: Plan, workers: Workers, limits: Limits, start: Iterable[Subnet] = ()
) -> dict[Subnet, float]:
    """Cheap losses of the subnets that a search goes through. All of them are within the limits.

    Evolution begins with `start` and, for up to a quarter of its evaluations, with subnets of the grid: it starts spread out, and is never
    worse than a grid as small as that.

    Raises:
        UserError: no subnet was found within the limits.
    """
    fits = (lambda subnet: not limits.excess(costs.of(subnet))) if limits.most else None
    if plan.kind == "evolution":
        by = lambda subnet: costs.of(subnet)[plan.by]  # noqa: E731
        even = GridSearch(space, plan.seed, fits).grid[: plan.budget.evaluations // 4]
        search: RandomSearch | GridSearch = EvolutionarySearch(space, by, plan.seed, fits, [*start, *even])
    else:
        kinds: dict[str, type[RandomSearch | GridSearch]] = {"random": RandomSearch, "grid": GridSearch}
        search = kinds[plan.kind](space, plan.seed, fits)
    found = explore(search, lambda subnets: workers("loss", subnets), plan.budget)
    if not found:
        raise UserError(f"--search: {plan.kind} found no subnet within the limits, try another search or wider limits")
    return found


def choose_within(
    space: SearchSpace, costs: Costs, plan: Plan, workers: Workers, limits: Limits
) -> tuple[Subnet, Found]:
    """The best subnet within limits, by error rate among the `plan.decoded` lowest losses.

    Raises:
        UserError: see `search_losses`.
    """
    loss = search_losses(space, costs, plan, workers, limits)
    shortlist = sorted(loss, key=lambda subnet: (loss[subnet], str(subnet)))[: plan.decoded]
    found = Found(loss, dict(workers(plan.metric, shortlist)))
    return found.best(shortlist, lambda subnet: costs.of(subnet)[plan.by]), found


def choose_sizes(
    space: SearchSpace, costs: Costs, plan: Plan, workers: Workers, count: int
) -> tuple[list[Subnet], Found]:
    """Max net, min net and `count` - 2 sizes between them with equal ratios of parameters, largest first.

    Of the subnets near each target, the `plan.decoded` with the lowest losses are decoded, and the lowest error rate wins.
    """

    def params(subnet: Subnet) -> int:
        return int(costs.of(subnet)["params"])

    targets = ladder(params(space.min), params(space.max), count)[1:-1]
    near = (subnet for target in targets for subnet in candidates(space, params, target, plan.decoded, draws=500))
    start = islice(near, plan.budget.evaluations)
    loss = search_losses(space, costs, plan, workers, Limits({}), start)
    ends = [space.max, space.min]
    for subnet, value in workers("loss", [end for end in ends if end not in loss]):
        loss[subnet] = value
    shortlists = [shortlist(loss, params, target, plan.decoded) for target in targets]
    wanted = dict.fromkeys([*ends, *(subnet for part in shortlists for subnet in part)])
    found = Found(loss, dict(workers(plan.metric, list(wanted))))
    chosen = {*ends, *(found.best(part, params) for part in shortlists)}
    return sorted(chosen, key=lambda subnet: (-params(subnet), str(subnet))), found


def shortlist(loss: dict[Subnet, float], params: Callable[[Subnet], int], target: int, count: int) -> list[Subnet]:
    """The lowest losses among subnets within 5 % of a target; where there is none, the nearest subnet."""
    near = [subnet for subnet in loss if abs(params(subnet) - target) <= NEAR * target]
    near = near or [min(loss, key=lambda subnet: (abs(params(subnet) - target), str(subnet)))]
    return sorted(near, key=lambda subnet: (loss[subnet], str(subnet)))[:count]
