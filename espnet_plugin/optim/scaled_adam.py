"""ScaledAdam: Adam whose step is proportional to each parameter's size, and which also learns that size.

Follows the behaviour of the optimizer of icefall's zipformer (Yao et al. 2023, arXiv 2310.11230). Ours keeps the state of every parameter
with that parameter, so that a checkpoint does not depend on the order of parameters.
"""

import math
from collections.abc import Iterable

import torch

IRREGULAR = (10, 20, 40)  # steps with an early estimate of the clipping threshold, doubled


class ScaledAdam(torch.optim.Optimizer):
    """For a tensor p with gradient g, both of many elements, at step t from 0:

    v <- b2 v + (1 - b2) g^2, bias-corrected while the correction is below 0.99;
    delta <- b1 delta - (1 - b1) lr max(rms(p), param_min_rms) g / (sqrt(v) + eps);  p <- p + delta.

    Every `size_update_period` steps rms(p) is refreshed and delta gets (1 - b1) r p, an Adam step of rate scalar_lr_scale lr on the
    logarithm of the tensor's scale, |r| <= 0.1. Single numbers take plain Adam steps of rate scalar_lr_scale lr and stay within
    +-scalar_max. A parameter without a gradient is left alone, momentum and step count included.

    Args:
        params: parameters or groups.
        lr: rate, relative to the size of each parameter.
        clipping_scale: gradients are scaled down to this multiple of the median norm of the last `clipping_update_period` steps, measured
            as the norm of g rms(p); None for no clipping. A step whose norm is not finite moves by momentum only.
        betas, eps: as in Adam.
        scalar_lr_scale: rate of single numbers and of scales, relative to lr.
        param_min_rms, param_max_rms: range in which sizes are learnt.
        scalar_max: bound of single numbers.
        size_update_period, clipping_update_period: in steps.
    """

    def __init__(
        self,
        params: Iterable,
        lr: float = 3e-2,
        clipping_scale: float | None = None,
        betas: tuple[float, float] = (0.9, 0.98),
        scalar_lr_scale: float = 0.1,
        eps: float = 1e-8,
        param_min_rms: float = 1e-5,
        param_max_rms: float = 3.0,
        scalar_max: float = 10.0,
        size_update_period: int = 4,
        clipping_update_period: int = 100,
    ):
        defaults = dict(
            lr=lr, clipping_scale=clipping_scale, betas=tuple(betas), scalar_lr_scale=scalar_lr_scale, eps=eps
        )
        defaults |= dict(param_min_rms=param_min_rms, param_max_rms=param_max_rms, scalar_max=scalar_max)
        defaults |= dict(size_update_period=size_update_period, clipping_update_period=clipping_update_period)
        # Norms of past steps and the threshold live in the group, so that they are saved with it.
        super().__init__(params, defaults | dict(clip_step=0, clip_threshold=None, clip_norms=None))

    @torch.no_grad()
    def step(self, closure=None):
        """One update; returns what `closure` returns."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            if not params:
                continue
            for p in params:
                if not self.state[p]:
                    self._init_state(p, group)
            scale = self._clipping(group, params)
            batches: dict[tuple, list[torch.Tensor]] = {}
            for p in params:
                key = (p.shape, p.dtype, p.device, self.state[p]["step"])
                batches.setdefault(key, []).append(p)
            for batch in batches.values():
                self._step_batch(group, batch, scale)
        return loss

    def _init_state(self, p: torch.Tensor, group: dict) -> None:
        state = self.state[p]
        state["step"] = 0
        state["delta"] = torch.zeros_like(p, memory_format=torch.preserve_format)
        state["exp_avg_sq"] = torch.zeros_like(p, memory_format=torch.preserve_format)
        if p.numel() > 1:
            state["param_rms"] = p.square().mean().sqrt()
            state["scale_exp_avg_sq"] = torch.zeros_like(state["param_rms"])
            state["scale_grads"] = p.new_zeros(group["size_update_period"])

    def _clipping(self, group: dict, params: list[torch.Tensor]) -> float:
        """Factor of this step's gradients, between 0 and 1."""
        if group["clipping_scale"] is None:
            return 1.0
        step, period = group["clip_step"], group["clipping_update_period"]
        group["clip_step"] = step + 1
        sizes = [self.state[p].get("param_rms", p.new_tensor(group["scalar_lr_scale"])) for p in params]
        norms = torch.stack(torch._foreach_norm([p.grad for p in params])).float()
        norm = (norms * torch.stack(sizes).float()).norm().item()
        norm = float("inf") if math.isnan(norm) else norm
        if step == 0:
            group["clip_norms"] = [0.0] * period
            return 1.0
        group["clip_norms"][step % period] = norm
        if step % period == 0 or step in IRREGULAR:
            known = sorted(group["clip_norms"])[-min(step, period) :]
            median = known[min(len(known) - 1, len(known) // 4 * 2)]
            group["clip_threshold"] = (
                group["clipping_scale"] * median * (2.0 if step in IRREGULAR and step < period else 1.0)
            )
        if math.isinf(norm):
            return 0.0
        if group["clip_threshold"] is None:
            return 1.0
        return min(1.0, group["clip_threshold"] / (norm + 1e-20))

    def _step_batch(self, group: dict, params: list[torch.Tensor], scale: float) -> None:
        """Update parameters of one shape and one age."""
        states = [self.state[p] for p in params]
        step = states[0]["step"]
        beta1, beta2 = group["betas"]
        deltas, squares = ([state[key] for state in states] for key in ("delta", "exp_avg_sq"))
        if scale == 0.0:
            grads = [torch.zeros_like(p) for p in params]  # a product with 0 would keep nan
        else:
            grads = [p.grad for p in params] if scale == 1.0 else torch._foreach_mul([p.grad for p in params], scale)
        torch._foreach_mul_(deltas, beta1)
        many = params[0].numel() > 1
        if many:
            self._learn_sizes(group, params, grads, states, step)
        torch._foreach_mul_(squares, beta2)
        torch._foreach_addcmul_(squares, grads, grads, value=1 - beta2)
        correction = 1 - beta2 ** (step + 1)
        if correction >= 0.99:
            correction = 1.0
        denominators = torch._foreach_sqrt(torch._foreach_div(squares, correction) if correction != 1.0 else squares)
        torch._foreach_add_(denominators, group["eps"])
        directions = torch._foreach_div(grads, denominators)
        if many:
            rates = torch.stack([state["param_rms"] for state in states]).clamp(min=group["param_min_rms"])
            rates = rates * (-group["lr"] * (1 - beta1))
            torch._foreach_mul_(directions, list(rates.unbind()))
            torch._foreach_add_(deltas, directions)
        else:
            torch._foreach_add_(deltas, directions, alpha=-group["lr"] * group["scalar_lr_scale"] * (1 - beta1))
        torch._foreach_add_(params, deltas)
        if not many:
            for p in params:
                p.clamp_(-group["scalar_max"], group["scalar_max"])
        for state in states:
            state["step"] = step + 1

    def _learn_sizes(self, group: dict, params, grads, states, step: int) -> None:
        """Collect sum(p g), and every `size_update_period` steps move the scale of each tensor."""
        period = group["size_update_period"]
        for p, grad, state in zip(params, grads, states):
            state["scale_grads"][step % period] = (p * grad).sum()
        if step % period != period - 1:
            return
        beta1, beta2 = group["betas"]
        beta2 = beta2**period
        correction = (1 - beta2 ** ((step + 1) // period)) ** 0.5
        for p, state in zip(params, states):
            rms = state["param_rms"].copy_(p.square().mean().sqrt())
            grad = state["scale_grads"]
            average = state["scale_exp_avg_sq"].mul_(beta2).add_(grad.square().mean(), alpha=1 - beta2)
            rate = group["lr"] * group["scalar_lr_scale"] * correction
            move = -rate * grad.sum() / (average.sqrt() + group["eps"])
            move = torch.where(rms < group["param_min_rms"], 0.0, move).clamp(-0.1, 0.1)
            move = torch.minimum(move, (group["param_max_rms"] - rms) / rms)
            state["delta"].add_(p * move, alpha=1 - beta1)
