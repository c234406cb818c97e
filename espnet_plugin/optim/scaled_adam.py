"""ScaledAdam: Adam whose step is proportional to each parameter's size, and which also learns that size.

Follows the behaviour of the optimizer of icefall's zipformer (Yao et al. 2023, arXiv 2310.11230). Ours keeps the state of every parameter
with that parameter, so that a checkpoint does not depend on the order of parameters, and never copies parameters into stacks.
"""

import math
from collections.abc import Iterable
from itertools import islice
from typing import Annotated, Any

import torch

from espnet_plugin.common.bounds import Bounds, Count, Positive
from espnet_plugin.common.conf import check_keys
from espnet_plugin.errors import UserError
from espnet_plugin.optim.stacked import is_stacked, unstacked

EARLY = (10, 20, 40)  # steps with an early estimate of the clipping threshold, doubled


class ScaledAdam(torch.optim.Optimizer):
    """For a tensor p with gradient g, both of many elements, at step t from 0:

    v <- b2 v + (1 - b2) g^2, bias-corrected while the correction is below 0.99;
    delta <- b1 delta - (1 - b1) lr max(rms(p), param_min_rms) g / (sqrt(v) + eps);  p <- p + delta.

    Every `size_update_period` steps rms(p) is refreshed and delta gets (1 - b1) r p, an Adam step of rate scalar_lr_scale lr on the
    logarithm of the tensor's scale, |r| <= 0.1. Single numbers take plain Adam steps of rate scalar_lr_scale lr and stay within
    +-scalar_max. A parameter without a gradient is left alone, momentum and step count included.

    Args:
        params: parameters, groups, or pairs of a name and a parameter. With names, a loaded state follows the names: parameters may be
            reordered, and new ones begin afresh. Without names it follows the positions. Groups may be icefall's, whose parameters are
            pairs under ``named_params``.
        lr: rate, relative to the size of each parameter.
        clipping_scale: gradients are scaled down to this multiple of the median norm of the last `clipping_update_period` steps, measured
            as the norm of g rms(p); None for no clipping. A step whose norm is not finite moves by momentum only.
        betas, eps: as in Adam.
        scalar_lr_scale: rate of single numbers and of scales, relative to lr.
        param_min_rms, param_max_rms: range in which sizes are learnt.
        scalar_max: bound of single numbers.
        size_update_period, clipping_update_period: in steps.
        lr_scales: rates relative to lr of the parameters, given with names, whose names end in a key; they form groups of their own.

    Raises:
        UserError: an option that is not a number in its range, or a key of `lr_scales` that no parameter has.
    """

    def __init__(
        self,
        params: Iterable,
        lr: Annotated[float, Bounds(above=0, most=1, why="a step of a parameter's own size")] = 3e-2,
        clipping_scale: Annotated[float | None, Bounds(above=0)] = None,
        betas: Annotated[tuple[float, float], Bounds(0, below=1)] = (0.9, 0.98),
        scalar_lr_scale: Positive = 0.1,
        eps: Positive = 1e-8,
        param_min_rms: Positive = 1e-5,
        param_max_rms: Positive = 3.0,
        scalar_max: Positive = 10.0,
        size_update_period: Count = 4,
        clipping_update_period: Count = 100,
        lr_scales: dict[str, float] | None = None,
    ):
        options: dict[str, Any] = dict(lr=lr, scalar_lr_scale=scalar_lr_scale, eps=eps, param_min_rms=param_min_rms)
        options |= dict(param_max_rms=param_max_rms, scalar_max=scalar_max)
        periods = dict(size_update_period=size_update_period, clipping_update_period=clipping_update_period)
        check_keys("optim", ScaledAdam, options | periods | dict(clipping_scale=clipping_scale, betas=betas))
        if len(betas) != 2:
            raise UserError(f"optim_conf.betas: {betas!r} must be two numbers of at least 0 and below 1")
        # Norms of past steps and the threshold live in the group, so that they are saved with it.
        clipping: dict[str, Any] = dict(
            clipping_scale=clipping_scale, clip_step=0, clip_threshold=None, clip_norms=None
        )
        params = groups_by_rate(params, lr, lr_scales) if lr_scales else with_params(params)
        super().__init__(params, options | clipping | periods | dict(betas=tuple(betas)))

    @torch.no_grad()
    def figures(self) -> torch.Tensor:
        """What `step` has to know of this step's gradients in Python, as numbers on their device.

        A caller that reads them together with other numbers, and passes them to `step`, waits for the device once.

        Returns:
            (n,) float64.
        """
        parts = [torch.zeros(0, dtype=torch.float64)]
        for group in self.param_groups:
            params, many, sized = self._asked(group)
            if params and group["clipping_scale"] is not None:
                parts.append(torch.stack(torch._foreach_norm(gradients_of(params))).float())
            if many:
                parts.append(inner_products(many, gradients_of(many)))
            if sized:
                parts.append(torch.stack(torch._foreach_norm(sized)))
        return torch.cat([part.double() for part in parts[1:] or parts])

    def _asked(self, group: dict) -> tuple[list[torch.Tensor], ...]:
        """Parameters with a gradient; those of many elements; those of which the size is due now."""
        params = [p for p in group["params"] if p.grad is not None and p.numel() > 0]
        many = [p for p in params if p.numel() > 1]
        period = group["size_update_period"]
        steps = [self.state[p]["step"] if p in self.state else None for p in many]
        return params, many, [p for p, step in zip(many, steps) if step is None or step % period == period - 1]

    @torch.no_grad()
    def step(self, closure=None, figures: list[float] | None = None):
        """One update; returns what `closure` returns.

        Args:
            figures: of this step, read from the device; without them they are read here.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        numbers = iter(self.figures().tolist() if figures is None else figures)
        for group in self.param_groups:
            params, many, sized = self._asked(group)
            norms = list(islice(numbers, 0 if group["clipping_scale"] is None else len(params)))
            sums = dict(zip(many, numbers)) if many else {}
            sizes = {p: norm / math.sqrt(p.numel()) for p, norm in zip(sized, numbers)} if sized else {}
            if not params:
                continue
            for p in params:
                if p not in self.state:
                    self._init_state(p, group, sizes.get(p))
            factor = 1.0 if group["clipping_scale"] is None else self._clipping(group, params, norms)
            batches: dict[tuple, list[torch.Tensor]] = {}
            for p in params:
                batches.setdefault((p.numel() > 1, p.dtype, p.device, self.state[p]["step"]), []).append(p)
            for (many_elements, _, _, step), batch in batches.items():
                if many_elements:
                    self._learn_sizes(group, batch, [sums[p] for p in batch], sizes, step, factor)
                self._update(group, batch, step, factor, many_elements)
        return loss

    def _init_state(self, p: torch.Tensor, group: dict, size: float | None) -> None:
        state = self.state[p]
        state["step"] = 0
        state["delta"] = torch.zeros_like(p, memory_format=torch.preserve_format)
        state["exp_avg_sq"] = torch.zeros_like(p, memory_format=torch.preserve_format)
        if size is not None:
            state["param_rms"] = size
            state["scale_exp_avg_sq"] = 0.0
            # sum(p g) of the last steps, which are needed in Python only
            state["scale_grads"] = torch.zeros(group["size_update_period"], dtype=p.dtype)

    def _clipping(self, group: dict, params: list[torch.Tensor], norms: list[float]) -> float:
        """Factor of this step's gradients: at most 1, and 0 where a gradient is not finite. Args: norms: of the gradients."""
        step, period = group["clip_step"], group["clipping_update_period"]
        group["clip_step"] = step + 1
        sizes = [self.state[p].get("param_rms", group["scalar_lr_scale"]) for p in params]
        norm = (torch.tensor(norms) * torch.tensor(sizes)).norm().item()
        norm = norm if math.isfinite(norm) else math.inf
        if step == 0:  # no size has been learnt yet: the norm is not kept
            group["clip_norms"] = [0.0] * period
        else:
            group["clip_norms"][step % period] = norm
            early = step in EARLY and step < period
            if early or step % period == 0:
                known = sorted(group["clip_norms"])[-min(step, period) :]
                median = known[min(len(known) - 1, len(known) // 4 * 2)]
                if math.isfinite(median):
                    group["clip_threshold"] = group["clipping_scale"] * median * (2.0 if early else 1.0)
        if math.isinf(norm):
            return 0.0
        return 1.0 if group["clip_threshold"] is None else min(1.0, group["clip_threshold"] / (norm + 1e-20))

    def _update(self, group: dict, params: list[torch.Tensor], step: int, factor: float, many: bool) -> None:
        """Update parameters of one age with their gradients times `factor`, which never touches a gradient itself."""
        beta1, beta2 = group["betas"]
        grads, states = gradients_of(params), [self.state[p] for p in params]
        deltas, squares = ([state[key] for state in states] for key in ("delta", "exp_avg_sq"))
        if not many:
            torch._foreach_mul_(deltas, beta1)
        torch._foreach_mul_(squares, beta2)
        if factor > 0.0:  # a product with 0 would keep nan
            torch._foreach_addcmul_(squares, grads, grads, value=(1 - beta2) * factor**2)
            correction = 1 - beta2 ** (step + 1)
            root = math.sqrt(correction) if correction < 0.99 else 1.0
            # g / (sqrt(v / correction) + eps) = root g / (sqrt(v) + root eps)
            denominators = torch._foreach_sqrt(squares)
            torch._foreach_add_(denominators, root * group["eps"])
            rate = -(1 - beta1) * group["lr"] * root * factor
            if many:
                rates = [rate * max(state["param_rms"], group["param_min_rms"]) for state in states]
            else:
                rates = [rate * group["scalar_lr_scale"]] * len(params)
            torch._foreach_addcdiv_(deltas, grads, denominators, rates)
        torch._foreach_add_(params, deltas)
        if not many:
            torch._foreach_clamp_min_(params, -group["scalar_max"])
            torch._foreach_clamp_max_(params, group["scalar_max"])
        for state in states:
            state["step"] = step + 1

    def _learn_sizes(
        self, group: dict, params: list[torch.Tensor], sums: list[float], sizes: dict, step: int, factor: float
    ) -> None:
        """Let momentum decay and collect sum(p g); every `size_update_period` steps add a move of each tensor's scale to its delta.

        Args:
            sums: of p g, of each parameter.
            sizes: rms of parameters, where it is due.
        """
        states = [self.state[p] for p in params]
        beta1, beta2 = group["betas"]
        torch._foreach_mul_([state["delta"] for state in states], beta1)
        period = group["size_update_period"]
        slots = [state["scale_grads"][step % period] for state in states]
        if factor > 0.0:
            torch._foreach_copy_(slots, (factor * torch.tensor(sums, dtype=slots[0].dtype)).unbind())
        else:
            torch._foreach_zero_(slots)
        if step % period != period - 1:
            return
        beta2 = beta2**period
        rate = group["lr"] * group["scalar_lr_scale"] * math.sqrt(1 - beta2 ** ((step + 1) // period))
        collected = torch.stack([state["scale_grads"] for state in states]).tolist()
        moved, moves = [], []
        for p, state, recent in zip(params, states, collected):
            square = sum(s * s for s in recent) / period
            average = beta2 * state["scale_exp_avg_sq"] + (1 - beta2) * square
            rms = sizes[p]
            state["param_rms"], state["scale_exp_avg_sq"] = rms, average
            if rms >= group["param_min_rms"] and step > 0:
                move = -rate * sum(recent) / (math.sqrt(average) + group["eps"])
                move = max(-0.1, min(0.1, move))
                move = min(move, (group["param_max_rms"] - rms) / rms)
                moved.append(p)
                moves.append((1 - beta1) * move)
        add_multiples([self.state[p]["delta"] for p in moved], moved, moves)

    def load_state_dict(self, state_dict: dict) -> None:
        """Load what `state_dict` gave, matching parameters by name where both sides have names, or what icefall's ScaledAdam gave.

        Raises:
            UserError: the state of a parameter has another shape than the parameter.
        """
        if is_stacked(state_dict):
            state_dict = unstacked(state_dict, self.param_groups)
        state_dict = follow_names(state_dict, self.param_groups)
        flat = [p for group in self.param_groups for p in group["params"]]
        for index, state in state_dict["state"].items():
            if index < len(flat) and state["delta"].shape != flat[index].shape:
                raise UserError(
                    f"optimizer state of parameter {index} has shape {tuple(state['delta'].shape)}, "
                    f"which must be {tuple(flat[index].shape)} as in the model"
                )
        super().load_state_dict(state_dict)
        for state in self.state.values():
            if "scale_grads" in state:  # torch has put them where their parameter is
                state["scale_grads"] = state["scale_grads"].cpu()


def with_params(params: Iterable) -> Iterable:
    """Parameters or groups as torch takes them: icefall's ``named_params`` of a group become its ``params``."""
    params = list(params)
    if not params or not isinstance(params[0], dict):
        return params
    return [{("params" if key == "named_params" else key): value for key, value in group.items()} for group in params]


def gradients_of(params: Iterable[torch.Tensor]) -> list[torch.Tensor]:
    """Gradients of parameters that have one."""
    return [p.grad for p in params if p.grad is not None]


def groups_by_rate(params: Iterable, lr: float, lr_scales: dict[str, float]) -> list[dict]:
    """Parameter groups: parameters, pairs of a name and a parameter, by the key of `lr_scales` that their name ends in."""
    groups: dict[str, list] = {key: [] for key in ("", *lr_scales)}
    for pair in params:
        if not isinstance(pair, tuple):
            raise UserError("optim_conf.lr_scales: needs parameters with names")
        groups[next((key for key in lr_scales if pair[0].endswith(key)), "")].append(pair)
    for key, scale in lr_scales.items():
        if not groups[key] or not isinstance(scale, int | float) or not scale > 0:
            raise UserError(
                f"optim_conf.lr_scales: '{key}: {scale!r}' must be the end of a parameter's name and a number above 0"
            )
    return [{"params": group, "lr": lr * lr_scales.get(key, 1.0)} for key, group in groups.items() if group]


def inner_products(xs: list[torch.Tensor], ys: list[torch.Tensor]) -> torch.Tensor:
    """Sum of the products of each pair of tensors, (n,)."""
    if xs[0].device.type == "cpu":
        return torch.stack([torch.dot(x.reshape(-1), y.reshape(-1)) for x, y in zip(xs, ys)])
    # Few operations for many tensors: there is no sum of lists, but a norm, of the positive numbers and of the negative ones.
    products = torch._foreach_mul(xs, ys)
    positive = torch._foreach_norm(torch._foreach_clamp_min(products, 0.0), 1)
    negative = torch._foreach_norm(torch._foreach_clamp_max(products, 0.0), 1)
    return torch.stack(positive) - torch.stack(negative)


def add_multiples(sums: list[torch.Tensor], xs: list[torch.Tensor], factors: list[float]) -> None:
    """Add to each sum a multiple of its x."""
    if xs and xs[0].device.type != "cpu":
        torch._foreach_add_(sums, torch._foreach_mul(xs, factors))
        return
    for total, x, factor in zip(sums, xs, factors):
        total.add_(x, alpha=factor)


def follow_names(saved: dict, groups: list[dict]) -> dict:
    """A saved state in the order of `groups`; as it is where either side has no names or another number of groups.

    Args:
        saved: an optimizer's ``state_dict()``.
        groups: ``param_groups`` of the optimizer that will load it.
    """
    pairs = list(zip(saved["param_groups"], groups))
    if len(saved["param_groups"]) != len(groups) or not all("param_names" in g for pair in pairs for g in pair):
        return saved
    known = {name: saved["state"].get(i) for old, _ in pairs for i, name in zip(old["params"], old["param_names"])}
    state: dict[int, dict] = {}
    new_groups: list[dict] = []
    index = 0
    for old, group in pairs:
        indices = range(index, index + len(group["params"]))
        index = indices.stop
        state |= {i: known[name] for i, name in zip(indices, group["param_names"]) if known.get(name) is not None}
        new_groups.append(old | {"params": list(indices), "param_names": list(group["param_names"])})
    return {**saved, "state": state, "param_groups": new_groups}
