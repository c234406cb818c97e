"""What data-parallel workers tell each other in a step; nothing is sent where there is one worker.

Numbers go from host to host, so that no device is waited for; gradients go between devices, while the backward pass still runs.
"""

import math
from functools import cache
from typing import cast

import torch
import torch.distributed as dist

BUCKET_MB = 25  # 10^6 bytes of gradients that are sent together


def world_size() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


@cache
def hosts() -> dist.ProcessGroup:
    """All workers, connected from host to host. The first call is a message in itself, which all workers have to make."""
    group = dist.group.WORLD if dist.get_backend() == "gloo" else dist.new_group(backend="gloo")
    return cast(dist.ProcessGroup, group)


def everyones(value) -> list:
    """A picklable value of each worker, in their order."""
    if world_size() == 1:
        return [value]
    values = [None] * world_size()
    dist.all_gather_object(values, value, group=hosts())
    return values


def sums(values: list[float]) -> list[float]:
    """Sum of each number over all workers, in one message."""
    if world_size() == 1:
        return values
    tensor = torch.tensor(values, dtype=torch.float64)
    dist.all_reduce(tensor, group=hosts())
    return tensor.tolist()


def means(stats: dict[str, float], weight: float, names: tuple[str, ...]) -> dict[str, float]:
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
        message += [
            weight * value if value is not None and finite else 0.0,
            weight if finite else 0.0,
            float(value is not None),
        ]
    total = iter(sums(message))
    triples = zip(names, total, total, total)
    return {name: value / count if count else math.nan for name, value, count, known in triples if known}


def leaves(tensors: list[torch.Tensor]) -> set[torch.Tensor]:
    """Parameters that a backward pass from these tensors reaches."""
    nodes = [x.grad_fn for x in tensors if x.grad_fn is not None]
    seen, found = set(nodes), set()
    for node in nodes:
        if hasattr(node, "variable"):
            found.add(node.variable)
        for following, _ in node.next_functions:
            if following is not None and following not in seen:
                seen.add(following)
                nodes.append(following)
    return found


class Reduction:
    """Adds up gradients over all workers, bucket by bucket; a bucket is sent as soon as its gradients are complete.

    Buckets are formed and sent in one order on all workers, the last parameters first, since a backward pass reaches them first. Each
    number is a sum over workers whatever the buckets are. A parameter without a gradient counts as zero where another worker has one, and
    keeps none where no worker has.

    Args:
        parameters: of the model.
        bucket_mb: 10^6 bytes of a bucket, a parameter at least.
    """

    def __init__(self, parameters: list[torch.nn.Parameter], bucket_mb: float = BUCKET_MB):
        self.parameters = [p for p in parameters if p.requires_grad]
        self.buckets: list[list[torch.nn.Parameter]] = []
        self.bucket_of: dict[torch.nn.Parameter, int] = {}
        size = math.inf
        for p in reversed(self.parameters):
            size += 1e-6 * p.numel() * p.element_size()
            if size > bucket_mb or p.dtype != self.buckets[-1][-1].dtype:
                self.buckets.append([])
                size = 1e-6 * p.numel() * p.element_size()
            self.buckets[-1].append(p)
            self.bucket_of[p] = len(self.buckets) - 1
        self.expected: dict[
            torch.nn.Parameter, int
        ] = {}  # gradients that are still to come, of the backward passes that were announced
        self.open: list[int] = []  # parameters of each bucket for which one is
        self.sent: list[tuple[torch.Tensor, dist.Work]] = []
        self.announced = self.listens = False

    def announce(self, *passes: list[torch.Tensor]) -> None:
        """Tell the last backward passes of an update before they begin. Args: passes: tensors that each of them starts from."""
        if world_size() == 1:
            return
        if not self.listens:
            self.listens = True
            for p in self.parameters:
                p.register_post_accumulate_grad_hook(self._arrived)
        self.expected = {}
        for tensors in passes:
            for p in cast(set[torch.nn.Parameter], leaves(tensors) & self.bucket_of.keys()):
                self.expected[p] = self.expected.get(p, 0) + 1
        self.open = [sum(p in self.expected for p in bucket) for bucket in self.buckets]
        self.announced = True
        self._send_complete()

    def _arrived(self, p: torch.nn.Parameter) -> None:
        if not self.announced or p not in self.expected:
            return
        self.expected[p] -= 1
        if self.expected[p] == 0:
            self.open[self.bucket_of[p]] -= 1
            self._send_complete()

    def _send_complete(self) -> None:
        while len(self.sent) < len(self.buckets) and self.open[len(self.sent)] == 0:
            self._send()

    def _send(self) -> None:
        bucket = self.buckets[len(self.sent)]
        flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).reshape(-1) for p in bucket])
        self.sent.append((flat, dist.all_reduce(flat, async_op=True)))

    def finish(self) -> None:
        """Send what has not been sent, and put the sums where the gradients are."""
        if world_size() == 1:
            return
        while len(self.sent) < len(self.buckets):  # of a pass that did not reach all it could have
            self._send()
        present = torch.tensor([p.grad is not None for p in self.parameters], dtype=torch.uint8)
        dist.all_reduce(present, op=dist.ReduceOp.MAX, group=hosts())
        reached = {p for p, there in zip(self.parameters, present.tolist()) if there}
        for bucket, (flat, work) in zip(self.buckets, self.sent):
            work.wait()
            pairs = zip(bucket, flat.split([p.numel() for p in bucket]))
            kept = [(p, part.view_as(p)) for p, part in pairs if p in reached]
            for p, _ in kept:
                p.grad = torch.zeros_like(p) if p.grad is None else p.grad
            if kept:
                torch._foreach_copy_([cast(torch.Tensor, p.grad) for p, _ in kept], [part for _, part in kept])
        self.sent, self.announced, self.expected = [], False, {}


def reduce_gradients(parameters: list[torch.nn.Parameter]) -> None:
    """A whole `Reduction` at once, after the backward passes."""
    Reduction(parameters).finish()
