"""In-place distillation on the transducer lattice: adaptive alpha divergence, in log space.

Per lattice cell, teacher p and student q over the same symbols (Wang et al. 2021, AlphaNet, arXiv 2102.07954):
D_alpha(p || q) = sum_v q_v [(p_v / q_v)^alpha - 1] / (alpha (alpha - 1)), with the limits KL(p || q) at alpha = 1 and KL(q || p) at 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from espnet_plugin.errors import UserError

FORMS = ("full_vocabulary", "three_way")


@dataclass(frozen=True)
class DistillConf:
    """How subnets learn from the max net.

    Args:
        weight: of the divergence; 0 switches distillation off.
        transducer_weight: of a subnet's own transducer loss beside it.
        alpha: one value, or two of which each cell takes the one with the larger divergence (adaptive).
        clip: largest importance weight (p / q)^alpha; None for no limit.
        form: ``full_vocabulary``, or ``three_way`` {next symbol, blank, all others} (Panchapagesan et al. 2021, arXiv 2011.06110).
    """

    weight: float = 0.2
    transducer_weight: float = 1.0
    alpha: float | Sequence[float] = (-1.0, 1.0)
    clip: float | None = 5.0
    form: str = "full_vocabulary"

    def __post_init__(self):
        if self.weight < 0 or self.transducer_weight < 0:
            raise UserError(f"distill_conf: weights {self.weight}, {self.transducer_weight} must be at least 0")
        if self.form not in FORMS:
            raise UserError(f"distill_conf.form: '{self.form}' is not one of {list(FORMS)}")
        if not isinstance(self.alpha, int | float) and len(self.alpha) != 2:
            raise UserError(f"distill_conf.alpha: {self.alpha} must be one number or two")


def _one_alpha(logp: torch.Tensor, logq: torch.Tensor, alpha: float, clip: float | None):
    """Divergence (..., 1) and its gradient (..., V) with respect to the student's logits, both clipped."""
    q = logq.exp()
    if alpha == 1.0:
        p = logp.exp()
        return (p * (logp - logq)).sum(-1, keepdim=True), q - p
    log_ratio = logp - logq
    limit = float("inf") if clip is None else torch.tensor(clip).log().item()
    if alpha == 0.0:
        log_ratio = log_ratio.clamp(max=limit)
        mean = (q * log_ratio).sum(-1, keepdim=True)
        return -mean, q * (mean - log_ratio)
    exponent = (alpha * log_ratio).clamp(max=limit)
    weight = (logq + exponent).exp()
    total = weight.sum(-1, keepdim=True)
    # Near 0 and 1 the value is a small difference of numbers near 1; expm1 about the nearer end keeps its digits.
    if abs(alpha) <= abs(1 - alpha):
        value = (q * torch.expm1(exponent)).sum(-1, keepdim=True)
    else:
        shifted = (exponent - log_ratio).clamp(max=80.0)
        value = (logp.exp() * torch.expm1(shifted)).sum(-1, keepdim=True)
    return value / (alpha * (alpha - 1)), (q * total - weight) / alpha


class _AlphaDivergence(torch.autograd.Function):
    @staticmethod
    def forward(ctx, student, teacher, alphas, clip):
        logq, logp = student.log_softmax(-1), teacher.log_softmax(-1)
        value, gradient = _one_alpha(logp, logq, alphas[0], clip)
        for alpha in alphas[1:]:
            other_value, other_gradient = _one_alpha(logp, logq, alpha, clip)
            larger = other_value > value
            value = torch.where(larger, other_value, value)
            gradient = torch.where(larger, other_gradient, gradient)
        ctx.save_for_backward(gradient)
        return value.squeeze(-1)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        (gradient,) = ctx.saved_tensors
        return grad.unsqueeze(-1) * gradient, None, None, None


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
        kind = torch.promote_types(student_logits.dtype, torch.float32)
        return _AlphaDivergence.apply(student_logits.to(kind), teacher_logits.detach().to(kind), alphas, clip)


def three_way(logits: torch.Tensor, targets: torch.Tensor, blank: int = 0) -> torch.Tensor:
    """Log-probabilities of {next symbol, blank, everything else}.

    Args:
        logits: (..., V).
        targets: (...) next symbol of each cell; where it is blank (no symbol follows), its share is counted as blank alone.
        blank: its index.

    Returns:
        (..., 3).
    """
    logp = logits.float().log_softmax(-1)
    index = targets.unsqueeze(-1)
    lowest = torch.finfo(logp.dtype).min / 4
    symbol = logp.gather(-1, index).squeeze(-1).masked_fill(targets == blank, lowest)
    rest = logp.scatter(-1, index, lowest)
    rest = torch.cat([rest[..., :blank], torch.full_like(rest[..., :1], lowest), rest[..., blank + 1 :]], -1)
    return torch.stack([symbol, logp[..., blank], rest.logsumexp(-1)], -1)
