"""The transducer's dynamic programme, and the full transducer loss.

Shapes: B batch, T frames, U symbols, V vocabulary. A node (t, u) has seen frames before t and the first u symbols; its blank arc leads to
(t + 1, u), its emit arc to (t, u + 1). A path ends with the blank arc of node (T_b - 1, U_b).
In the modified lattice (k2's name) an emit arc leads to (t + 1, u + 1), so that a frame has one symbol at most; paths end at (T_b, U_b).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torchaudio

FORBIDDEN = -1e30  # log score of an arc that no path may take; -inf would give NaN
NEGLIGIBLE = 1e-20  # smaller posteriors are set to 0: denormals slow the matrix products behind them
CACHED = {
    "cpu": 2**17,
    "cuda": 2**26,
}  # numbers handled at once: on CPU what fits its cache, on CUDA little beside the lattice


def blocks(*tensors: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
    """Cut the first dimension of tensors (N, ...) into views whose temporaries are small and, on CPU, stay in the cache.

    The first tensor's (N, V) sets how many rows a block has.
    """
    limit = CACHED.get(tensors[0].device.type, CACHED["cuda"])
    rows = max(1, limit // max(1, tensors[0].shape[1]))
    return zip(*(x.split(rows) for x in tensors))


class _ArcScores(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, symbols, blank):
        z, symbol = logits.reshape(-1, logits.shape[-1]), symbols.reshape(-1, 1)
        norm = torch.empty(len(z), 1, dtype=torch.promote_types(z.dtype, torch.float32), device=z.device)
        for part, out in blocks(z, norm):
            torch.logsumexp(part.to(norm.dtype), 1, keepdim=True, out=out)
        ctx.save_for_backward(logits, symbol, norm)
        ctx.blank = blank
        on_blank, on_symbol = z[:, blank : blank + 1] - norm, z.gather(1, symbol) - norm
        return on_blank.view(symbols.shape), on_symbol.view(symbols.shape)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad_blank, grad_symbol):
        logits, symbol, norm = ctx.saved_tensors
        z, on_blank, on_symbol = (
            logits.reshape(-1, logits.shape[-1]),
            grad_blank.reshape(-1, 1),
            grad_symbol.reshape(-1, 1),
        )
        gradient = torch.empty_like(z)
        for part, normed, b, s, index, out in blocks(z, norm, on_blank, on_symbol, symbol, gradient):
            g = (part - normed).exp_().mul_(-(b + s))
            g[:, ctx.blank : ctx.blank + 1] += b
            out.copy_(g.scatter_add_(1, index, s))
        return gradient.view_as(logits), None, None


def arc_scores(logits: torch.Tensor, symbols: torch.Tensor, blank: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities of blank and of one symbol in each cell; of the lattice's size, only `logits` is kept for the backward pass.

    Args:
        logits: (..., V).
        symbols: (...) index of the symbol.
        blank: its index.

    Returns:
        (...) for blank and (...) for the symbol, float32 (float64 for float64 input).
    """
    return _ArcScores.apply(logits, symbols, blank)


def skew(x: torch.Tensor) -> torch.Tensor:
    """Lay anti-diagonals out as rows.

    Args:
        x: (B, T, W).

    Returns:
        (B, T + W - 1, W) with ``out[:, d, u] = x[:, d - u, u]``, forbidden where d - u is no frame.
    """
    _, T, W = x.shape
    t = torch.arange(T + W - 1, device=x.device).unsqueeze(1) - torch.arange(W, device=x.device)
    rows = x.gather(1, t.clamp(0, T - 1).expand(len(x), -1, -1))
    return torch.where((t >= 0) & (t < T), rows, FORBIDDEN)


def unskew(x: torch.Tensor, T: int) -> torch.Tensor:
    """Inverse of `skew`. Args: x (B, T + W - 1, W). Returns: (B, T, W)."""
    W = x.shape[-1]
    d = torch.arange(T, device=x.device).unsqueeze(1) + torch.arange(W, device=x.device)
    return x.gather(1, d.expand(len(x), -1, -1))


@dataclass(frozen=True)
class EarlyEmission:
    """What makes a streaming model emit symbols sooner; both 0 for the plain loss.

    Args:
        fast_emit: lambda of FastEmit (Yu et al. 2021, arXiv 2010.11148): gradients of emit arcs grow by 1 + lambda, the cost stays.
        delay_penalty: lambda of the delay-penalised transducer (Kang et al. 2023, arXiv 2211.00490): the score of an emit arc at frame t
            grows by lambda ((T_b - 1) / 2 - t), and with it the cost changes.
    """

    fast_emit: float = 0.0
    delay_penalty: float = 0.0


NO_HURRY = EarlyEmission()


# (blank, emit, T_lens, U_lens, delay_penalty), as for `antidiagonals` -> total, occupations of blank arcs and of emit arcs
Recursion = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, float], tuple[torch.Tensor, ...]]


def real_arcs(
    blank: torch.Tensor, emit: torch.Tensor, T_lens: torch.Tensor, U_lens: torch.Tensor, delay_penalty: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores with the delay penalty, and forbidden beyond an utterance's end. Args: as for `antidiagonals`."""
    T, W = blank.shape[1:]
    frames = torch.arange(T, device=blank.device).view(1, -1, 1)
    u = torch.arange(W, device=blank.device).view(1, 1, -1)
    T_lens, U_lens = T_lens.view(-1, 1, 1), U_lens.view(-1, 1, 1)
    if delay_penalty:
        emit = emit + delay_penalty * ((T_lens - 1) / 2 - frames).to(emit.dtype)
    blank = torch.where((frames < T_lens) & (u <= U_lens), blank, FORBIDDEN)
    return blank, torch.where((frames < T_lens) & (u[..., :-1] < U_lens), emit, FORBIDDEN)


def antidiagonals(
    blank: torch.Tensor,
    emit: torch.Tensor,
    T_lens: torch.Tensor,
    U_lens: torch.Tensor,
    delay_penalty: float = 0.0,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Forward-backward in T + U steps for the whole batch, in float64.

    Args:
        blank: (B, T, U + 1) log scores of blank arcs, anything beyond an utterance's end.
        emit: (B, T, U) the same of emit arcs.
        T_lens, U_lens: (B,).
        delay_penalty: see `EarlyEmission`.

    Returns:
        (B,) log of the sum over all paths, and the arcs' posteriors, (B, T, U + 1) and (B, T, U), all float64.
    """
    T = blank.shape[1]
    last = (
        T_lens - 1 + U_lens,
        torch.arange(len(blank), device=blank.device),
        U_lens,
    )  # node of each utterance's last arc
    blank, emit = rows_of(*real_arcs(blank, emit, T_lens, U_lens, delay_penalty), skew)
    total, on_blank, on_emit = forward_backward(blank, emit, last)
    on_blank[last] = 1.0
    on_blank, on_emit = (unskew(x.transpose(0, 1), T) for x in (on_blank, on_emit[..., :-1]))
    return total + blank[last], on_blank, on_emit


def frame_by_frame(
    blank: torch.Tensor,
    emit: torch.Tensor,
    T_lens: torch.Tensor,
    U_lens: torch.Tensor,
    delay_penalty: float = 0.0,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The same of the modified lattice in T steps; the total of an utterance with U_b > T_b, which has no path, is 0."""
    T = blank.shape[1]
    last = (T_lens, torch.arange(len(blank), device=blank.device), U_lens)
    scores = real_arcs(blank, emit, T_lens, U_lens, delay_penalty)
    blank, emit = rows_of(*scores, lambda x: torch.nn.functional.pad(x, (0, 0, 0, 1), value=FORBIDDEN))
    total, *occupations = forward_backward(blank, emit, last)
    possible = (T_lens >= U_lens).view(-1, 1, 1)
    on_blank, on_emit = (torch.where(possible, x.transpose(0, 1)[:, :T], 0) for x in occupations)
    return torch.where(T_lens >= U_lens, total, 0), on_blank, on_emit[..., :-1]


def by_torch(
    blank: torch.Tensor,
    emit: torch.Tensor,
    T_lens: torch.Tensor,
    U_lens: torch.Tensor,
    delay_penalty: float = 0.0,
    modified: bool = False,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """What `antidiagonals` or, modified, `frame_by_frame` computes."""
    return (frame_by_frame if modified else antidiagonals)(blank, emit, T_lens, U_lens, delay_penalty)


def rows_of(blank: torch.Tensor, emit: torch.Tensor, rows: Callable) -> list[torch.Tensor]:
    """Scores in float64 as rows (D, B, W); the last column never emits, its scores only make both tables one shape."""
    tables = blank.double(), torch.nn.functional.pad(emit.double(), (0, 1), value=FORBIDDEN)
    return [rows(table).transpose(0, 1).contiguous() for table in tables]


def forward_backward(
    blank_d: torch.Tensor, emit_d: torch.Tensor, last: tuple[torch.Tensor, ...]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A programme whose blank arcs lead from a row to the next, and whose emit arcs there to the next column.

    Args:
        blank_d, emit_d: (D, B, W).
        last: index of each utterance's last node, three times (B,).

    Returns:
        (B,) log of the sum over all paths from the first node to the last, and the arcs' posteriors, (D, B, W).
    """
    alpha = torch.full_like(blank_d, FORBIDDEN)
    alpha[0, :, 0] = 0.0
    steps = zip(alpha, alpha[..., :-1], alpha[1:], alpha[1:, :, 1:], blank_d, emit_d[..., :-1])
    for before, before_left, here, here_right, stay, move in steps:
        torch.add(before, stay, out=here)
        torch.logaddexp(here_right, before_left + move, out=here_right)
    # Share of each node's mass that came by its blank arc and by its emit arc: ratios of neighbours do not cancel as alpha + beta does.
    by_blank = (alpha[:-1] + blank_d[:-1]).sub_(alpha[1:]).exp_()
    by_emit = (alpha[:-1, :, :-1] + emit_d[:-1, :, :-1]).sub_(alpha[1:, :, 1:]).exp_()
    node, on_blank, on_emit = (torch.zeros_like(alpha) for _ in range(3))
    node[last] = 1.0
    tables = (node[1:], node[1:, :, 1:], by_blank, by_emit, on_blank, on_emit[..., :-1], node, node[..., :-1])
    backward = zip(*(reversed(x[: len(alpha) - 1].unbind()) for x in tables))
    for arrived, arrived_right, share_blank, share_emit, blank_arc, emit_arc, start, start_left in backward:
        start += torch.mul(arrived, share_blank, out=blank_arc)
        start_left += torch.mul(arrived_right, share_emit, out=emit_arc)
    return alpha[last], on_blank, on_emit


def settled(posteriors: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Posteriors of a programme as a type; negligible ones of float64 as 0, those of float32 are so already."""
    if posteriors.dtype == torch.float64:
        posteriors = torch.where(posteriors > NEGLIGIBLE, posteriors, 0)
    return posteriors.to(dtype)


class _Lattice(torch.autograd.Function):
    @staticmethod
    def forward(ctx, blank, emit, T_lens, U_lens, early, recursion):
        total, *occupations = recursion(blank, emit, T_lens, U_lens, early.delay_penalty)
        occupations = [settled(x, blank.dtype) for x in occupations]
        ctx.save_for_backward(*occupations)
        ctx.mark_non_differentiable(*occupations)
        ctx.fast_emit = early.fast_emit
        return -total.to(blank.dtype), *occupations

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad, *_):
        occupation_blank, occupation_emit = ctx.saved_tensors
        grad = -grad.view(-1, 1, 1)
        return grad * occupation_blank, (1.0 + ctx.fast_emit) * grad * occupation_emit, None, None, None, None


def lattice(
    blank: torch.Tensor,
    emit: torch.Tensor,
    T_lens: torch.Tensor,
    U_lens: torch.Tensor,
    early: EarlyEmission = NO_HURRY,
    recursion: Recursion = antidiagonals,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Sum over all paths, differentiable.

    Args:
        blank: (B, T, U + 1) log scores of blank arcs; they need not be normalised, and may be anything beyond an utterance's end.
        emit: (B, T, U) log scores of emit arcs.
        T_lens: (B,) frames, at least 1.
        U_lens: (B,) symbols, at least 0.
        early: see `EarlyEmission`.
        recursion: who runs the dynamic programme, and of which lattice, see `espnet_plugin.transducer.backend`.

    Returns:
        cost (B,): minus log of the sum over all paths, summed over an utterance (nats);
        occupation (B, T, U + 1) of blank arcs and (B, T, U) of emit arcs: posteriors, no gradient. The gradient of the cost with respect to
        an arc's score is minus its occupation.
    """
    return _Lattice.apply(blank, emit, T_lens, U_lens, early, recursion)


def lattice_loss(logits, targets, T_lens, U_lens, blank: int, early: EarlyEmission, recursion: Recursion):
    """The full loss by `lattice`; arguments and result as of `rnnt_loss`."""
    U = logits.shape[2] - 1
    valid = torch.arange(U, device=targets.device) < U_lens.unsqueeze(1)
    following = torch.where(valid, targets[:, :U], int(blank == 0))
    following = torch.nn.functional.pad(following, (0, 1)).unsqueeze(1).expand(logits.shape[:3])
    on_blank, on_symbol = arc_scores(logits, following, blank)
    return lattice(on_blank, on_symbol[..., :-1], T_lens, U_lens, early, recursion)[0]


def rnnt_loss(
    logits: torch.Tensor,
    targets: torch.Tensor,
    T_lens: torch.Tensor,
    U_lens: torch.Tensor,
    blank: int = 0,
    early: EarlyEmission = NO_HURRY,
    recursion: Recursion = antidiagonals,
    by_torchaudio: bool = True,
) -> torch.Tensor:
    """Full transducer loss (Graves 2012, arXiv 1211.3711) by torchaudio, in float32; by `lattice` where torchaudio cannot or may not.

    Args:
        logits: (B, T, U + 1, V) before softmax.
        targets: (B, U), any padding.
        T_lens, U_lens: (B,).
        blank: its index.
        early, recursion: as for `lattice`.
        by_torchaudio: whether torchaudio may compute it in place of `recursion`; of the regular lattice only.

    Returns:
        (B,) negative log-likelihood, summed over an utterance (nats), no reduction.
    """
    with torch.autocast(logits.device.type, enabled=False):
        if not by_torchaudio or early != NO_HURRY or logits.dtype == torch.float64:
            return lattice_loss(logits, targets, T_lens, U_lens, blank, early, recursion)
        # torchaudio wants lattices no larger than the longest utterance needs, and its CUDA kernel leaves the cost of an utterance of one
        # frame or no symbol unset.
        longest_T, longest_U = int(T_lens.max()), int(U_lens.max())
        if logits.is_cuda and bool(((T_lens == 1) | (U_lens == 0)).any()):
            return lattice_loss(logits, targets, T_lens, U_lens, blank, early, recursion)
        valid = torch.arange(longest_U, device=targets.device) < U_lens.unsqueeze(1)
        targets = torch.where(valid, targets[:, :longest_U], int(blank == 0))
        logits = logits[:, :longest_T, : longest_U + 1]
        return torchaudio.functional.rnnt_loss(
            logits.float().contiguous(),
            targets.int().contiguous(),
            T_lens.int(),
            U_lens.int(),
            blank=blank,
            reduction="none",
        )
