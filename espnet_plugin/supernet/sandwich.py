"""Which subnets a training step uses: a function of (seed, step, rank), never of global random state."""

import random
from dataclasses import dataclass
from typing import Annotated

from espnet_plugin.common.bounds import Bounds
from espnet_plugin.common.conf import check_fields
from espnet_plugin.errors import UserError
from espnet_plugin.supernet.space import SearchSpace
from espnet_plugin.supernet.subnet import Subnet

RULES = ("sandwich", "single")


@dataclass(frozen=True)
class SubnetSampling:
    """How the subnets of a step are chosen.

    Args:
        rule: ``sandwich`` trains the max net, the min net and ``num_random`` others on every batch (Yu & Huang 2019, arXiv 1903.05134);
            ``single`` trains one random subnet a step, the baseline without the sandwich rule.
        num_random: random subnets a step under the sandwich rule.
        seed: first part of the random key.
        student_share: share of a batch's utterances, drawn anew in each step, that the nets after the max net see (at least one): the
            cheaper schemes.
        others_weight: weight of the losses of all nets after the max net together, whose own weight is 1, under the sandwich rule; each has
            the same part of it. None gives each of them the weight 1: the more there are, the less the max net matters.
        same_on_all_ranks: all data-parallel workers use the same subnets in a step; False mixes the rank into the key.
    """

    rule: str = "sandwich"
    num_random: Annotated[int, Bounds(0, 1000, why="each is one more pass of every batch")] = 2
    seed: int = 0
    student_share: Annotated[float, Bounds(above=0, most=1)] = 1.0
    others_weight: Annotated[float | None, Bounds(above=0)] = None
    same_on_all_ranks: bool = True

    def __post_init__(self):
        if self.rule not in RULES:
            raise UserError(f"sampling_conf.rule: '{self.rule}' is not one of {list(RULES)}")
        check_fields("sampling_conf", self)

    def subnets(self, space: SearchSpace, step: int, rank: int = 0) -> tuple[Subnet, ...]:
        """Subnets of a step, the max net first under the sandwich rule; no subnet twice, so a space of one point gives one net."""
        rng = random.Random(f"{self.seed}:{step}:{0 if self.same_on_all_ranks else rank}")
        if self.rule == "single":
            return (space.sample(rng),)
        drawn = [space.sample(rng) for _ in range(self.num_random)]
        return tuple(dict.fromkeys([space.max, space.min, *drawn]))

    def weight(self, nets: int) -> float:
        """Weight of the loss of each net after the max net. Args: nets: of the step, the max net among them."""
        return 1.0 if self.others_weight is None or nets < 2 else self.others_weight / (nets - 1)

    def rows(self, count: int, step: int, rank: int = 0) -> list[int]:
        """Indices, ascending, of the utterances of a batch of `count` that the nets after the max net see."""
        rng = random.Random(f"rows:{self.seed}:{step}:{rank}")
        return sorted(rng.sample(range(count), max(1, round(self.student_share * count))))

    def every(self, stride: int, step: int, rank: int = 0) -> slice:
        """Each `stride`-th item, from a first one that is drawn in each step."""
        if stride == 1:
            return slice(None)
        return slice(random.Random(f"every:{self.seed}:{step}:{rank}").randrange(stride), None, stride)
