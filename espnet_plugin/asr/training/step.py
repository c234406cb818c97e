"""One batch through all nets of a step, one net's graph at a time (`espnet_plugin.supernet.graph`)."""

import math
from dataclasses import dataclass

import torch

from espnet_plugin.asr.training.nets import NetLoss, Shared, net_stats
from espnet_plugin.asr.training.sandwich import Sandwich
from espnet_plugin.supernet.graph import one_by_one


@dataclass(frozen=True)
class BadNumber:
    """A non-finite loss or gradient. Args: utterances: ids of the batch; subnets: text of those that it may come from."""

    utterances: tuple[str, ...]
    subnets: tuple[str, ...]

    def __str__(self) -> str:
        more = len(self.utterances) - 5
        names = ", ".join(f"'{name}'" for name in self.utterances[:5]) + (f" and {more} more" if more > 0 else "")
        return f"utterances {names}, subnet {' or '.join(self.subnets)}"


@dataclass(frozen=True)
class BatchResult:
    """What a batch gave beside gradients.

    Args:
        stats: means over the batch, NaN where the loss was not finite; see `net_stats`.
        subnets: text of the subnets that ran.
        bad: the first net whose loss was not finite.
        left_out: utterances that the loss has no path for.
    """

    stats: dict[str, float]
    subnets: tuple[str, ...]
    bad: BadNumber | None
    left_out: int


def subnet_name(net: NetLoss) -> str:
    return net.name if net.subnet is None else f"'{net.subnet}' ({net.name})"


def accumulate(model: Sandwich, batch: dict, scale: float, amp: bool) -> BatchResult:
    """Add a batch's gradients to those of the parameters.

    Args:
        batch: arguments of the model's forward; ``utt_id`` among them.
        scale: factor of the loss.
        amp: forward under bfloat16 autocast, whose range is that of float32, so that no loss is scaled.
    """
    device = batch["speech"].device.type

    def context():
        return torch.autocast(device, torch.bfloat16, enabled=amp)

    misfits: list[torch.Tensor] = []

    def share() -> Shared:
        shared = model.shared(**batch)
        misfits.append(model.misfits(shared).sum())
        return shared

    nets = one_by_one(share, model.nets, scale, context)
    stats = net_stats(nets)
    stats["loss"] = sum(net.loss for net in nets) / len(nets)
    # One wait for the device a batch.
    total = stats["loss"]
    *values, left_out = torch.stack([*stats.values(), *(net.loss for net in nets), misfits[0].to(total)]).tolist()
    subnets = tuple(subnet_name(net) for net in nets)
    bad = [name for name, loss in zip(subnets, values[len(stats) :]) if not math.isfinite(loss)]
    problem = BadNumber(tuple(batch["utt_id"]), (bad[0],)) if bad else None
    return BatchResult(dict(zip(stats, values)), subnets, problem, int(left_out))
