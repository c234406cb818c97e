"""icefall's prediction network and joiner as the criterion asks for them, at any width.

Shapes: D encoder, P prediction network, J joint space, V vocabulary.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F


class RecipesDecoder(Protocol):
    """The recipe's stateless prediction network; ``conv`` is there for a context of several symbols."""

    embedding: torch.nn.Embedding
    conv: torch.nn.Conv1d
    context_size: int

    def __call__(self, y: torch.Tensor) -> torch.Tensor: ...


class RecipesJoiner(Protocol):
    """The recipe's joiner: tanh between the sum of both projections and ``output_linear``."""

    encoder_proj: torch.nn.Linear
    decoder_proj: torch.nn.Linear
    output_linear: torch.nn.Linear


@dataclass(frozen=True)
class Sliced:
    """The leading part of a linear layer. Args: linear; out: outputs, None for all; it takes as many inputs as come."""

    linear: torch.nn.Linear
    out: int | None = None

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        bias = None if self.linear.bias is None else self.linear.bias[: self.out]
        return F.linear(x, self.linear.weight[: self.out, : x.shape[-1]], bias)


class JoinerOf:
    """An icefall joiner (``encoder_proj``, ``decoder_proj``, ``output_linear``; tanh between) as a `Joiner`.

    Args:
        joiner: of the recipe.
        width: J that is used.
    """

    def __init__(self, joiner: RecipesJoiner, width: int):
        self.lin_enc, self.lin_dec = Sliced(joiner.encoder_proj, width), Sliced(joiner.decoder_proj, width)
        self.lin_out, self.joint_activation = joiner.output_linear, torch.nn.Tanh()

    def __call__(self, enc_out: torch.Tensor, dec_out: torch.Tensor, no_projection: bool = False) -> torch.Tensor:
        if not no_projection:
            enc_out, dec_out = self.lin_enc(enc_out), self.lin_dec(dec_out)
        return Sliced(self.lin_out)(torch.tanh(enc_out + dec_out))


@dataclass(frozen=True)
class PredictionOf:
    """An icefall prediction network at a width.

    The balancers, which look after the gradients of the whole network, are left out below its full width.

    Args:
        decoder: of the recipe, with ``embedding`` and, for a context of several symbols, a grouped ``conv``.
        width: P that is used, a multiple of the channels of a group.
    """

    decoder: RecipesDecoder
    width: int

    def __call__(self, labels: torch.Tensor) -> torch.Tensor:
        """Args: labels (B, U + 1), blank first. Returns: (B, U + 1, P)."""
        embedding, context = self.decoder.embedding, self.decoder.context_size
        if self.width == embedding.embedding_dim:
            return self.decoder(labels)
        embedded = F.embedding(labels, embedding.weight[:, : self.width])
        if context == 1:
            return embedded
        conv = self.decoder.conv
        group = conv.in_channels // conv.groups
        x = F.pad(embedded.transpose(1, 2), (context - 1, 0))
        return F.relu(F.conv1d(x, conv.weight[: self.width], groups=self.width // group)).transpose(1, 2)


@torch.no_grad()
def narrow(decoder: RecipesDecoder, joiner: RecipesJoiner, prediction: int, width: int) -> None:
    """Set to zero what a size does not use, so that the recipe's own decoding, which knows of no widths, is that of the size.

    Args:
        decoder, joiner: of the recipe, changed in place.
        prediction, width: P and J that are used.
    """
    decoder.embedding.weight[:, prediction:] = 0
    if decoder.context_size > 1:
        decoder.conv.weight[prediction:] = 0
    joiner.decoder_proj.weight[:, prediction:] = 0
    joiner.output_linear.weight[:, width:] = 0
