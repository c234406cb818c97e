"""The parts of an MH-SSM layer that run at a chosen size; each has the weights of its plain counterpart."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from espnet_plugin.encoder.mhssm.encoder import MHSSM, FeedForward, MHSSMLayer, TimeReduction
from espnet_plugin.encoder.mhssm.ssm import MultiHeadSSM, Spectrum, convolution_kernel, convolve, zero_order_hold
from espnet_plugin.supernet.layers import AdaptiveDropout, ElasticConv1d, ElasticLayerNorm, ElasticLinear
from espnet_plugin.supernet.slices import first


class ElasticTimeReduction(TimeReduction):
    """Time reduction to a chosen model dimension.

    The channels between the two convolutions are the same at every width, so a narrower output is the first channels of the full one.
    """

    conv_class = ElasticConv1d

    def forward(self, x: torch.Tensor, width: int | None = None) -> torch.Tensor:
        """Args: x (B, S, F), width: output channels, None for all. Returns: (B, T, width)."""
        x = F.silu(self.conv1(x.transpose(1, 2)))
        return F.silu(self.conv2(x, width)).transpose(1, 2)


class ElasticSSM(MultiHeadSSM):
    """State space heads of which the first ones can be used alone, in one direction or two."""

    def discretise(self, heads: int | None = None, directions: int | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Of the first `directions` and `heads` (None: all), see `zero_order_hold`."""
        parameters = (*self.dynamics.parameters(), self.readout.output)
        return zero_order_hold(*(p[:directions, :heads] for p in parameters))

    def kernel(self, length: int, heads: int | None = None, directions: int | None = None) -> torch.Tensor:
        """Convolution kernels of `length` frames of the first `directions` and `heads`: (directions, E, length)."""
        return convolution_kernel(*self.discretise(heads, directions), length)

    def spectrum(self, length: int, heads: int | None = None, directions: Sequence[int] | None = None) -> Spectrum:
        """Transform of the kernels.

        Args:
            length: frames of the longest input.
            heads: the first ones, None for all.
            directions: ways of running, ascending numbers of directions; None for that with all.
        """
        directions = directions or [self.num_directions]
        with torch.autocast(self.readout.skip.device.type, enabled=False):
            kernel = self.kernel(length, heads, directions[-1])
            return Spectrum.of(kernel, directions, self.readout.skip[: kernel.shape[1]])

    def forward(self, u: torch.Tensor, spectrum: Spectrum, way: int = -1) -> torch.Tensor:
        """Convolve with the heads that hold the channels of `u`.

        Args:
            u: (B, T, E), zero beyond an utterance's end.
            spectrum: of these heads or more.
            way: which of the ways of running in `spectrum`.
        """
        return convolve(u, first(spectrum.values[way], u.shape[-1]), spectrum.fft_length)


def spectra(ssms: Sequence[ElasticSSM], length: int, directions: Sequence[int]) -> list[Spectrum]:
    """Of all heads of several layers, as `ElasticSSM.spectrum` gives them one by one.

    On a device that is not a CPU, layers of one size are computed together: each operation is small, and starting it takes longest.
    """
    device = ssms[0].readout.skip.device.type
    if device == "cpu" or len({ssm.readout.output.shape for ssm in ssms}) > 1:
        return [ssm.spectrum(length, None, directions) for ssm in ssms]
    with torch.autocast(device, enabled=False):
        dynamics = [torch.stack(same) for same in zip(*(ssm.dynamics.parameters() for ssm in ssms))]
        output, skip = (torch.stack(same) for same in zip(*((ssm.readout.output, ssm.readout.skip) for ssm in ssms)))
        parameters = (first(p, None, directions[-1]) for p in (*dynamics, output))
        return Spectrum.of(convolution_kernel(*zero_order_hold(*parameters), length), directions, skip).split()


class ElasticMHSSM(MHSSM):
    """State space mixing with the first heads, at the model dimension of its input."""

    linear_class, ssm_class = ElasticLinear, ElasticSSM
    if TYPE_CHECKING:  # narrower than in the base class; torch.jit would read it at run time
        ssm: ElasticSSM

    def forward(
        self, x: torch.Tensor, mask: torch.Tensor, spectrum: Spectrum, heads: int | None = None, way: int = -1
    ) -> torch.Tensor:
        """Args: x (B, T, d), mask (B, T, 1), spectrum and way of `ElasticSSM`, heads: None for all. Returns: (B, T, d)."""
        channels = None if heads is None else heads * self.head_dim
        u = self.linear_in(x, out_features=channels) * mask
        y = F.silu(self.ssm(u, spectrum, way))
        return self.linear_out(self.gate(y), out_features=x.shape[-1])


class ElasticFeedForward(FeedForward):
    """Feed-forward network that uses the first channels of its inner layer, at the model dimension of its input."""

    linear_class = ElasticLinear
    if TYPE_CHECKING:  # narrower than in the base class; torch.jit would read it at run time
        dropout: AdaptiveDropout

    def forward(self, x: torch.Tensor, width: int | None = None) -> torch.Tensor:
        """Args: x (B, T, d), width: active inner channels, None for all. Returns: (B, T, d)."""
        hidden = self.dropout(F.silu(self.linear_in(x, out_features=width)))
        return self.linear_out(hidden, out_features=x.shape[-1])


class ElasticMHSSMLayer(MHSSMLayer):
    """A layer at the model dimension of its input, whose feed-forward width, heads and direction are arguments."""

    norm_class, mixer_class, feed_forward_class = ElasticLayerNorm, ElasticMHSSM, ElasticFeedForward
    if TYPE_CHECKING:  # narrower than in the base class; torch.jit would read it at run time
        mixer: ElasticMHSSM
        feed_forward: ElasticFeedForward
        dropout: AdaptiveDropout

    def __init__(self, d_model: int, ffn_dim: int, dropout: float, **mixer):
        super().__init__(d_model, ffn_dim, dropout, **mixer)
        self.dropout = AdaptiveDropout(dropout, d_model)
        self.feed_forward.dropout = AdaptiveDropout(dropout, ffn_dim)

    def adapt_dropout(self, adaptive: bool) -> None:
        """Whether dropout follows the active width."""
        self.dropout.adaptive = self.feed_forward.dropout.adaptive = adaptive

    def forward(
        self,
        x: torch.Tensor,
        mask: torch.Tensor,
        spectrum: Spectrum,
        width: int | None = None,
        heads: int | None = None,
        way: int = -1,
    ) -> torch.Tensor:
        """Args: x (B, T, d), mask (B, T, 1), the others as in `ElasticMHSSM` and `ElasticFeedForward`. Returns: (B, T, d)."""
        x = x + self.dropout(self.mixer(self.norm_mixer(x), mask, spectrum, heads, way))
        return x + self.dropout(self.feed_forward(self.norm_ffn(x), width))
