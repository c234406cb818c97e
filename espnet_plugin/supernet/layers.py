"""Layers that run at a chosen width: the active width is an argument, weights are sliced without a copy."""

import torch
import torch.nn.functional as F


class ElasticLinear(torch.nn.Linear):
    """A linear layer of which the first input and output channels can be used alone."""

    def forward(self, x: torch.Tensor, in_features: int | None = None, out_features: int | None = None) -> torch.Tensor:
        """Apply the slice.

        Args:
            x: (..., in_features).
            in_features, out_features: active widths (channels); None stands for all.

        Returns:
            (..., out_features).
        """
        bias = None if self.bias is None else self.bias[:out_features]
        return F.linear(x, self.weight[:out_features, :in_features], bias)


class AdaptiveDropout(torch.nn.Module):
    """Dropout that shrinks with the active width, p(c) = p_max c / c_max.

    TODM (arXiv 2309.01947) names adaptive dropout without a formula that we could read; proportionality is our choice.  A narrow slice has
    less capacity to over-fit, and a full-strength dropout would take too much of it away.

    Args:
        p: dropout probability at full width.
        full_width: channels of the max net.
        adaptive: False uses ``p`` at every width.
    """

    def __init__(self, p: float, full_width: int, adaptive: bool = True):
        super().__init__()
        self.p = p
        self.full_width = full_width
        self.adaptive = adaptive

    def probability(self, width: int) -> float:
        return self.p * width / self.full_width if self.adaptive else self.p

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Args: x (..., C) with the C active channels. Returns: the same shape."""
        return F.dropout(x, self.probability(x.shape[-1]), self.training)

    def extra_repr(self) -> str:
        return f"p={self.p}, full_width={self.full_width}, adaptive={self.adaptive}"
