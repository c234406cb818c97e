"""Extraction's one rule: an active slice is the first part of a tensor in every dimension."""

import torch


def leading(value: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """Copy of the first ``shape`` entries of a tensor in each dimension."""
    return value[tuple(slice(n) for n in shape)].clone()
