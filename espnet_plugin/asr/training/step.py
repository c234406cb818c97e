"""One batch through all nets of a step, one net's graph at a time (`espnet_plugin.supernet.graph`)."""

import math
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import torch

from espnet_plugin.asr.training.batch import Batch
from espnet_plugin.asr.training.nets import NetLoss, Shared, net_stats
from espnet_plugin.asr.training.ranks import Reduction
from espnet_plugin.asr.training.sandwich import Sandwich
from espnet_plugin.supernet.graph import one_by_one


@dataclass(frozen=True)
class BadNumber:
    """A non-finite loss or gradient.

    Args:
        utterances: ids of the batch; subnets: text of those that it may come from.
        broken: the first utterance whose audio or features are not finite themselves, None: the model is to blame.
    """

    utterances: tuple[str, ...]
    subnets: tuple[str, ...]
    broken: str | None = None

    def of_audio(self, batch: Batch) -> "BadNumber":
        """The same with what the batch tells of its audio."""
        finite = batch.speech.isfinite().flatten(1).all(1)
        return self if finite.all() else replace(self, broken=batch.utt_id[int(finite.int().argmin())])

    @property
    def advice(self) -> str:
        return "lower optim_conf.lr" if self.broken is None else f"leave '{self.broken}' out"

    def __str__(self) -> str:
        more = len(self.utterances) - 5
        names = ", ".join(f"'{name}'" for name in self.utterances[:5]) + (f" and {more} more" if more > 0 else "")
        why = (
            "" if self.broken is None else f"; the audio of '{self.broken}' has samples that are infinite or no numbers"
        )
        return f"utterances {names}, subnet {' or '.join(self.subnets)}{why}"


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


@dataclass(frozen=True)
class Figures:
    """Figures of a batch that are still on the device.

    Args:
        values: means over the batch, see `net_stats`.
        nets: of the step.
        utt_id: names of the batch's utterances.
        left_out: how many of them the loss has no path for.
    """

    values: dict[str, torch.Tensor]
    nets: list[NetLoss]
    utt_id: tuple[str, ...]
    left_out: int

    def read(self, *more: torch.Tensor) -> tuple[BatchResult, list[list[float]]]:
        """Wait for the device, once. Args: more: (n,) further numbers each, read in the same transfer. Returns: them, too."""
        values = torch.stack([*self.values.values(), *(net.loss for net in self.nets)])
        numbers = iter(
            (torch.cat([values.double(), *(part for part in more if len(part))]) if more else values).tolist()
        )
        stats = dict(zip(self.values, numbers))
        losses = list(islice(numbers, len(self.nets)))
        rest = [list(islice(numbers, len(part))) for part in more]
        subnets = tuple(subnet_name(net) for net in self.nets)
        bad = [name for name, loss in zip(subnets, losses) if not math.isfinite(loss)]
        problem = BadNumber(self.utt_id, (bad[0],)) if bad else None
        return BatchResult(stats, subnets, problem, self.left_out), rest


def start(model: Sandwich, batch: Batch, scale: float, amp: bool, reduction: Reduction | None = None) -> Figures:
    """Add a batch's gradients to those of the parameters; nothing is read from the device.

    Args:
        batch: on the model's device.
        scale: factor of the loss.
        amp: forward under bfloat16 autocast, whose range is that of float32, so that no loss is scaled.
        reduction: of the gradients over workers, which begins with this batch, the last one of an update.
    """
    device = batch.speech.device.type
    announce = None if reduction is None else reduction.announce

    def context():
        return torch.autocast(device, torch.bfloat16, enabled=amp)

    left_out = []

    def share() -> Shared:
        shared = model.shared(batch)
        left_out.append(int(model.misfits(shared).sum()))
        return shared

    nets = one_by_one(share, model.nets, scale, context, announce)
    values = net_stats(nets)
    values["loss"] = sum(net.loss for net in nets) / len(nets)
    return Figures(values, nets, batch.utt_id, *left_out)


def accumulate(model: Sandwich, batch: Batch, scale: float, amp: bool) -> BatchResult:
    """`start`, and then read what it gave."""
    return start(model, batch, scale, amp).read()[0]


def clip(model: torch.nn.Module, largest: float, norm_type: float = 2.0) -> torch.Tensor:
    """Scale gradients down to a norm. Returns: the norm before, a number on the device."""
    parameters = [p for p in model.parameters() if p.grad is not None]
    lists = None if not parameters or parameters[0].device.type == "cpu" else True  # few operations for many tensors
    return torch.nn.utils.clip_grad_norm_(parameters, largest, norm_type, foreach=lists)


def figures_of(optimizers: list[torch.optim.Optimizer]) -> list[torch.Tensor]:
    """What each optimizer has to know of its gradients in Python, (n,), still on the device; (0,) for those of torch."""
    asks = (getattr(optimizer, "figures", None) for optimizer in optimizers)
    return [torch.zeros(0, dtype=torch.float64) if figures is None else figures() for figures in asks]


def update(optimizer: torch.optim.Optimizer, figures: list[float]) -> None:
    """One step of an optimizer. Args: figures: its own of `figures_of`, read."""
    known: dict[str, Any] = {"figures": figures} if hasattr(optimizer, "figures") else {}
    optimizer.step(**known)
