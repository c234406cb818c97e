"""The parts of a transducer as the device runs them: the encoder's own parts with the joiner's projection, prediction network, joiner.

Shapes: B batch, S input frames (10 ms), T encoder frames (40 ms), F features, J width of the joiner, V vocabulary.
"""

from typing import cast

import torch

from espnet_plugin.asr.training.model import TODMModel
from espnet_plugin.encoder.interface import ExportParts


def normalisation(model: TODMModel) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """Mean and standard deviation (F,) by which a model normalises its features, None and None where it does not."""
    mvn = model.normalize
    if mvn is None:
        return None, None
    mean = mvn.mean if mvn.norm_means else torch.zeros_like(mvn.mean)
    return mean, mvn.std if mvn.norm_vars else torch.ones_like(mvn.std)


def encoder_parts(model: TODMModel) -> ExportParts:
    """The encoder's parts, with the normalisation of the features in them.

    Raises:
        UserError: the encoder cannot be exported.
    """
    return model.encoder.export_parts(*normalisation(model))


def joint_width(model: TODMModel) -> int:
    """J. The joiner of a model that is exported projects by linear layers."""
    return cast(torch.nn.Linear, model.joint_network.lin_enc).out_features


class OfflineEncoder(torch.nn.Module):
    """Features of whole utterances to what the joiner adds up."""

    def __init__(self, model: TODMModel):
        super().__init__()
        self.encoder, self.project = encoder_parts(model).offline(), model.joint_network.lin_enc

    def forward(self, x: torch.Tensor, x_lens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Args: x (B, S, F) log-mel, x_lens (B,) frames. Returns: (B, T, J), (B,) encoder frames."""
        out, lengths = self.encoder(x, x_lens)
        return self.project(out), lengths


class StreamingEncoder(torch.nn.Module):
    """The next frames of a stream to what the joiner adds up.

    The client keeps two states, as for an LSTM, and looks into neither: the encoder's is the second, the first is not used.
    """

    def __init__(self, model: TODMModel):
        super().__init__()
        self.encoder, self.project = encoder_parts(model).streaming(), model.joint_network.lin_enc

    @property
    def state_size(self) -> int:
        return self.encoder.state_size  # type: ignore[return-value]  # to PyTorch's annotations a tensor or module

    def forward(self, x: torch.Tensor, h: torch.Tensor, c: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Args: x (B, S, F) of `ExportParts.stream_frames`, h (1, B, 1), c (1, B, n). Returns: (B, T, J), next h, next c."""
        out, state = self.encoder(x, c[0])
        return self.project(out), h * 1, state.unsqueeze(0)


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
