"""The Multi-Head State Space encoder at one fixed size, made of ordinary layers.

Shapes: B batch, S input frames (10 ms), T encoder frames (40 ms), F input features, D model dimension, E channels of the state space heads.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, cast

import torch
import torch.nn.functional as F

from espnet_plugin.common.bounds import WIDTH, Dropout, Positive, Width
from espnet_plugin.encoder import interface
from espnet_plugin.encoder.checks import check_dropout, one_each
from espnet_plugin.encoder.mhssm.ssm import MultiHeadSSM, Spectrum
from espnet_plugin.errors import UserError
from espnet_plugin.supernet.subnet import Subnet


class TimeReduction(torch.nn.Module):
    """Two convolutions of 3 frames, stride 2, no padding: time reduction by 4.

    Without padding an output frame needs its own 7 input frames and no other, so batching leaks nothing, and 32 k + 3 input
    frames give exactly 8 k output frames, which lets a stream run in chunks.

    Args:
        input_size: F.
        d_model: D.
        stem_dim: channels between the two convolutions (default: D).
    """

    kernel = 3
    receptive_field = 7  # input frames behind one output frame
    stride = 4  # input frames from one output frame to the next
    conv_class = torch.nn.Conv1d  # what an elastic subclass replaces; likewise below

    def __init__(self, input_size: int, d_model: int, stem_dim: int | None = None):
        super().__init__()
        stem_dim = stem_dim or d_model
        self.conv1 = torch.nn.Conv1d(input_size, stem_dim, self.kernel, stride=2)
        self.conv2 = self.conv_class(stem_dim, d_model, self.kernel, stride=2)

    @staticmethod
    def reduced(length):
        """Encoder frames of `length` input frames (int or tensor), 0 when there are too few."""
        reduced = ((length - 1) // 2 - 1) // 2
        return reduced.clamp(min=0) if torch.is_tensor(reduced) else max(reduced, 0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Args: x (B, S, F). Returns: (B, T, D)."""
        x = F.silu(self.conv1(x.transpose(1, 2)))
        return F.silu(self.conv2(x)).transpose(1, 2)


class MHSSM(torch.nn.Module):
    """Drop-in for multi-head attention: projection, state space heads, gating between heads, projection.

    Heads come in pairs: the first of a pair carries values, the second gates them (sigmoid), so heads act on each other as in MH-SSM
    (arXiv 2305.12498); the pairing and the gate are our choice.

    Args:
        d_model: D.
        num_heads: H, even.
        head_dim: P, channels of a head; E = H P.
        ssm: further arguments of `MultiHeadSSM`.
    """

    linear_class, ssm_class = torch.nn.Linear, MultiHeadSSM

    def __init__(self, d_model: int, num_heads: int, head_dim: int, **ssm):
        super().__init__()
        if num_heads % 2:
            raise UserError(
                f"encoder_conf.num_heads: {num_heads} must be even, since half of the heads gate the other half"
            )
        channels = num_heads * head_dim
        self.head_dim = head_dim
        self.linear_in = self.linear_class(d_model, channels)
        self.ssm = self.ssm_class(channels, num_heads, **ssm)
        self.linear_out = self.linear_class(channels // 2, d_model)

    def forward(self, x: torch.Tensor, mask: torch.Tensor, spectrum: Spectrum) -> torch.Tensor:
        """Args: x (B, T, D), mask (B, T, 1) with 1 at valid frames, spectrum of `self.ssm`. Returns: (B, T, D)."""
        y = F.silu(self.ssm(self.linear_in(x) * mask, spectrum))
        return self.linear_out(self.gate(y))

    def gate(self, y: torch.Tensor) -> torch.Tensor:
        """Args: y (B, T, E). Returns: (B, T, E / 2), the first head of each pair times the sigmoid of the second."""
        if y.device.type not in ("cpu", "meta"):  # one operation in place of several
            pairs = y.reshape(y.shape[0], y.shape[1], -1, 2 * self.head_dim)
            return F.glu(pairs).flatten(-2)
        # Not by unflatten: of its result a traced graph does not know the rank, and cannot be exported.
        value, gate = y.reshape(y.shape[0], y.shape[1], -1, 2, self.head_dim).unbind(-2)
        return (value * torch.sigmoid(gate)).flatten(-2)


class FeedForward(torch.nn.Module):
    """Linear, SiLU, dropout, linear. Args: d_model D, ffn_dim inner width, dropout."""

    linear_class = torch.nn.Linear

    def __init__(self, d_model: int, ffn_dim: int, dropout: float):
        super().__init__()
        self.linear_in = self.linear_class(d_model, ffn_dim)
        self.linear_out = self.linear_class(ffn_dim, d_model)
        self.dropout: torch.nn.Module = torch.nn.Dropout(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Args: x (B, T, D). Returns: the same shape."""
        return self.linear_out(self.dropout(F.silu(self.linear_in(x))))


class MHSSMLayer(torch.nn.Module):
    """Pre-norm layer: state space mixing, then a feed-forward network, each with a residual connection."""

    norm_class, mixer_class, feed_forward_class = torch.nn.LayerNorm, MHSSM, FeedForward

    def __init__(self, d_model: int, ffn_dim: int, dropout: float, **mixer):
        super().__init__()
        self.norm_mixer = self.norm_class(d_model)
        self.mixer = self.mixer_class(d_model, **mixer)
        self.norm_ffn = self.norm_class(d_model)
        self.feed_forward = self.feed_forward_class(d_model, ffn_dim, dropout)
        self.dropout: torch.nn.Module = torch.nn.Dropout(dropout)

    def forward(self, x: torch.Tensor, mask: torch.Tensor, spectrum: Spectrum) -> torch.Tensor:
        """Args: x (B, T, D), mask (B, T, 1), spectrum of this layer. Returns: (B, T, D)."""
        x = x + self.dropout(self.mixer(self.norm_mixer(x), mask, spectrum))
        return x + self.dropout(self.feed_forward(self.norm_ffn(x)))


def channels_of_head(d_model: int, num_heads: int, expand: int) -> int:
    """P = expand D / H.

    Raises:
        UserError: the heads do not divide the channels.
    """
    channels = expand * d_model
    if channels % num_heads:
        raise UserError(f"encoder_conf.num_heads: {num_heads} must divide the {channels} channels of the layer")
    return channels // num_heads


@dataclass(frozen=True)
class Stem(interface.Stem):
    """What every net of a step shares: computed once a batch.

    Args:
        x: (B, T, D) after time reduction.
        lengths: (B,) valid frames.
        mask: (B, T, 1), 1 at valid frames.
        spectra: transform of the kernel of each layer, the same for all utterances; None for layers that the requested subnet does
            not use.
    """

    x: torch.Tensor
    lengths: torch.Tensor
    mask: torch.Tensor
    spectra: tuple[Spectrum | None, ...]

    def select(self, rows: torch.Tensor | list[int]) -> "Stem":
        return replace(self, x=self.x[rows], lengths=self.lengths[rows], mask=self.mask[rows])


class MHSSMEncoder(interface.Encoder[Stem]):
    """Encoder of one size (ESPnet name ``mhssm``); what extraction writes.

    Args:
        input_size: F, features a frame.
        d_model: D, also the output size.
        num_heads: of all layers, or of each.
        num_modes, bidirectional, dt_min, dt_max, ssm_init: see `MultiHeadSSM`.
        ffn_dims: inner feed-forward width of each layer, lowest layer first.
        expand: channels of the state space heads over D, where head_dim does not give them.
        head_dim: channels of a head (default: expand D / num_heads).
        stem_dim: see `TimeReduction`.
        dropout: of residual branches and of the feed-forward inner layer.

    Raises:
        UserError: a value that is not allowed.
    """

    name, frame_rate, shortest = "mhssm", 25, TimeReduction.receptive_field
    time_reduction_class, layer_class, norm_class = TimeReduction, MHSSMLayer, torch.nn.LayerNorm

    def __init__(
        self,
        input_size: int,
        d_model: Width = 256,
        num_heads: Annotated[int | list, WIDTH] = 8,
        num_modes: Width = 16,
        ffn_dims: Annotated[Sequence, WIDTH] = (1024,) * 6,
        expand: Width = 2,
        head_dim: Annotated[int | None, WIDTH] = None,
        stem_dim: Annotated[int | None, WIDTH] = None,
        bidirectional: bool = True,
        dt_min: Positive = 1e-3,
        dt_max: Positive = 1e-1,
        ssm_init: str = "lin",
        dropout: Dropout = 0.1,
    ):
        super().__init__()
        check_dropout(dropout=dropout)
        if not 0 < dt_min <= dt_max:
            raise UserError(f"encoder_conf.dt_min: {dt_min} must be above 0 and at most dt_max, {dt_max}")
        heads = one_each("num_heads", num_heads, len(ffn_dims), "layers")
        head_dim = head_dim or channels_of_head(d_model, max(heads), expand)
        mixer: dict[str, Any] = dict(num_modes=num_modes, head_dim=head_dim, bidirectional=bidirectional)
        mixer |= dict(dt_min=dt_min, dt_max=dt_max, init=ssm_init)
        self.d_model = d_model
        self.time_reduction = self.time_reduction_class(input_size, d_model, stem_dim)
        layers = torch.nn.ModuleList(
            self.layer_class(d_model, width, dropout, num_heads=count, **mixer) for width, count in zip(ffn_dims, heads)
        )
        self.layers = cast(Sequence[MHSSMLayer], layers)
        self.norm_out = self.norm_class(d_model)

    def output_size(self) -> int:
        return self.d_model

    def frames(self, ilens: torch.Tensor) -> torch.Tensor:
        return TimeReduction.reduced(ilens)

    def stem(self, xs_pad: torch.Tensor, ilens: torch.Tensor, subnet: Subnet | None = None) -> Stem:
        """Time reduction and kernels, see `interface.Encoder.stem`."""
        x, lengths, mask = self.reduce(xs_pad, ilens)
        return Stem(x, lengths, mask, tuple(layer.mixer.ssm.spectrum(x.shape[1]) for layer in self.layers))

    def reduce(self, xs_pad: torch.Tensor, ilens: torch.Tensor, **width):
        """Time reduction (at a width, where it is elastic). Returns: (B, T, D), lengths (B,), mask (B, T, 1)."""
        x = self.time_reduction(xs_pad, **width)
        lengths = TimeReduction.reduced(ilens)
        mask = (torch.arange(x.shape[1], device=x.device) < lengths.unsqueeze(1)).unsqueeze(-1).to(x.dtype)
        return x, lengths, mask

    def run(self, stem: Stem, subnet: Subnet | None = None) -> torch.Tensor:
        """Layers on a stem. Returns: (B, T, D)."""
        x = stem.x
        for layer, spectrum in zip(self.layers, stem.spectra):
            x = layer(x, stem.mask, spectrum)
        return self.norm_out(x)

    def on_stream(self) -> interface.EncoderStream:
        """Raises: `UserError` for a bidirectional encoder."""
        from espnet_plugin.encoder.mhssm.streaming import MHSSMStream

        return MHSSMStream(self)

    def export_parts(self, mean: torch.Tensor | None = None, std: torch.Tensor | None = None) -> interface.ExportParts:
        from espnet_plugin.encoder.mhssm.export import MHSSMExport

        return MHSSMExport(self, mean, std)
