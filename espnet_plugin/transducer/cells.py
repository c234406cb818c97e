"""The joiner's logits on the cells of a lattice, whole or a few utterances at a time.

Shapes: B batch, T frames, U symbols, R prune range, V vocabulary, J joint space.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch.utils.checkpoint import checkpoint

from espnet_plugin.transducer.pruned import gather_pruned


@dataclass(frozen=True)
class LogitsInParts:
    """Logits that exist only while they are looked at: ``logits[rows]`` runs the joiner on those utterances.

    Args:
        acoustic: (B, T, J).
        prediction: (B, U + 1, J).
        ranges: (B, T, R) prune ranges, None for all symbols.
        joint_network: ESPnet's JointNetwork.
        at_once: utterances in a part.
        constant: whether they are made without a graph.
    """

    acoustic: torch.Tensor
    prediction: torch.Tensor
    ranges: torch.Tensor | None
    joint_network: torch.nn.Module
    at_once: int
    constant: bool = False

    def __getitem__(self, rows: slice) -> torch.Tensor:
        """(rows, T, R or U + 1, V)."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.constant):
            prediction = self.prediction[rows]
            prediction = (
                prediction.unsqueeze(1) if self.ranges is None else gather_pruned(prediction, self.ranges[rows])
            )
            return self.joint_network(self.acoustic[rows].unsqueeze(2), prediction, no_projection=True)

    def detach(self) -> "LogitsInParts":
        return replace(self, acoustic=self.acoustic.detach(), prediction=self.prediction.detach(), constant=True)


def joiner_logits(
    acoustic: torch.Tensor,
    prediction: torch.Tensor,
    ranges: torch.Tensor | None,
    joint_network: torch.nn.Module,
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
    return parts[:] if at_once >= batch_size else parts


def over_parts(function: Callable[[slice], torch.Tensor], logits: torch.Tensor | LogitsInParts) -> torch.Tensor:
    """A value of each utterance that needs its logits, computed part by part.

    Args:
        function: rows -> (rows,); it looks at ``logits[rows]``. With parts it runs again in the backward pass, which so holds one part.
        logits: whole or in parts.

    Returns:
        (B,).
    """
    if isinstance(logits, torch.Tensor):
        return function(slice(None))
    starts = range(0, len(logits.acoustic), logits.at_once)
    parts = (slice(start, start + logits.at_once) for start in starts)
    # The joiner draws no random numbers: their state need not be kept.
    return torch.cat([checkpoint(function, rows, use_reentrant=False, preserve_rng_state=False) for rows in parts])
