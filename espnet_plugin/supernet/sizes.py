"""Candidates for a ladder of sizes between the min and the max net."""

import random
from collections.abc import Callable

from espnet_plugin.supernet.space import SearchSpace
from espnet_plugin.supernet.subnet import Subnet


def ladder(smallest: int, largest: int, count: int) -> list[int]:
    """`count` parameter targets with equal ratios from the largest to the smallest."""
    if count == 1 or smallest == largest:
        return [largest]
    return [round(largest * (smallest / largest) ** (i / (count - 1))) for i in range(count)]


def candidates(
    space: SearchSpace, params: Callable[[Subnet], int], target: int, count: int, seed: int = 0, draws: int = 2000
) -> list[Subnet]:
    """Different subnets near a parameter target, spread over the depths.

    Args:
        params: parameter count of a subnet.
        target: parameters wanted.
        count: at most so many candidates.
        draws: bounded number of random draws, next to the subnets of one width.

    Returns:
        of each depth in turn the subnet nearest to the target that is not taken yet.
    """
    rng = random.Random(f"{seed}:{target}")
    pool = set(space.uniforms())
    pool |= {space.sample(rng) for _ in range(draws)}
    nearest = sorted(pool, key=lambda subnet: (abs(params(subnet) - target), str(subnet)))
    by_depth = {depths: [s for s in nearest if space.depths_of(s) == depths] for depths in space.depths}
    rounds = [group for i in range(count) for group in (by_depth[d][i : i + 1] for d in space.depths)]
    best = [subnet for group in rounds for subnet in group]
    close = [subnet for subnet in best if abs(params(subnet) - target) <= 0.05 * target]
    return (close or nearest)[:count]
