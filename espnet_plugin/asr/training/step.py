"""One batch through all nets of a step, one net's graph at a time.

What the nets share (`Shared`) is computed once and cut off from its graph; each net goes backward alone, its gradients at the cut add up,
and one last backward carries their sum through the shared part: the gradients are those of the summed loss.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch

from espnet_plugin.asr.training.nets import NetLoss, net_stats
from espnet_plugin.asr.training.sandwich import Sandwich


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
    """

    stats: dict[str, float]
    subnets: tuple[str, ...]
    bad: BadNumber | None


def cut(tree) -> tuple[object, list[tuple[torch.Tensor, torch.Tensor]]]:
    """Cut a value (dataclasses, tuples, lists, dictionaries of tensors) off from its graph.

    Returns:
        the same value with new leaves in place of the tensors that need a gradient, and the pairs (tensor, its leaf).
    """
    pairs = []

    def visit(node):
        if isinstance(node, torch.Tensor):
            if not node.requires_grad:
                return node
            pairs.append((node, node.detach().requires_grad_()))
            return pairs[-1][1]
        if dataclasses.is_dataclass(node):
            return dataclasses.replace(node, **{f.name: visit(getattr(node, f.name)) for f in dataclasses.fields(node)})
        if isinstance(node, dict):
            return {key: visit(value) for key, value in node.items()}
        if isinstance(node, list | tuple):
            return type(node)(visit(value) for value in node)
        return node

    return visit(tree), pairs


def backward_through(pairs: list[tuple[torch.Tensor, torch.Tensor]]) -> None:
    """Carry the gradients that gathered at the leaves of `cut` into the graph before the cut."""
    reached = [(tensor, leaf.grad) for tensor, leaf in pairs if leaf.grad is not None]
    if reached:
        torch.autograd.backward(*zip(*reached))


def each_inside(context: Callable[[], AbstractContextManager], iterator: Iterator) -> Iterator:
    """Items of an iterator that works inside a context, while their consumer stays outside of it."""
    while True:
        with context():
            try:
                item = next(iterator)
            except StopIteration:
                return
        yield item


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

    with context():
        shared = model.shared(**batch)
    shared, pairs = cut(shared)
    nets = []
    for net in each_inside(context, model.nets(shared)):
        (scale * net.loss).backward()
        nets.append(dataclasses.replace(net, loss=net.loss.detach()))
        del net
    backward_through(pairs)
    stats = {key: value for key, value in net_stats(nets).items() if value is not None}
    stats["loss"] = sum(net.loss for net in nets) / len(nets)
    # One wait for the device a batch.
    values = torch.stack([*stats.values(), *(net.loss for net in nets)]).tolist()
    subnets = tuple(subnet_name(net) for net in nets)
    bad = [name for name, loss in zip(subnets, values[len(stats) :]) if not math.isfinite(loss)]
    problem = BadNumber(tuple(batch["utt_id"]), (bad[0],)) if bad else None
    return BatchResult(dict(zip(stats, values)), subnets, problem)
