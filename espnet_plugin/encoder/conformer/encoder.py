"""ESPnet's Conformer with blocks of different sizes: its own layers and its own forward pass.

Shapes: B batch, S input frames (10 ms), T encoder frames (40 ms), F input features, D model dimension, C = heads x head_dim channels.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import torch
from espnet2.asr.encoder.conformer_encoder import ConformerEncoder
from espnet2.legacy.nets.pytorch_backend.conformer.convolution import ConvolutionModule
from espnet2.legacy.nets.pytorch_backend.conformer.encoder_layer import EncoderLayer
from espnet2.legacy.nets.pytorch_backend.nets_utils import get_activation, make_pad_mask
from espnet2.legacy.nets.pytorch_backend.transformer.attention import RelPositionMultiHeadedAttention
from espnet2.legacy.nets.pytorch_backend.transformer.positionwise_feed_forward import PositionwiseFeedForward
from espnet2.legacy.nets.pytorch_backend.transformer.repeat import repeat

from espnet_plugin.common.bounds import WIDTH, Bounds, Dropout, Layers, Width
from espnet_plugin.encoder import interface
from espnet_plugin.encoder.checks import check_dropout, one_each
from espnet_plugin.errors import UserError
from espnet_plugin.supernet.subnet import Subnet


@dataclass(frozen=True)
class ConformerStem(interface.Stem):
    """What every net of a step shares: computed once a batch.

    Args:
        x: (B, T, D) after time reduction.
        lengths: (B,) valid frames.
        mask: (B, 1, T), true at valid frames.
        positions: (1, 2 T - 1, D), the relative positions, the same for all utterances.
    """

    x: torch.Tensor
    lengths: torch.Tensor
    mask: torch.Tensor
    positions: torch.Tensor

    def select(self, rows: torch.Tensor | list[int]) -> "ConformerStem":
        return replace(self, x=self.x[rows], lengths=self.lengths[rows], mask=self.mask[rows])


def head_size(output_size: int, attention_heads: int) -> int:
    """Channels of a head, D / heads, as ESPnet has it.

    Raises:
        UserError: the heads do not divide the channels.
    """
    if output_size % attention_heads:
        raise UserError(f"encoder_conf.attention_heads: {attention_heads} must divide output_size, {output_size}")
    return output_size // attention_heads


def attention(d_model: int, heads: int, head_dim: int, dropout: float, linear=torch.nn.Linear):
    """ESPnet's attention with relative positions whose heads need not fill the model dimension.

    Args:
        linear: class of its linear layers.
    """
    channels = heads * head_dim
    layer = RelPositionMultiHeadedAttention(heads, channels, dropout)
    layer.linear_q, layer.linear_k, layer.linear_v = (linear(d_model, channels) for _ in range(3))
    layer.linear_pos, layer.linear_out = linear(d_model, channels, bias=False), linear(channels, d_model)
    return layer


class SizedConformerEncoder(ConformerEncoder, interface.Encoder[ConformerStem]):
    """Encoder of one size (ESPnet name ``conformer_sized``); what extraction writes.

    ESPnet's ConformerEncoder has one width for all blocks; here each has its own, and this constructor is all that differs. Fixed are
    what ESPnet's recipes use: ``input_layer: conv2d``, ``rel_pos_type: latest``, macaron style, convolution modules and norms before.

    Args:
        input_size: F, features a frame.
        output_size: D.
        attention_heads: of all blocks, or of each.
        linear_units: inner width of both feed-forward networks of all blocks, or of each block's.
        num_blocks: blocks.
        head_dim: channels of a head (default: D / the largest number of heads).
        others: as in ConformerEncoder.

    Raises:
        UserError: a value that is not allowed.
    """

    name, frame_rate, shortest = (
        "conformer_sized",
        25,
        7,
    )  # ESPnet's Conv2dSubsampling: 7 input frames behind an encoder frame
    if TYPE_CHECKING:  # what ConformerEncoder makes, which has no annotations
        embed: torch.nn.Module
        after_norm: torch.nn.Module

    def __init__(
        self,
        input_size: int,
        output_size: Width = 256,
        attention_heads: Annotated[int | list, WIDTH] = 4,
        linear_units: Annotated[int | list, WIDTH] = 2048,
        num_blocks: Layers = 6,
        head_dim: Annotated[int | None, WIDTH] = None,
        dropout_rate: Dropout = 0.1,
        positional_dropout_rate: Dropout = 0.1,
        attention_dropout_rate: Dropout = 0.0,
        activation_type: str = "swish",
        cnn_module_kernel: Width = 31,
        max_pos_emb_len: Annotated[int, Bounds(1, 10_000_000, why="frames of a day")] = 5000,
    ):
        check_dropout(
            dropout_rate=dropout_rate,
            positional_dropout_rate=positional_dropout_rate,
            attention_dropout_rate=attention_dropout_rate,
        )
        heads = one_each("attention_heads", attention_heads, num_blocks, "blocks")
        units = one_each("linear_units", linear_units, num_blocks, "blocks")
        if cnn_module_kernel % 2 == 0:
            raise UserError(f"encoder_conf.cnn_module_kernel: {cnn_module_kernel} must be odd")
        head_dim = head_dim or head_size(output_size, max(heads))
        whole: dict[str, Any] = dict(rel_pos_type="latest", macaron_style=True, max_pos_emb_len=max_pos_emb_len)
        whole |= dict(dropout_rate=dropout_rate, positional_dropout_rate=positional_dropout_rate)
        super().__init__(input_size, output_size, attention_heads=1, linear_units=1, num_blocks=1, **whole)
        self.encoders = repeat(
            num_blocks,
            lambda i: self.block(
                output_size,
                dict(heads=heads[i], head_dim=head_dim, dropout=attention_dropout_rate),
                (output_size, units[i], dropout_rate, get_activation(activation_type)),
                (output_size, cnn_module_kernel, get_activation(activation_type)),
                dropout_rate,
            ),
        )

    def block(self, d_model: int, mixing: dict, feed_forward: tuple, convolution: tuple, dropout: float):
        """A block from the arguments of `attention`, PositionwiseFeedForward and ConvolutionModule."""
        return EncoderLayer(
            d_model,
            attention(d_model, **mixing),
            PositionwiseFeedForward(*feed_forward),
            PositionwiseFeedForward(*feed_forward),
            ConvolutionModule(*convolution),
            dropout,
        )

    def frames(self, ilens: torch.Tensor) -> torch.Tensor:
        return ((ilens - 1) // 2 - 1) // 2  # of ESPnet's Conv2dSubsampling, whose mask keeps so many

    def stem(self, xs_pad: torch.Tensor, ilens: torch.Tensor, subnet: Subnet | None = None) -> ConformerStem:
        """Time reduction and positions, see `interface.Encoder.stem`."""
        mask = ~make_pad_mask(ilens, maxlen=xs_pad.shape[1])[:, None, :].to(xs_pad.device)
        (x, positions), mask = self.embed(xs_pad, mask)
        return ConformerStem(x, mask.squeeze(1).sum(1), mask, positions)

    def run(self, stem: ConformerStem, subnet: Subnet | None = None) -> torch.Tensor:
        """The blocks on a stem. Returns: (B, T, D)."""
        (x, _), _ = self.encoders((stem.x, stem.positions), stem.mask)
        return self.after_norm(x)
