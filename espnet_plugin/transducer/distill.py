"""In-place distillation on the transducer lattice: adaptive alpha divergence, in log space.

Per lattice cell, teacher p and student q over the same symbols (Wang et al. 2021, AlphaNet, arXiv 2102.07954):
D_alpha(p || q) = sum_v q_v [(p_v / q_v)^alpha - 1] / (alpha (alpha - 1)), with the limits KL(p || q) at alpha = 1 and KL(q || p) at 0.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

import torch

from espnet_plugin.common.bounds import Bounds, NotNegative
from espnet_plugin.common.conf import check_fields
from espnet_plugin.errors import UserError
from espnet_plugin.transducer.lattice import blocks

FORMS = ("full_vocabulary", "three_way")
NEAR = 0.1  # distance of alpha from 0 or 1 within which the divergence is summed by expm1


@dataclass(frozen=True)
class DistillConf:
    """How subnets learn from the max net.

    Args:
        weight: of the divergence; 0 switches distillation off.
        divergence: one of `DIVERGENCES`.
        transducer_weight: of a subnet's own transducer loss beside it.
        alpha: one value, or two of which each cell takes the one with the larger divergence (adaptive).
        clip: largest importance weight (p / q)^alpha; None for no limit, with alpha from 0 to 1 only: beyond, the weight overflows where
            the teacher or the student is sure. Clipped values near, not at, alpha = 0 or 1 are no divergences; gradients are not affected.
        form: ``full_vocabulary``, or ``three_way`` {next symbol, blank, all others} (Panchapagesan et al. 2021, arXiv 2011.06110).
        frame_stride: k; in training only every k-th frame is compared, from another first one in each step, and counts k times: the same
            divergence on average, for less work.
    """

    weight: NotNegative = 0.2
    transducer_weight: NotNegative = 1.0
    alpha: Annotated[float | Sequence[float], Bounds(ends=True)] = (-1.0, 1.0)
    clip: Annotated[float | None, Bounds(above=0)] = 5.0
    form: str = "full_vocabulary"
    frame_stride: Annotated[int, Bounds(1, 100, why="frames of 4 s")] = 1
    divergence: str = "alpha"

    def __post_init__(self):
        if self.divergence not in DIVERGENCES:
            raise UserError(f"distill_conf.divergence: '{self.divergence}' is not one of {list(DIVERGENCES)}")
        check_fields("distill_conf", self)
        if self.form not in FORMS:
            raise UserError(f"distill_conf.form: '{self.form}' is not one of {list(FORMS)}")
        alphas = [self.alpha] if isinstance(self.alpha, int | float) else self.alpha
        if self.clip is None and not all(0 <= alpha <= 1 for alpha in alphas):
            raise UserError(f"distill_conf.clip: null needs alpha from 0 to 1, not {self.alpha}; AlphaNet clips at 5")


def _one_alpha(logp: torch.Tensor, logq: torch.Tensor, q: torch.Tensor, alpha: float, clip: float | None):
    """Divergence (N, 1) and its gradient (N, V) with respect to the student's logits, both clipped; q = exp(logq)."""
    log_ratio = logp - logq
    if alpha == 1.0:
        p = logp.exp()
        return log_ratio.mul_(p).sum(-1, keepdim=True), q - p
    limit = math.inf if clip is None else math.log(clip)
    if alpha == 0.0:
        log_ratio.clamp_(max=limit)
        mean = (q * log_ratio).sum(-1, keepdim=True)
        return -mean, log_ratio.sub_(mean).mul_(q).neg_()
    exponent = (alpha * log_ratio).clamp_(max=limit)
    weight = (logq + exponent).exp_()
    # Near 0 and 1 the value is a small difference of numbers near 1; expm1 about the nearer end keeps its digits (elsewhere exp is faster).
    if abs(alpha) < NEAR:
        value = torch.where(exponent < 1, q * exponent.clamp(max=1.0).expm1_(), weight - q).sum(-1, keepdim=True)
    elif abs(1 - alpha) < NEAR:
        value = (logp.exp() * (exponent - log_ratio).clamp_(max=80.0).expm1_()).sum(-1, keepdim=True)
    else:
        value = (weight - q).sum(-1, keepdim=True)
    total = weight.sum(-1, keepdim=True)
    return value / (alpha * (alpha - 1)), weight.addcmul_(q, total, value=-1).div_(-alpha)


class _AlphaDivergence(torch.autograd.Function):
    @staticmethod
    def forward(ctx, student, teacher, alphas, clip):
        z, t = student.reshape(-1, student.shape[-1]), teacher.reshape(-1, teacher.shape[-1])
        kind = torch.promote_types(student.dtype, torch.float32)
        values = torch.empty(len(z), 1, dtype=kind, device=z.device)
        gradient = torch.empty_like(z) if ctx.needs_input_grad[0] else z[:, :0]
        for z_part, t_part, values_part, gradient_part in blocks(z, t, values, gradient):
            logq, logp = z_part.to(kind).log_softmax(-1), t_part.to(kind).log_softmax(-1)
            q = logq.exp()
            value, g = _one_alpha(logp, logq, q, alphas[0], clip)
            for alpha in alphas[1:]:
                other_value, other_g = _one_alpha(logp, logq, q, alpha, clip)
                larger = other_value > value
                value, g = torch.where(larger, other_value, value), torch.where(larger, other_g, g)
            values_part.copy_(value)
            if ctx.needs_input_grad[0]:
                gradient_part.copy_(g)
        ctx.save_for_backward(gradient.view(*student.shape[:-1], gradient.shape[-1]))
        return values.view(student.shape[:-1])

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        (gradient,) = ctx.saved_tensors
        return (grad.unsqueeze(-1) * gradient).to(gradient.dtype), None, None, None


def alpha_divergence(
    teacher_logits: torch.Tensor,
    student_logits: torch.Tensor,
    alpha: float | Sequence[float] = (-1.0, 1.0),
    clip: float | None = 5.0,
) -> torch.Tensor:
    """Divergence of each cell; the teacher gets no gradient.

    The gradient is AlphaNet's: sum_v over q_v rho_v, with the importance weight (p / q)^alpha clipped and held constant. Everything is a
    difference of log-probabilities, so probabilities that underflow give no NaN.

    Args:
        teacher_logits, student_logits: (..., V), any offset.
        alpha: one value, or several of which each cell takes the one with the larger divergence.
        clip: largest importance weight; None for no limit.

    Returns:
        (...), nats, float32 (float64 for float64 input).
    """
    alphas = (float(alpha),) if isinstance(alpha, int | float) else tuple(map(float, alpha))
    with torch.autocast(student_logits.device.type, enabled=False):
        return _AlphaDivergence.apply(student_logits, teacher_logits.detach(), alphas, clip)


# Name -> function of the teacher's and the student's logits, (..., V), and of the configuration. It returns (...), nats, of each cell.
DIVERGENCES: dict[str, Callable[[torch.Tensor, torch.Tensor, DistillConf], torch.Tensor]] = {
    "alpha": lambda teacher, student, conf: alpha_divergence(teacher, student, conf.alpha, conf.clip),
}


class _ThreeWay(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, targets, blank):
        z, index = logits.reshape(-1, logits.shape[-1]), targets.reshape(-1, 1)
        scores = torch.empty(len(z), 3, dtype=torch.promote_types(z.dtype, torch.float32), device=z.device)
        lowest = torch.finfo(scores.dtype).min / 4  # -inf would give NaN in differences
        for part, chosen, out in blocks(z, index, scores):
            part = part.to(scores.dtype, copy=True)
            out[:, 0:1] = part.gather(1, chosen).masked_fill_(chosen == blank, lowest)
            out[:, 1] = part[:, blank]
            part[:, blank] = lowest
            out[:, 2] = part.scatter_(1, chosen, lowest).logsumexp(1)
        ctx.save_for_backward(logits, index, scores)
        ctx.blank = blank
        return scores.log_softmax(1).view(*targets.shape, 3)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        logits, index, scores = ctx.saved_tensors
        z, blank = logits.reshape(-1, logits.shape[-1]), ctx.blank
        grad = grad.reshape(-1, 3)
        grad = torch.cat([grad[:, :1].masked_fill(index == blank, 0.0), grad[:, 1:]], 1)
        grad = grad - scores.softmax(1) * grad.sum(1, keepdim=True)  # with respect to the scores
        gradient = torch.empty_like(z)
        for part, chosen, score, g, out in blocks(z, index, scores, grad, gradient):
            inner = (part - score[:, 2:]).clamp_(max=0.0).exp_().mul_(g[:, 2:])
            inner.scatter_(1, chosen, g[:, :1])
            inner[:, blank] = g[:, 1]
            out.copy_(inner)
        return gradient.view_as(logits), None, None


def three_way(logits: torch.Tensor, targets: torch.Tensor, blank: int = 0) -> torch.Tensor:
    """Log-probabilities of {next symbol, blank, everything else}.

    Args:
        logits: (..., V).
        targets: (...) next symbol of each cell; where it is blank (no symbol follows), its share is counted as blank alone.
        blank: its index.

    Returns:
        (..., 3), float32 (float64 for float64 input); "everything else" is a sum over the others, since 1 - p_symbol - p_blank would lose
        it where it is small. For the backward pass only `logits` is kept.
    """
    with torch.autocast(logits.device.type, enabled=False):
        return _ThreeWay.apply(logits, targets, blank)
