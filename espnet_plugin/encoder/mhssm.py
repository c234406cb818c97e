"""The Multi-Head State Space encoder at one fixed size, made of ordinary layers.

Shapes: B batch, S input frames (10 ms), T encoder frames (40 ms), F input features, D model dimension, E channels of the state space heads.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from espnet2.asr.encoder.abs_encoder import AbsEncoder
from espnet2.legacy.nets.pytorch_backend.transformer.subsampling import TooShortUttError

from espnet_plugin.encoder.ssm import MultiHeadSSM, Spectrum
from espnet_plugin.errors import UserError


class TimeReduction(torch.nn.Module):
    """Two convolutions of 3 frames, stride 2, no padding: time reduction by 4.

    Without padding an output frame needs its own 7 input frames and no other, so batching leaks nothing, and 32 k + 3 input
    frames give exactly 8 k output frames, which lets a stream run in chunks.
    """

    kernel = 3
    receptive_field = 7  # input frames behind one output frame

    def __init__(self, input_size: int, d_model: int):
        super().__init__()
        self.conv1 = torch.nn.Conv1d(input_size, d_model, self.kernel, stride=2)
        self.conv2 = torch.nn.Conv1d(d_model, d_model, self.kernel, stride=2)

    @classmethod
    def reduced(cls, length):
        """Encoder frames of `length` input frames (int or tensor), 0 when there are too few."""
        reduced = ((length - 1) // 2 - 1) // 2
        return reduced.clamp(min=0) if torch.is_tensor(reduced) else max(reduced, 0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Args: x (B, S, F). Returns: (B, T, D)."""
        x = F.silu(self.conv1(x.transpose(1, 2)))
        return F.silu(self.conv2(x)).transpose(1, 2)


class MHSSM(torch.nn.Module):
    """Drop-in for multi-head attention: projection, state space heads, gating between heads, projection.

    The first half of the heads carries values, the second half gates them (sigmoid), so heads act on each other as in MH-SSM
    (arXiv 2305.12498); the pairing and the gate are our choice.

    Args:
        d_model: D.
        num_heads: H, even.
        expand: E / D.
        ssm: further arguments of `MultiHeadSSM`.
    """

    def __init__(self, d_model: int, num_heads: int, expand: int = 2, **ssm):
        super().__init__()
        if num_heads % 2:
            raise UserError(
                f"encoder_conf.num_heads: {num_heads} must be even, since half of the heads gate the other half"
            )
        channels = expand * d_model
        self.linear_in = torch.nn.Linear(d_model, channels)
        self.ssm = MultiHeadSSM(channels, num_heads, **ssm)
        self.linear_out = torch.nn.Linear(channels // 2, d_model)

    def forward(self, x: torch.Tensor, mask: torch.Tensor, spectrum: Spectrum) -> torch.Tensor:
        """Args: x (B, T, D), mask (B, T, 1) with 1 at valid frames, spectrum of `self.ssm`. Returns: (B, T, D)."""
        y = F.silu(self.ssm(self.linear_in(x) * mask, spectrum))
        value, gate = y.chunk(2, dim=-1)
        return self.linear_out(value * torch.sigmoid(gate))


class FeedForward(torch.nn.Module):
    """Linear, SiLU, dropout, linear. Args: d_model D, ffn_dim inner width, dropout."""

    def __init__(self, d_model: int, ffn_dim: int, dropout: float):
        super().__init__()
        self.linear_in = torch.nn.Linear(d_model, ffn_dim)
        self.linear_out = torch.nn.Linear(ffn_dim, d_model)
        self.dropout = torch.nn.Dropout(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Args: x (B, T, D). Returns: the same shape."""
        return self.linear_out(self.dropout(F.silu(self.linear_in(x))))


class MHSSMLayer(torch.nn.Module):
    """Pre-norm layer: state space mixing, then a feed-forward network, each with a residual connection."""

    def __init__(self, d_model: int, feed_forward: torch.nn.Module, dropout: float, **mixer):
        super().__init__()
        self.norm_mixer = torch.nn.LayerNorm(d_model)
        self.mixer = MHSSM(d_model, **mixer)
        self.norm_ffn = torch.nn.LayerNorm(d_model)
        self.feed_forward = feed_forward
        self.dropout = torch.nn.Dropout(dropout)

    def mix(self, x: torch.Tensor, mask: torch.Tensor, spectrum: Spectrum) -> torch.Tensor:
        return x + self.dropout(self.mixer(self.norm_mixer(x), mask, spectrum))

    def forward(self, x: torch.Tensor, mask: torch.Tensor, spectrum: Spectrum) -> torch.Tensor:
        """Args: x (B, T, D), mask (B, T, 1), spectrum of this layer. Returns: (B, T, D)."""
        x = self.mix(x, mask, spectrum)
        return x + self.dropout(self.feed_forward(self.norm_ffn(x)))


@dataclass(frozen=True)
class Stem:
    """What every net of a step shares: computed once a batch.

    Args:
        x: (B, T, D) after time reduction.
        lengths: (B,) valid frames.
        mask: (B, T, 1), 1 at valid frames.
        spectra: transform of the kernel of each layer.
    """

    x: torch.Tensor
    lengths: torch.Tensor
    mask: torch.Tensor
    spectra: tuple[Spectrum, ...]


class MHSSMEncoder(AbsEncoder):
    """Encoder of one size (ESPnet name ``mhssm``); what extraction writes.

    Args:
        input_size: F, features a frame.
        d_model: D, also the output size.
        num_heads, num_modes, expand, bidirectional, dt_min, dt_max, ssm_init: see `MHSSM` and `MultiHeadSSM`.
        ffn_dims: inner feed-forward width of each layer, lowest layer first.
        dropout: of residual branches and of the feed-forward inner layer.
    """

    def __init__(
        self,
        input_size: int,
        d_model: int = 256,
        num_heads: int = 8,
        num_modes: int = 16,
        ffn_dims: list = (1024,) * 6,
        expand: int = 2,
        bidirectional: bool = True,
        dt_min: float = 1e-3,
        dt_max: float = 1e-1,
        ssm_init: str = "lin",
        dropout: float = 0.1,
    ):
        super().__init__()
        mixer = dict(num_heads=num_heads, num_modes=num_modes, expand=expand, bidirectional=bidirectional)
        mixer |= dict(dt_min=dt_min, dt_max=dt_max, init=ssm_init)
        self.d_model = d_model
        self.dropout = dropout
        self.time_reduction = TimeReduction(input_size, d_model)
        self.layers = torch.nn.ModuleList(self.build_layer(width, mixer) for width in ffn_dims)
        self.norm_out = torch.nn.LayerNorm(d_model)

    def build_layer(self, ffn_dim: int, mixer: dict) -> MHSSMLayer:
        return MHSSMLayer(self.d_model, FeedForward(self.d_model, ffn_dim, self.dropout), self.dropout, **mixer)

    def output_size(self) -> int:
        return self.d_model

    def stem(self, xs_pad: torch.Tensor, ilens: torch.Tensor) -> Stem:
        """Time reduction and kernels.

        Args:
            xs_pad: (B, S, F).
            ilens: (B,) input frames.

        Raises:
            TooShortUttError: an utterance has fewer than 7 frames.
        """
        shortest = int(ilens.min())
        if shortest < TimeReduction.receptive_field:
            need = TimeReduction.receptive_field
            raise TooShortUttError(
                f"an utterance has {shortest} frames, time reduction needs at least {need}", shortest, need
            )
        x = self.time_reduction(xs_pad)
        lengths = TimeReduction.reduced(ilens)
        mask = (torch.arange(x.shape[1], device=x.device) < lengths.unsqueeze(1)).unsqueeze(-1).to(x.dtype)
        return Stem(x, lengths, mask, tuple(layer.mixer.ssm.spectrum(x.shape[1]) for layer in self.layers))

    def run(self, stem: Stem) -> torch.Tensor:
        """Layers on a stem. Returns: (B, T, D)."""
        x = stem.x
        for layer, spectrum in zip(self.layers, stem.spectra):
            x = layer(x, stem.mask, spectrum)
        return self.norm_out(x)

    def forward(self, xs_pad: torch.Tensor, ilens: torch.Tensor, prev_states: torch.Tensor | None = None):
        """ESPnet's encoder interface.

        Args:
            xs_pad: (B, S, F).
            ilens: (B,) input frames.
            prev_states: not used.

        Returns:
            (B, T, D), lengths (B,), None.
        """
        stem = self.stem(xs_pad, ilens)
        return self.run(stem), stem.lengths, None
