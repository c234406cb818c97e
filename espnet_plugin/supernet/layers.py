"""Layers that run at a chosen width: the active width is an argument, weights are sliced without a copy.

The active input width is that of the input; a slice always holds the first channels, so that narrower ones are nested in wider ones.
"""

import torch
import torch.nn.functional as F

from espnet_plugin.supernet.slices import first


class ElasticLinear(torch.nn.Linear):
    """A linear layer of which the first input and output channels can be used alone."""

    def forward(self, x: torch.Tensor, in_features: int | None = None, out_features: int | None = None) -> torch.Tensor:
        """Apply the slice.

        Args:
            x: (..., in_features).
            in_features: active input channels; None stands for those that x has.
            out_features: active output channels; None stands for all.

        Returns:
            (..., out_features).
        """
        in_features = x.shape[-1] if in_features is None else in_features
        bias = None if self.bias is None else first(self.bias, out_features)
        return F.linear(x, first(self.weight, out_features, in_features), bias)


class ElasticLayerNorm(torch.nn.LayerNorm):
    """Layer norm over the first channels: statistics are those of the slice, so slicing must come before it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Args: x (..., C) with the C active channels. Returns: the same shape."""
        width = x.shape[-1]
        return F.layer_norm(x, (width,), first(self.weight, width), first(self.bias, width), self.eps)


class ElasticConv1d(torch.nn.Conv1d):
    """A convolution (one group) of which the first output channels can be used alone."""

    def forward(self, x: torch.Tensor, out_channels: int | None = None) -> torch.Tensor:
        """Args: x (B, C, T), out_channels: active ones, None for all. Returns: (B, out_channels, T')."""
        bias = None if self.bias is None else first(self.bias, out_channels)
        return self._conv_forward(x, first(self.weight, out_channels, x.shape[1]), bias)


class ElasticDepthwiseConv1d(torch.nn.Conv1d):
    """A depthwise convolution on the first channels, or one of groups of a few channels.

    Args:
        channels, kernel_size: at full width.
        group: channels of a group, of which widths are multiples.
        kwargs: of torch's Conv1d.
    """

    def __init__(self, channels: int, kernel_size: int, group: int = 1, **kwargs):
        super().__init__(channels, channels, kernel_size, groups=channels // group, **kwargs)
        self.group = group

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Args: x (B, C, T) with the C active channels. Returns: (B, C, T')."""
        width = x.shape[1]
        bias = None if self.bias is None else first(self.bias, width)
        weight, groups = first(self.weight, width), width // self.group
        return F.conv1d(x, weight, bias, self.stride, self.padding, self.dilation, groups)


class SharedBatchNorm1d(torch.nn.BatchNorm1d):
    """Batch norm that several nets of one width share, by running statistics in training as in evaluation.

    A net's own batch statistics would leave running ones that are the mean over all nets, and right for none (the trouble that slimmable
    networks, arXiv 1812.08928, meet with private norms).  Here training moves the statistics too, but a net is always normalised by
    the shared ones, without a gradient through them, so that evaluation and extraction see what was trained (our choice).  The first
    batches count equally, so that one is enough for a start.  A batch whose mean or variance is not finite moves no statistics.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Args: x (B, C, T). Returns: the same shape."""
        running_mean, running_var, batches = self.running_mean, self.running_var, self.num_batches_tracked
        assert running_mean is not None and running_var is not None and batches is not None
        if self.training:
            with torch.no_grad():
                var, mean = torch.var_mean(x.to(running_mean.dtype), dim=(0, 2), correction=0)
                fine = torch.isfinite(mean + var).all()
                batches += fine
                momentum = (1 / batches.clamp(min=1).to(running_mean)).clamp(min=self.momentum)
                running_mean.lerp_(torch.where(fine, mean, running_mean), momentum)
                running_var.lerp_(torch.where(fine, var, running_var), momentum)
        # New tensors for the graph, since the next net may move the statistics before this one goes backward.
        scale = self.weight * torch.rsqrt(running_var + self.eps)
        return (x - running_mean[:, None]) * scale[:, None] + self.bias[:, None]


class ElasticEmbedding(torch.nn.Embedding):
    """An embedding of which the first dimensions can be used alone."""

    def forward(self, ids: torch.Tensor, width: int | None = None) -> torch.Tensor:
        """Args: ids (...), width: active dimensions, None for all. Returns: (..., width)."""
        return F.embedding(ids, first(self.weight, None, width), self.padding_idx)


LEVELS = 2**16  # of a dropout probability on CPU


def dropout(x: torch.Tensor, p: float) -> torch.Tensor:
    """Set numbers to zero with probability p and divide the others by 1 - p.

    On CPU p is rounded to a multiple of 2^-16, and one 64-bit random number decides about four: several times faster than torch's.

    Args:
        x: any shape.
        p: 0 to 1.
    """
    dropped = round(p * LEVELS)
    if dropped == 0:
        return x
    if x.device.type != "cpu" or dropped == LEVELS:
        return F.dropout(x, p)
    lowest = torch.iinfo(torch.int64).min
    draws = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(lowest, None)
    kept = draws.view(torch.int16)[: x.numel()].view(x.shape) >= dropped - LEVELS // 2
    return x * kept.to(x.dtype).mul_(LEVELS / (LEVELS - dropped))


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
        return dropout(x, self.probability(x.shape[-1])) if self.training else x

    def extra_repr(self) -> str:
        return f"p={self.p}, full_width={self.full_width}, adaptive={self.adaptive}"
