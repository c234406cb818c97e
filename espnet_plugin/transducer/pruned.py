"""The pruned transducer loss (Kuang et al. 2022, arXiv 2206.13236).

Shapes: B batch, T frames, U symbols, V vocabulary, R prune range, J joint space.
"""

from dataclasses import dataclass

import torch

from espnet_plugin.transducer.lattice import (
    FORBIDDEN,
    NO_HURRY,
    EarlyEmission,
    Recursion,
    antidiagonals,
    arc_scores,
    lattice,
)


@dataclass(frozen=True)
class SimpleLoss:
    """Result of the simple lattice. Args: cost (B,); occupation_blank (B, T, U + 1); occupation_emit (B, T, U), without gradient."""

    cost: torch.Tensor
    occupation_blank: torch.Tensor
    occupation_emit: torch.Tensor


def without_padding(targets: torch.Tensor, U_lens: torch.Tensor) -> torch.Tensor:
    """Targets (B, U) with symbol 0 beyond U_lens (B,): a valid index; the lattice forbids those arcs."""
    valid = torch.arange(targets.shape[1], device=targets.device) < U_lens.unsqueeze(1)
    return torch.where(valid, targets, 0)


def simple_loss(
    am: torch.Tensor,
    lm: torch.Tensor,
    targets: torch.Tensor,
    T_lens: torch.Tensor,
    U_lens: torch.Tensor,
    blank: int = 0,
    lm_scale: float = 0.0,
    am_scale: float = 0.0,
    early: EarlyEmission = NO_HURRY,
    recursion: Recursion = antidiagonals,
) -> SimpleLoss:
    """Loss of a joiner that only adds: logits[t, u] = am[t] + lm[u], normalised without making the (B, T, U, V) lattice.

    With scales, log-probabilities of arcs are mixed: lm_scale of the predictor alone, am_scale of the acoustics with the batch's average
    predictor, the rest of both.

    Args:
        am: (B, T, V).
        lm: (B, U + 1, V).
        targets: (B, U), any padding.
        T_lens, U_lens: (B,).
        blank: its index.
        early, recursion: as for `lattice`.

    Returns:
        costs per utterance, summed over the lattice (nats), and occupations.
    """
    with torch.autocast(am.device.type, enabled=False):
        am, lm = am.float(), lm.float()
        U = lm.shape[1] - 1
        targets = without_padding(targets[:, :U], U_lens)
        am_max = am.detach().amax(-1, keepdim=True)
        lm_max = lm.detach().amax(-1, keepdim=True)
        product = (am - am_max).exp() @ (lm - lm_max).exp().transpose(1, 2)
        # Where am and lm peak at different symbols, by over 69 nats, the sum is held from below: a gradient above 1e30 would overflow.
        norm = product.clamp(min=1e-30).log() + am_max + lm_max.transpose(1, 2)  # (B, T, U + 1)
        am_blank, am_emit = am[..., blank], am.gather(2, targets.unsqueeze(1).expand(-1, am.shape[1], -1))
        lm_blank, lm_emit = lm[..., blank], lm[:, :U].gather(2, targets.unsqueeze(2)).squeeze(2)
        blank_arcs = am_blank.unsqueeze(2) + lm_blank.unsqueeze(1) - norm
        emit_arcs = am_emit + lm_emit.unsqueeze(1) - norm[..., :U]
        both = 1.0 - lm_scale - am_scale
        if lm_scale:
            lm_norm = lm.logsumexp(-1)
            blank_arcs = both * blank_arcs + lm_scale * (lm_blank - lm_norm).unsqueeze(1)
            emit_arcs = both * emit_arcs + lm_scale * (lm_emit - lm_norm[:, :U]).unsqueeze(1)
        if am_scale:
            if not lm_scale:
                blank_arcs, emit_arcs = both * blank_arcs, both * emit_arcs
            average = lm.log_softmax(-1).exp().mean((0, 1)).clamp(min=torch.finfo(torch.float32).tiny).log()
            am_norm = (am + average).logsumexp(-1)  # (B, T)
            emit_average = average[targets].unsqueeze(1)
            blank_arcs = blank_arcs + am_scale * (am_blank + average[blank] - am_norm).unsqueeze(2)
            emit_arcs = emit_arcs + am_scale * (am_emit + emit_average - am_norm.unsqueeze(2))
        return SimpleLoss(*lattice(blank_arcs, emit_arcs, T_lens, U_lens, early, recursion))


def least_range(T_lens: torch.Tensor, U_lens: torch.Tensor) -> int:
    """Symbols that a frame must keep at least, so that each utterance's frames can reach its last symbol. Args: (B,), on the CPU."""
    return int(((U_lens - 1).clamp(min=0) // T_lens).max()) + 2


def prune_ranges(
    occupation_blank: torch.Tensor,
    occupation_emit: torch.Tensor,
    T_lens: torch.Tensor,
    U_lens: torch.Tensor,
    s_range: int,
    modified: bool = False,
    least: int | None = None,
) -> torch.Tensor:
    """Symbols that each frame keeps: the window with the largest posterior, made reachable from frame to frame.

    Args:
        occupation_blank, occupation_emit: from `simple_loss`.
        T_lens, U_lens: (B,).
        s_range: R wanted; it is raised where T frames could not reach U symbols, and never more than U + 1.
        modified: for the modified lattice.
        least: `least_range` of the batch, for lengths on a device, which it would wait for.

    Returns:
        (B, T, R) symbol indices u, consecutive in the last dimension; they start at 0, never fall, and rise by at most R - 1 a frame, or by
        1 in the modified lattice, whose paths could not follow faster.
    """
    T, W = occupation_blank.shape[1:]
    R = min(max(s_range, least_range(T_lens, U_lens) if least is None else least), W)
    total = torch.nn.functional.pad(occupation_blank.cumsum(2), (1, 0))
    window = total[..., R:] - total[..., : W + 1 - R]  # (B, T, W - R + 1)
    window[..., 1:] -= occupation_emit[..., : W - R]
    start = window.argmax(2)
    t = torch.arange(T, device=start.device)
    end = (U_lens - R + 1).clamp(min=0).unsqueeze(1)
    start = torch.where(t < T_lens.unsqueeze(1) - 1, torch.minimum(start, end), end)
    start = start.flip(1).cummin(1).values.flip(1)
    slope = t if modified else (R - 1) * t
    start = (start - slope).flip(1).cummax(1).values.flip(1) + slope
    start = torch.minimum(start, slope)
    return start.unsqueeze(2) + torch.arange(R, device=start.device)


def gather_pruned(lm_proj: torch.Tensor, ranges: torch.Tensor) -> torch.Tensor:
    """Predictor output on the kept cells. Args: lm_proj (B, U + 1, J), ranges (B, T, R). Returns: (B, T, R, J)."""
    batch_size, width, _ = lm_proj.shape
    rows = ranges + width * torch.arange(batch_size, device=ranges.device).view(-1, 1, 1)
    # As `gather` along the symbols, but copying whole vectors, and adding them up in the backward pass, is several times faster on CPU.
    return torch.nn.functional.embedding(rows, lm_proj.flatten(0, 1))


def cell_mask(ranges: torch.Tensor, T_lens: torch.Tensor, U_lens: torch.Tensor) -> torch.Tensor:
    """(B, T, R), True at cells inside the utterance: t < T_b, u <= U_b."""
    t = torch.arange(ranges.shape[1], device=ranges.device).view(1, -1, 1) < T_lens.view(-1, 1, 1)
    return t & (ranges <= U_lens.view(-1, 1, 1))


def pruned_rnnt_loss(
    logits: torch.Tensor,
    ranges: torch.Tensor,
    targets: torch.Tensor,
    T_lens: torch.Tensor,
    U_lens: torch.Tensor,
    blank: int = 0,
    early: EarlyEmission = NO_HURRY,
    recursion: Recursion = antidiagonals,
) -> torch.Tensor:
    """Transducer loss over paths that stay on the kept cells, in at least float32.

    Args:
        logits: (B, T, R, V) before softmax.
        ranges: (B, T, R).
        targets: (B, U), any padding.
        T_lens, U_lens: (B,).
        blank: its index.
        early, recursion: as for `lattice`.

    Returns:
        (B,) cost, summed over an utterance (nats), no reduction.
    """
    U = targets.shape[1]
    with torch.autocast(logits.device.type, enabled=False):
        following = torch.nn.functional.pad(without_padding(targets, U_lens), (0, 1))  # symbol after u, (B, U + 1)
        index = following.unsqueeze(1).expand(-1, ranges.shape[1], -1).gather(2, ranges)
        on_blank, on_symbol = arc_scores(logits, index, blank)
        grid = on_blank.new_full((*ranges.shape[:2], U + 1), FORBIDDEN)
        blank_grid = grid.scatter(2, ranges, on_blank)
        emit_grid = grid.scatter(2, ranges, on_symbol)
        return lattice(blank_grid, emit_grid[..., :U], T_lens, U_lens, early, recursion)[0]
