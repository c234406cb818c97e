"""What the nets of a step share, what each of them gives, and their figures for the log."""

from dataclasses import dataclass, fields, replace
from typing import Any

import torch

from espnet_plugin.encoder.interface import Stem
from espnet_plugin.supernet.subnet import Subnet
from espnet_plugin.transducer.loss import Lattice, Targets


@dataclass(frozen=True)
class Shared:
    """What all nets of a step share, computed once a batch.

    Args:
        stem: of the encoder.
        targets: labels and what the prediction network makes of them at the max net's widths.
        text: (B, U) token ids as they came, for word error rates.
        frames, symbols: (B,) encoder frames and symbols of each utterance, on the CPU.
    """

    stem: Stem
    targets: Targets
    text: torch.Tensor
    frames: torch.Tensor
    symbols: torch.Tensor

    def select(self, rows: list[int], there: torch.Tensor) -> "Shared":
        """Of some utterances. Args: rows: indices into the batch; there: (b,) the same on the device."""
        stem, targets = self.stem.select(there), self.targets.select(there)
        return Shared(stem, targets, self.text[there], self.frames[rows], self.symbols[rows])


@dataclass(frozen=True)
class NetLoss:
    """Loss of one net of a step, averaged over the batch (nats an utterance).

    Args:
        name: ``max``, ``min`` or ``random``; in validation also ``mid``.
        subnet: None for an encoder of one size.
        loss: what is added to the step's loss.
        transducer: transducer loss alone, detached.
        distillation: divergence from the teacher, detached; None for the teacher itself or without distillation.
        wer: word error rate of greedy search, in validation only.
        last: whether it is the last net of its step.
    """

    name: str
    subnet: Subnet | None
    loss: torch.Tensor
    transducer: torch.Tensor
    distillation: torch.Tensor | None
    wer: torch.Tensor | None = None
    last: bool = False


def net_stats(nets: list[NetLoss]) -> dict[str, torch.Tensor]:
    """``loss_NAME``, ``distill_NAME`` and, in validation, ``wer_NAME``; nets of one name are averaged.

    What does not apply is left out, as the distillation of the teacher, so that NaN means trouble.
    """
    stats: dict[str, torch.Tensor] = {}
    for name in dict.fromkeys(net.name for net in nets):
        same = [net for net in nets if net.name == name]
        # Tensors, or None for each net where a figure does not apply.
        given: tuple[tuple[str, list[Any]], ...] = (
            ("loss", [net.transducer for net in same]),
            ("distill", [net.distillation for net in same]),
            ("wer", [net.wer for net in same]),
        )
        for key, values in given:
            if values[0] is not None:
                stats[f"{key}_{name}"] = sum(values) / len(values)
    return stats


def detached(lattice: Lattice) -> Lattice:
    """A lattice that teaches but holds no graph."""
    parts = {f.name: getattr(lattice, f.name) for f in fields(lattice)}
    return replace(lattice, **{key: x.detach() for key, x in parts.items() if hasattr(x, "detach")})
