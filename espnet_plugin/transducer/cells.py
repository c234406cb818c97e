"""The joiner's logits on the cells of a lattice, whole or a few utterances at a time.

Shapes: B batch, T frames, U symbols, R prune range, V vocabulary, J joint space.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from types import EllipsisType

import torch
from torch.utils.checkpoint import checkpoint

from espnet_plugin.transducer.fused import pruned_logits
from espnet_plugin.transducer.joiner import Joiner
from espnet_plugin.transducer.pruned import gather_pruned


def in_blocks(joint_network, acoustic: torch.Tensor) -> bool:
    """Whether `pruned_logits` computes what this joiner does, and gains by it: on CPU, in full precision."""
    tanh = isinstance(joint_network.joint_activation, torch.nn.Tanh)
    return tanh and acoustic.device.type == "cpu" and not torch.is_autocast_enabled("cpu")


@dataclass(frozen=True)
class LogitsInParts:
    """Logits that exist only while they are looked at: ``logits[rows]`` runs the joiner on those utterances.

    Args:
        acoustic: (B, T, J).
        prediction: (B, U + 1, J).
        ranges: (B, T, R) prune ranges, None for all symbols.
        joint_network: see `Joiner`.
        at_once: utterances in a part.
        constant: whether they are made without a graph.
    """

    acoustic: torch.Tensor
    prediction: torch.Tensor
    ranges: torch.Tensor | None
    joint_network: Joiner
    at_once: int
    constant: bool = False

    def __getitem__(self, rows: slice | EllipsisType) -> torch.Tensor:
        """(rows, T, R or U + 1, V)."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.constant):
            acoustic, prediction = self.acoustic[rows], self.prediction[rows]
            if self.ranges is None:
                return self.joint_network(acoustic.unsqueeze(2), prediction.unsqueeze(1), no_projection=True)
            if in_blocks(self.joint_network, acoustic):
                return pruned_logits(acoustic, prediction, self.ranges[rows], self.joint_network.lin_out)
            prediction = gather_pruned(prediction, self.ranges[rows])
            return self.joint_network(acoustic.unsqueeze(2), prediction, no_projection=True)

    def select(self, rows: torch.Tensor) -> "LogitsInParts":
        """Of some utterances, still in parts. Args: rows: (b,) indices into the batch."""
        ranges = None if self.ranges is None else self.ranges[rows]
        return replace(self, acoustic=self.acoustic[rows], prediction=self.prediction[rows], ranges=ranges)

    def detach(self) -> "LogitsInParts":
        return replace(self, acoustic=self.acoustic.detach(), prediction=self.prediction.detach(), constant=True)


def joiner_logits(
    acoustic: torch.Tensor,
    prediction: torch.Tensor,
    ranges: torch.Tensor | None,
    joint_network: Joiner,
    max_mb: float | None = None,
) -> torch.Tensor | LogitsInParts:
    """Logits of a lattice: a tensor, or parts of at most `max_mb` (10^6 bytes as float32; an utterance at least) where it is larger.

    Args:
        acoustic, prediction, ranges, joint_network: see `LogitsInParts`.
        max_mb: None for no limit.

    Returns:
        (B, T, R, V), or (B, T, U + 1, V) without ranges.
    """
    batch_size, frames, _ = acoustic.shape
    width = prediction.shape[1] if ranges is None else ranges.shape[2]
    utterance_mb = 4e-6 * frames * width * joint_network.lin_out.out_features
    at_once = batch_size if max_mb is None else max(1, int(max_mb / utterance_mb))
    parts = LogitsInParts(acoustic, prediction, ranges, joint_network, at_once)
    return parts[...] if at_once >= batch_size else parts


def over_parts(
    function: Callable[[slice | EllipsisType], torch.Tensor], logits: torch.Tensor | LogitsInParts
) -> torch.Tensor:
    """A value of each utterance that needs its logits, computed part by part.

    Args:
        function: rows (``...`` for all: a slice would copy in the backward pass) -> (rows,); it looks at ``logits[rows]``. With parts it
            runs again in the backward pass, which so holds one part.
        logits: whole or in parts.

    Returns:
        (B,).
    """
    if isinstance(logits, torch.Tensor):
        return function(...)
    starts = range(0, len(logits.acoustic), logits.at_once)
    parts = (slice(start, start + logits.at_once) for start in starts)
    # The joiner draws no random numbers: their state need not be kept.
    return torch.cat([checkpoint(function, rows, use_reentrant=False, preserve_rng_state=False) for rows in parts])
