"""The transducer's dynamic programme, and the full transducer loss.

Shapes: B batch, T frames, U symbols, V vocabulary. A node (t, u) has seen frames before t and the first u symbols; its blank arc leads to
(t + 1, u), its emit arc to (t, u + 1). A path ends with the blank arc of node (T_b - 1, U_b).
"""

import torch
import torchaudio

FORBIDDEN = -1e30  # log score of an arc that no path may take; -inf would give NaN
NEGLIGIBLE = 1e-20  # smaller posteriors are set to 0: denormals slow the matrix products behind them


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


class _Lattice(torch.autograd.Function):
    @staticmethod
    def forward(ctx, blank, emit, T_lens, U_lens):
        B, T, W = blank.shape
        # The last column can never emit; the emit scores are padded to the shape of the blank scores.
        blank_d = skew(blank.double())
        emit_d = skew(torch.nn.functional.pad(emit.double(), (0, 1), value=FORBIDDEN))
        D = T + W - 1
        alpha = blank_d.new_full((D, B, W), FORBIDDEN)
        alpha[0, :, 0] = 0.0
        for d in range(1, D):
            stay = alpha[d - 1] + blank_d[:, d - 1]
            moved = alpha[d - 1] + emit_d[:, d - 1]
            alpha[d] = stay
            torch.logaddexp(stay[:, 1:], moved[:, :-1], out=alpha[d][:, 1:])
        alpha = alpha.transpose(0, 1)  # (B, D, W)
        rows = torch.arange(B, device=blank.device)
        last = T_lens - 1 + U_lens
        total = alpha[rows, last, U_lens] + blank_d[rows, last, U_lens]
        # Share of each node's mass that came by its blank arc and by its emit arc: ratios of neighbours do not cancel as alpha + beta does.
        by_blank = torch.zeros_like(alpha)
        by_blank[:, 1:] = torch.exp(alpha[:, :-1] + blank_d[:, :-1] - alpha[:, 1:])
        by_emit = torch.zeros_like(alpha)
        by_emit[:, 1:, 1:] = torch.exp(alpha[:, :-1, :-1] + emit_d[:, :-1, :-1] - alpha[:, 1:, 1:])
        node = alpha.new_zeros(B, D, W)
        node[rows, last, U_lens] = 1.0
        occupation_blank, occupation_emit = torch.zeros_like(node), torch.zeros_like(node)
        for d in range(D - 1, 0, -1):
            arrived = node[:, d]
            occupation_blank[:, d - 1] = arrived * by_blank[:, d]
            occupation_emit[:, d - 1, :-1] = (arrived * by_emit[:, d])[:, 1:]
            node[:, d - 1] += occupation_blank[:, d - 1] + occupation_emit[:, d - 1]
        occupation_blank[rows, last, U_lens] = 1.0
        occupation_blank = unskew(occupation_blank, T)
        occupation_emit = unskew(occupation_emit, T)[..., :-1]
        occupations = [torch.where(x > NEGLIGIBLE, x, 0).to(blank.dtype) for x in (occupation_blank, occupation_emit)]
        ctx.save_for_backward(*occupations)
        ctx.mark_non_differentiable(*occupations)
        return -total.to(blank.dtype), *occupations

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad, *_):
        occupation_blank, occupation_emit = ctx.saved_tensors
        grad = -grad.view(-1, 1, 1)
        return grad * occupation_blank, grad * occupation_emit, None, None


def lattice(
    blank: torch.Tensor, emit: torch.Tensor, T_lens: torch.Tensor, U_lens: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Forward-backward over anti-diagonals: T + U steps for the whole batch, in float64 inside.

    Args:
        blank: (B, T, U + 1) log scores of blank arcs; they need not be normalised.
        emit: (B, T, U) log scores of emit arcs.
        T_lens: (B,) frames, at least 1.
        U_lens: (B,) symbols, at least 0.

    Returns:
        cost (B,): minus log of the sum over all paths, summed over an utterance (nats);
        occupation (B, T, U + 1) of blank arcs and (B, T, U) of emit arcs: posteriors, no gradient. The gradient of the cost with respect to
        an arc's score is minus its occupation.
    """
    T, W = blank.shape[1:]
    t = torch.arange(T, device=blank.device).view(1, -1, 1) < T_lens.view(-1, 1, 1)
    u = torch.arange(W, device=blank.device).view(1, 1, -1)
    U_lens_ = U_lens.view(-1, 1, 1)
    blank = torch.where(t & (u <= U_lens_), blank, FORBIDDEN)
    emit = torch.where(t & (u[..., :-1] < U_lens_), emit, FORBIDDEN)
    return _Lattice.apply(blank, emit, T_lens, U_lens)


def rnnt_loss(
    logits: torch.Tensor, targets: torch.Tensor, T_lens: torch.Tensor, U_lens: torch.Tensor, blank: int = 0
) -> torch.Tensor:
    """Full transducer loss (Graves 2012, arXiv 1211.3711) by torchaudio, in float32.

    Args:
        logits: (B, T, U + 1, V) before softmax.
        targets: (B, U), any padding.
        T_lens, U_lens: (B,).
        blank: its index.

    Returns:
        (B,) negative log-likelihood, summed over an utterance (nats), no reduction.
    """
    longest_T, longest_U = int(T_lens.max()), int(U_lens.max())
    valid = torch.arange(longest_U, device=targets.device) < U_lens.unsqueeze(1)
    targets = torch.where(valid, targets[:, :longest_U], int(blank == 0))
    with torch.autocast(logits.device.type, enabled=False):
        return torchaudio.functional.rnnt_loss(
            logits[:, :longest_T, : longest_U + 1].float().contiguous(),
            targets.int().contiguous(),
            T_lens.int(),
            U_lens.int(),
            blank=blank,
            reduction="none",
        )
