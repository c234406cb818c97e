"""One net's graph at a time: what the nets of a step share is cut off from its graph, each net goes backward alone, its gradients at the
cut add up, and one last backward carries their sum through the shared part. The gradients are those of the summed loss.

Needs torch alone, so that any training loop can use it.
"""

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

Context = Callable[[], AbstractContextManager]


def cut(tree) -> tuple[Any, list[tuple[torch.Tensor, torch.Tensor]]]:
    """Cut a value (dataclasses, tuples, lists, dictionaries of tensors) off from its graph.

    Returns:
        the same value with new leaves in place of the tensors that need a gradient, and the pairs (tensor, its leaf).
    """
    pairs = []

    def visit(node):
        if isinstance(node, torch.Tensor):
            if not node.requires_grad:
                return node
            pairs.append((node, node.detach().requires_grad_()))
            return pairs[-1][1]
        if dataclasses.is_dataclass(node):
            return dataclasses.replace(node, **{f.name: visit(getattr(node, f.name)) for f in dataclasses.fields(node)})
        if isinstance(node, dict):
            return {key: visit(value) for key, value in node.items()}
        if isinstance(node, list | tuple):
            return type(node)(visit(value) for value in node)
        return node

    return visit(tree), pairs


def backward_through(pairs: list[tuple[torch.Tensor, torch.Tensor]]) -> None:
    """Carry the gradients that gathered at the leaves of `cut` into the graph before the cut."""
    reached = [(tensor, leaf.grad) for tensor, leaf in pairs if leaf.grad is not None]
    if reached:
        tensors, gradients = zip(*reached)
        torch.autograd.backward(tensors, gradients)


def each_inside(context: Context, iterator: Iterator) -> Iterator:
    """Items of an iterator that works inside a context, while their consumer stays outside of it."""
    while True:
        with context():
            try:
                item = next(iterator)
            except StopIteration:
                return
        yield item


def one_by_one(
    share: Callable[[], Any],
    nets: Callable[[Any], Iterator],
    scale: float | torch.Tensor = 1.0,
    context: Context = nullcontext,
    before_last: Callable[..., None] | None = None,
) -> list:
    """Add the gradients of a step's nets to those of the parameters.

    Args:
        share: computes what the nets share.
        nets: of what they share, cut off from its graph, makes the nets one after the other: dataclasses whose ``loss`` (a scalar) goes
            backward before the next net is asked for.
        scale: factor of each loss.
        context: in which forward passes run, such as autocast.
        before_last: called when the last two backward passes are about to begin, with the tensors that each starts from, in two lists. The
            last net must have a true ``last`` for that.

    Returns:
        the nets, whose losses are detached.
    """
    with context():
        shared = share()
    shared, pairs = cut(shared)
    done = []
    for net in each_inside(context, nets(shared)):
        if before_last is not None and net.last:
            before_last([net.loss], [tensor for tensor, _ in pairs])
        (scale * net.loss).backward()
        done.append(dataclasses.replace(net, loss=net.loss.detach()))
        del net
    backward_through(pairs)
    return done
