"""What data-parallel workers tell each other in a step; nothing is sent where there is one worker."""

import math

import torch
import torch.distributed as dist


def world_size() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def everyones(value) -> list:
    """A picklable value of each worker, in their order."""
    if world_size() == 1:
        return [value]
    values = [None] * world_size()
    dist.all_gather_object(values, value)
    return values


def sums(values: list[float], device: torch.device) -> list[float]:
    """Sum of each number over all workers, in one message."""
    if world_size() == 1:
        return values
    tensor = torch.tensor(values, dtype=torch.float64, device=device)
    dist.all_reduce(tensor)
    return tensor.tolist()


def means(stats: dict[str, float], weight: float, names: tuple[str, ...], device: torch.device) -> dict[str, float]:
    """Weighted mean of each statistic over the workers that have it.

    Args:
        stats: of this worker; NaN and absent ones do not count.
        weight: of this worker, utterances.
        names: statistics that any worker may have, in one order everywhere.

    Returns:
        means, NaN where no worker had a finite one, without names that no worker knows.
    """
    if world_size() == 1:
        return stats
    message = []
    for name in names:
        value = stats.get(name)
        finite = value is not None and math.isfinite(value)
        message += [weight * value if finite else 0.0, weight if finite else 0.0, float(value is not None)]
    total = iter(sums(message, device))
    triples = zip(names, total, total, total)
    return {name: value / count if count else math.nan for name, value, count, known in triples if known}


def reduce_gradients(parameters: list[torch.nn.Parameter]) -> None:
    """Add up gradients over all workers, in one message for each type.

    A parameter without a gradient counts as zero where another worker has one, and keeps none where no worker has.
    """
    if world_size() == 1 or not parameters:
        return
    present = torch.tensor([p.grad is not None for p in parameters], dtype=torch.uint8, device=parameters[0].device)
    dist.all_reduce(present, op=dist.ReduceOp.MAX)
    groups: dict[torch.dtype, list[torch.nn.Parameter]] = {}
    for p, reached in zip(parameters, present.tolist()):
        if reached:
            p.grad = torch.zeros_like(p) if p.grad is None else p.grad
            groups.setdefault(p.dtype, []).append(p)
    for group in groups.values():
        flat = torch.cat([p.grad.reshape(-1) for p in group])
        dist.all_reduce(flat)
        for p, part in zip(group, flat.split([p.numel() for p in group])):
            p.grad.copy_(part.view_as(p))
