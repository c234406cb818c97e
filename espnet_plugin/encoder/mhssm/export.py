"""The encoder as a device runs it: normalisation folded in, state space model over chunks.

Shapes: B batch, S input frames (10 ms), T encoder frames (40 ms), F features, D model dimension.
"""

import copy
from typing import cast

import torch

from espnet_plugin.encoder.interface import ExportParts
from espnet_plugin.encoder.mhssm.chunks import Carried, ChunkedSSM, fill_chunks
from espnet_plugin.encoder.mhssm.encoder import MHSSMEncoder, TimeReduction

OFFLINE_CHUNK = 16  # encoder frames of a chunk: fewer cost time, more cost memory
STREAM_CHUNK = 8  # encoder frames of a call on a stream


class ProductConv(torch.nn.Module):
    """A convolution without padding as a matrix product over the kernel's window, which int8 quantisation reaches.

    Args:
        conv: Conv1d, stride 2.
        mean, std: (F,) normalisation of its input, to be folded in.
    """

    def __init__(self, conv: torch.nn.Conv1d, mean: torch.Tensor | None = None, std: torch.Tensor | None = None):
        super().__init__()
        (self.kernel,), (self.stride,) = conv.kernel_size, conv.stride
        assert conv.bias is not None
        weight, bias = conv.weight.detach().double(), conv.bias.detach().double()  # (D, F, kernel), (D,)
        if mean is not None:
            assert std is not None
            weight = weight / std.double().unsqueeze(-1)
            bias = bias - (weight * mean.double().unsqueeze(-1)).sum((1, 2))
        self.linear = torch.nn.Linear(self.kernel * conv.in_channels, conv.out_channels)
        self.linear.weight.data = weight.flatten(1).float()  # channels first: a smaller size's are the leading ones
        self.linear.bias.data = bias.float()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Args: x (B, F, S). Returns: (B, D, (S - kernel) // stride + 1)."""
        x = x.transpose(1, 2)
        frames = (x.shape[1] - self.kernel) // self.stride + 1
        window = [x[:, i : i + self.stride * frames : self.stride][:, :frames] for i in range(self.kernel)]
        return self.linear(torch.stack(window, dim=-1).flatten(-2)).transpose(1, 2)


@torch.jit.script_if_tracing
def lengthen(x: torch.Tensor, least: int) -> torch.Tensor:
    """Append zeros to x (B, S, F) up to `least` frames, so that an utterance of a few frames is an empty one, not an error."""
    missing = max(least - x.shape[1], 0)
    return torch.cat([x, torch.zeros([x.shape[0], missing, x.shape[2]], dtype=x.dtype)], dim=1)


class OfflineEncoder(torch.nn.Module):
    """Whole utterances. Args: encoder: see `MHSSMExport.chunked`."""

    def __init__(self, encoder: MHSSMEncoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, x: torch.Tensor, x_lens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Args: x (B, S, F) log-mel, x_lens (B,) frames. Returns: (B, T, D), (B,) encoder frames."""
        x = self.encoder.time_reduction(lengthen(x, TimeReduction.receptive_field))
        lengths, frames = TimeReduction.reduced(x_lens), x.shape[1]
        x = fill_chunks(x, OFFLINE_CHUNK)
        mask = (torch.arange(x.shape[1]) < lengths.unsqueeze(1)).unsqueeze(-1).to(x.dtype)
        for layer in self.encoder.layers:
            x = layer(x, mask, None)
        return self.encoder.norm_out(x)[:, :frames], lengths


class StreamingEncoder(torch.nn.Module):
    """The next frames of a stream; the states of all layers lie side by side in one. Args: encoder: see `MHSSMExport.chunked`."""

    def __init__(self, encoder: MHSSMEncoder):
        super().__init__()
        self.encoder = encoder
        self.state_sizes = [cast(ChunkedSSM, layer.mixer.ssm).state_size for layer in encoder.layers]

    @property
    def state_size(self) -> int:
        return sum(self.state_sizes)

    def forward(self, x: torch.Tensor, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Args: x (B, 35, F), state (B, n). Returns: (B, 8, D), next state."""
        x = self.encoder.time_reduction(x)
        carried = tuple(map(Carried, state.split(self.state_sizes, dim=-1)))
        for layer, memory in zip(self.encoder.layers, carried):
            x = layer(x, torch.ones(1, 1, 1), memory)
        return self.encoder.norm_out(x), torch.cat([memory.packed for memory in carried], dim=-1)


class Ends(torch.nn.Module):
    """What an encoder does before and behind its layers. Args: encoder: see `MHSSMExport.chunked`."""

    def __init__(self, encoder: MHSSMEncoder, streaming: bool):
        super().__init__()
        self.encoder, self.on_stream = encoder, streaming

    def forward(self, x: torch.Tensor, x_lens: torch.Tensor | None = None) -> torch.Tensor:
        """Args: x (B, S, F), x_lens (B,) for whole utterances. Returns: (B, T, D)."""
        if self.on_stream:
            return self.encoder.norm_out(self.encoder.time_reduction(x))
        x = self.encoder.time_reduction(lengthen(x, TimeReduction.receptive_field))
        mask = torch.arange(x.shape[1]) < TimeReduction.reduced(x_lens).unsqueeze(1)
        return self.encoder.norm_out(x) * mask.unsqueeze(-1).to(x.dtype)


class MHSSMExport(ExportParts):
    """Parts of an `MHSSMEncoder` for a device.

    Args:
        encoder: one size.
        mean, std: (F,) normalisation of its features; None for none.
    """

    stream_shift = TimeReduction.stride * STREAM_CHUNK
    stream_frames = stream_shift - TimeReduction.stride + TimeReduction.receptive_field

    def __init__(self, encoder: MHSSMEncoder, mean: torch.Tensor | None, std: torch.Tensor | None):
        self.encoder, self.mean, self.std = encoder, mean, std

    def chunked(self, chunk: int) -> MHSSMEncoder:
        """Copy of the encoder with `ChunkedSSM` layers, its time reduction taking features that are not normalised."""
        encoder = copy.deepcopy(self.encoder).eval().requires_grad_(False)
        for layer in encoder.layers:
            layer.mixer.add_module("ssm", ChunkedSSM(layer.mixer.ssm, chunk))
        reduction = encoder.time_reduction
        reduction.add_module("conv1", ProductConv(reduction.conv1, self.mean, self.std))
        reduction.add_module("conv2", ProductConv(reduction.conv2))
        return encoder

    def offline(self) -> OfflineEncoder:
        return OfflineEncoder(self.chunked(OFFLINE_CHUNK))

    def streaming(self) -> StreamingEncoder:
        self.encoder.on_stream()  # refuses a bidirectional one
        return StreamingEncoder(self.chunked(STREAM_CHUNK))

    def ends(self, streaming: bool) -> Ends:
        return Ends(self.chunked(OFFLINE_CHUNK), streaming)
