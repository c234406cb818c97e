"""Rates and other options of optimizers that are resumed: those that are configured now, not those of the checkpoint."""

from inspect import signature

import torch
from torch.optim.lr_scheduler import ReduceLROnPlateau


def remember_rates(optimizers, schedulers) -> None:
    """Note the rates that an optimizer begins with where its schedule does not, so that its checkpoint has them."""
    for optimizer, scheduler in zip(optimizers, schedulers):
        if isinstance(scheduler, ReduceLROnPlateau):
            for group in optimizer.param_groups:
                group["initial_lr"] = group["lr"]


def options_of(optimizer: torch.optim.Optimizer) -> list[dict]:
    """Options of an optimizer but its rate, for each group of parameters. What else a group holds is state."""
    known = signature(type(optimizer)).parameters.keys() - {"params", "lr"}
    return [{key: value for key, value in group.items() if key in known} for group in optimizer.param_groups]


def base_rates(optimizer: torch.optim.Optimizer, scheduler) -> list[float]:
    """Rate of each group that a schedule begins with, or the present one where none was noted."""
    known = [group.get("initial_lr", group["lr"]) for group in optimizer.param_groups]
    return list(getattr(scheduler, "base_lrs", known))


def put_back(optimizer: torch.optim.Optimizer, scheduler, options: list[dict], rates: list[float]) -> None:
    """Let an optimizer and its schedule, which come from a checkpoint, go on with other options and rates.

    Args:
        scheduler: None for a rate that is constant.
        options: see `options_of`; rates: see `base_rates`, which the schedule's present factor then applies to.
    """
    cycled = {"betas", "momentum"} if getattr(scheduler, "cycle_momentum", False) else set()  # the schedule sets them
    for group, own in zip(optimizer.param_groups, options):
        group.update({key: value for key, value in own.items() if key not in cycled})
    if scheduler is not None and "max_lr" in signature(type(scheduler)).parameters:
        return  # the optimizer's rate plays no part
    for group, old, new in zip(optimizer.param_groups, base_rates(optimizer, scheduler), rates):
        if scheduler is None:
            group["lr"] = new
        elif old != new and (hasattr(scheduler, "base_lrs") or "initial_lr" in group):
            group["lr"] *= new / old
        if "initial_lr" in group:
            group["initial_lr"] = new
    if hasattr(scheduler, "base_lrs"):
        scheduler.load_state_dict(scheduler.state_dict() | {"base_lrs": rates})
