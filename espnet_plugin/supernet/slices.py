"""The one rule of active slices: they are the first part of a tensor in every dimension."""

import torch


def leading(value: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """Copy of the first ``shape`` entries of a tensor in each dimension."""
    return value[tuple(slice(n) for n in shape)].clone()


def first(value: torch.Tensor, *sizes: int | None) -> torch.Tensor:
    """View of the first entries of a tensor in its first dimensions; the tensor itself where that is all, for which autograd does nothing.

    Args:
        sizes: of the first dimensions, None for all.
    """
    for dim, size in enumerate(sizes):
        if size is not None and size < value.shape[dim]:
            value = value.narrow(dim, 0, size)
    return value
