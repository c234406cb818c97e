"""The lattice's dynamic programme as two Triton kernels, which Triton's interpreter also runs on a CPU (``TRITON_INTERPRET=1``).

One program works on one utterance, with its symbols u across the lanes, frame after frame. Within a frame, symbols follow each other by
emit arcs: a chain of steps x -> logaddexp(x + a, b) forward and x -> a x + b backward. Such steps compose, so a scan does a frame's chain
at once. Everything is float64 inside.

The modified lattice, whose emit arcs lead to the next frame, is the regular one in the coordinates (t - u, u): ``SHEAR`` is 1 there, and
row t of lane u stands for frame t + u.
"""

import triton
import triton.language as tl

FORBIDDEN = tl.constexpr(-1e30)  # as in lattice.py
NEGLIGIBLE = tl.constexpr(1e-20)


@triton.jit
def log_add(x, y):
    return tl.maximum(x, y) + tl.log(1.0 + tl.exp(-tl.abs(x - y)))


@triton.jit
def then_log(a, b, then_a, then_b):
    """x -> logaddexp(x + a, b), and then the same with the other pair."""
    return a + then_a, log_add(b + then_a, then_b)


@triton.jit
def then_linear(a, b, then_a, then_b):
    """x -> a x + b, and then the same with the other pair."""
    return a * then_a, then_b + then_a * b


@triton.jit
def rows_of(frames, symbols, SHEAR: tl.constexpr):
    """Rows of an utterance that hold nodes."""
    return frames - SHEAR * (symbols - 1) if SHEAR else frames


@triton.jit
def emit_scores(emit, t, u, frames, symbols, W, SHEAR: tl.constexpr, DELAY: tl.constexpr):
    """Scores of the emit arcs that leave the nodes (t, u)."""
    frame = t + SHEAR * u
    real = (u >= 0) & (u < symbols) & (frame >= 0) & (frame < frames)
    score = tl.load(emit + frame * (W - 1) + u, mask=real, other=FORBIDDEN).to(tl.float64)
    if DELAY != 0.0:
        middle = (frames - 1).to(tl.float64) / 2
        score += tl.where(real, DELAY * (middle - frame.to(tl.float64)), 0.0)
    return score


@triton.jit
def blank_scores(blank, t, u, rows, frames, symbols, W, SHEAR: tl.constexpr):
    """Scores of the blank arcs that leave the nodes (t, u); in the modified lattice a free one leaves the last node."""
    frame = t + SHEAR * u
    real = (u <= symbols) & (frame >= 0) & (frame < frames)
    score = tl.load(blank + frame * W + u, mask=real, other=FORBIDDEN).to(tl.float64)
    if SHEAR:
        score = tl.where((t == rows - 1) & (u == symbols), 0.0, score)
    return score


@triton.jit
def forward_kernel(
    blank, emit, T_lens, U_lens, alpha, total, T, W, SHEAR: tl.constexpr, DELAY: tl.constexpr, BLOCK: tl.constexpr
):
    """Log of the sum over all paths up to each node.

    Args:
        blank (B, T, W), emit (B, T, W - 1): scores, anything beyond an utterance's end. T_lens, U_lens: (B,).
        alpha (B, T + SHEAR, W) float64: written at an utterance's nodes only. total (B,) float64: 0 for an utterance without a path.
    """
    b = tl.program_id(0).to(tl.int64)
    frames, symbols = tl.load(T_lens + b).to(tl.int32), tl.load(U_lens + b).to(tl.int32)
    blank += b * T * W
    emit += b * T * (W - 1)
    alpha += b * (T + SHEAR) * W
    u = tl.arange(0, BLOCK)
    rows = rows_of(frames, symbols, SHEAR)
    node = tl.where(u == 0, 0.0, FORBIDDEN).to(tl.float64)
    for t in range(0, rows):
        arriving = emit_scores(emit, t, u - 1, frames, symbols, W, SHEAR, DELAY)
        _, node = tl.associative_scan((arriving, node), 0, then_log)
        tl.store(alpha + t * W + u, node, mask=u <= symbols)
        node += blank_scores(blank, t, u, rows, frames, symbols, W, SHEAR)
    last = tl.sum(tl.where(u == symbols, node, 0.0), 0)
    tl.store(total + b, tl.where(rows > 0, last, 0.0))


@triton.jit
def write_row(on_blank, on_emit, t, u, stay, move, T, W, SHEAR: tl.constexpr):
    """Posteriors of the blank arcs that leave the nodes (t, u) and of the emit arcs that lead there; every cell is written once."""
    frame = t + SHEAR * u
    stay = tl.where(stay > NEGLIGIBLE, stay, 0.0).to(tl.float32)
    tl.store(on_blank + frame * W + u, stay, mask=(u < W) & (frame >= 0) & (frame < T))
    frame -= SHEAR
    move = tl.where(move > NEGLIGIBLE, move, 0.0).to(tl.float32)
    tl.store(on_emit + frame * (W - 1) + u - 1, move, mask=(u > 0) & (u < W) & (frame >= 0) & (frame < T))


@triton.jit
def backward_kernel(
    blank,
    emit,
    T_lens,
    U_lens,
    alpha,
    on_blank,
    on_emit,
    T,
    W,
    SHEAR: tl.constexpr,
    DELAY: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Posteriors of all arcs, from the last node back, by the share of each node's mass that came by each arc: products of ratios of
    neighbours, which do not cancel as alpha + beta - total does.

    Args:
        blank, emit, T_lens, U_lens, alpha: of `forward_kernel`.
        on_blank (B, T, W), on_emit (B, T, W - 1): float32, written everywhere.
    """
    b = tl.program_id(0).to(tl.int64)
    frames, symbols = tl.load(T_lens + b).to(tl.int32), tl.load(U_lens + b).to(tl.int32)
    blank += b * T * W
    emit += b * T * (W - 1)
    alpha += b * (T + SHEAR) * W
    on_blank += b * T * W
    on_emit += b * T * (W - 1)
    u = BLOCK - 1 - tl.arange(0, BLOCK)  # the scan goes from the last symbol to the first
    inside = u <= symbols
    rows = rows_of(frames, symbols, SHEAR)
    nothing = tl.zeros([BLOCK], tl.float64)
    for t in range(tl.maximum(rows, 0), T):
        write_row(on_blank, on_emit, t, u, nothing, nothing, T, W, SHEAR)
    stay = tl.where(u == symbols, 1.0, 0.0).to(tl.float64)
    for step in range(0, rows):
        t = rows - 1 - step
        here = tl.load(alpha + t * W + u, mask=inside, other=0.0)
        right = tl.load(alpha + t * W + u + 1, mask=u < symbols, other=0.0)
        left = tl.load(alpha + t * W + u - 1, mask=inside & (u > 0), other=0.0)
        leaving = emit_scores(emit, t, u, frames, symbols, W, SHEAR, DELAY)
        leaving = tl.where(u < symbols, tl.exp(here + leaving - right), 0.0)
        _, node = tl.associative_scan((leaving, stay), 0, then_linear)
        arriving = emit_scores(emit, t, u - 1, frames, symbols, W, SHEAR, DELAY)
        move = tl.where(inside & (u > 0), node * tl.exp(left + arriving - here), 0.0)
        on_arc = tl.where(t + SHEAR * u < frames, stay, 0.0)  # not on the free one
        write_row(on_blank, on_emit, t, u, on_arc, move, T, W, SHEAR)
        before = tl.load(alpha + (t - 1) * W + u, mask=inside & (t > 0), other=0.0)
        before += blank_scores(blank, t - 1, u, rows, frames, symbols, W, SHEAR)
        stay = tl.where(inside & (t > 0), node * tl.exp(before - here), 0.0)
    for t in range(-SHEAR * (W - 1), 0):
        write_row(on_blank, on_emit, t, u, nothing, nothing, T, W, SHEAR)
