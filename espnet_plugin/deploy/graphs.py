"""The parts of a transducer as the device runs them: normalisation and the joiner's projections folded in, state space model over chunks.

Shapes: B batch, S input frames (10 ms), T encoder frames (40 ms), F features, D model dimension, J width of the joiner, V vocabulary.
"""

import copy

import torch

from espnet_plugin.asr.training.model import TODMModel
from espnet_plugin.deploy.chunks import Carried, ChunkedSSM
from espnet_plugin.encoder.mhssm.encoder import MHSSMEncoder, Stem, TimeReduction

OFFLINE_CHUNK = 32  # encoder frames of a chunk: fewer cost time, more cost memory for tables
STREAM_FRAMES = 35  # input frames the streaming encoder takes, ...
STREAM_SHIFT = 32  # ... and by how many it moves on: 8 encoder frames


class ProductConv(torch.nn.Module):
    """A convolution without padding as a matrix product over the kernel's window, which int8 quantisation reaches.

    Args:
        conv: Conv1d, stride 2.
        mean, std: (F,) normalisation of its input, to be folded in.
    """

    def __init__(self, conv: torch.nn.Conv1d, mean: torch.Tensor | None = None, std: torch.Tensor | None = None):
        super().__init__()
        (self.kernel,), (self.stride,) = conv.kernel_size, conv.stride
        weight, bias = conv.weight.detach().double(), conv.bias.detach().double()  # (D, F, kernel), (D,)
        if mean is not None:
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


def chunked_encoder(model: TODMModel, chunk: int) -> MHSSMEncoder:
    """Copy of a model's encoder with `ChunkedSSM` layers, its time reduction taking features that are not normalised."""
    encoder = copy.deepcopy(model.encoder).eval().requires_grad_(False)
    for layer in encoder.layers:
        layer.mixer.ssm = ChunkedSSM(layer.mixer.ssm, chunk)
    mean = std = None
    if (mvn := model.normalize) is not None:
        mean = mvn.mean if mvn.norm_means else torch.zeros_like(mvn.mean)
        std = mvn.std if mvn.norm_vars else torch.ones_like(mvn.std)
    reduction = encoder.time_reduction
    reduction.conv1, reduction.conv2 = ProductConv(reduction.conv1, mean, std), ProductConv(reduction.conv2)
    return encoder


class OfflineEncoder(torch.nn.Module):
    """Features of whole utterances to what the joiner adds up."""

    def __init__(self, model: TODMModel):
        super().__init__()
        self.encoder = chunked_encoder(model, OFFLINE_CHUNK)
        self.project = model.joint_network.lin_enc

    def forward(self, x: torch.Tensor, x_lens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Args: x (B, S, F) log-mel, x_lens (B,) frames. Returns: (B, T, J), (B,) encoder frames."""
        x = self.encoder.time_reduction(lengthen(x, TimeReduction.receptive_field))
        lengths = TimeReduction.reduced(x_lens)
        mask = (torch.arange(x.shape[1]) < lengths.unsqueeze(1)).unsqueeze(-1).to(x.dtype)
        stem = Stem(x, lengths, mask, (None,) * len(self.encoder.layers))
        return self.project(self.encoder.run(stem)), lengths


class StreamingEncoder(torch.nn.Module):
    """The next `STREAM_FRAMES` frames of a stream to `STREAM_SHIFT` / 4 encoder frames.

    The client keeps two states, as for an LSTM, and looks into neither: the states of all layers lie side by side in the second, the
    first is not used.
    """

    def __init__(self, model: TODMModel):
        super().__init__()
        self.encoder = chunked_encoder(model, STREAM_SHIFT // 4)
        self.project = model.joint_network.lin_enc

    @property
    def state_sizes(self) -> list[int]:
        return [layer.mixer.ssm.state_size for layer in self.encoder.layers]

    def forward(self, x: torch.Tensor, h: torch.Tensor, c: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Args: x (B, 35, F), h (1, B, 1), c (1, B, all states). Returns: (B, 8, J), next h, next c."""
        x = self.encoder.time_reduction(x)
        carried = tuple(map(Carried, c[0].split(self.state_sizes, dim=-1)))
        stem = Stem(x, torch.full((1,), STREAM_SHIFT // 4), torch.ones(1, 1, 1), carried)
        out = self.project(self.encoder.run(stem))
        return out, h * 1, torch.cat([state.packed for state in carried], dim=-1).unsqueeze(0)


class Decoder(torch.nn.Module):
    """Last symbols to what the joiner adds up."""

    def __init__(self, model: TODMModel):
        super().__init__()
        self.decoder, self.project = model.decoder, model.joint_network.lin_dec

    def forward(self, y: torch.Tensor) -> torch.Tensor:
        """Args: y (B, context) symbols, -1 for none. Returns: (B, J)."""
        return self.project(self.decoder.predict(y)[:, 0])


class Joiner(torch.nn.Module):
    """Sum of both to logits."""

    def __init__(self, model: TODMModel):
        super().__init__()
        self.joint_network = model.joint_network

    def forward(self, encoder_out: torch.Tensor, decoder_out: torch.Tensor) -> torch.Tensor:
        """Args: (B, J), (B, J). Returns: (B, V)."""
        return self.joint_network(encoder_out, decoder_out, no_projection=True)
