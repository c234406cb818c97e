"""ESPnet's Conformer as a supernet: depth, feed-forward widths and attention heads are elastic."""

from functools import partial
from typing import Annotated, Any

import torch
from espnet2.legacy.nets.pytorch_backend.conformer.convolution import ConvolutionModule
from espnet2.legacy.nets.pytorch_backend.conformer.encoder_layer import EncoderLayer
from espnet2.legacy.nets.pytorch_backend.transformer.attention import RelPositionMultiHeadedAttention
from espnet2.legacy.nets.pytorch_backend.transformer.positionwise_feed_forward import PositionwiseFeedForward

from espnet_plugin.common.bounds import Bounds, Dropout, Layers, Width
from espnet_plugin.encoder.conformer.cost import ConformerShape
from espnet_plugin.encoder.conformer.encoder import ConformerStem, SizedConformerEncoder, attention, head_size
from espnet_plugin.encoder.grow import halves, one_of
from espnet_plugin.encoder.interface import ElasticEncoder
from espnet_plugin.errors import UserError
from espnet_plugin.supernet import configured
from espnet_plugin.supernet.cost import Cost
from espnet_plugin.supernet.dimensions import FFN, HEADS
from espnet_plugin.supernet.layers import AdaptiveDropout, ElasticLinear, SharedBatchNorm1d
from espnet_plugin.supernet.subnet import Subnet


class AttentionAt:
    """The first heads of an attention layer of ESPnet, which runs ESPnet's own code on slices of its weights.

    Args:
        layer: whose linear layers are elastic.
        heads: active ones.
    """

    __call__ = RelPositionMultiHeadedAttention.forward
    forward_qkv = RelPositionMultiHeadedAttention.forward_qkv
    forward_attention = RelPositionMultiHeadedAttention.forward_attention
    rel_shift = RelPositionMultiHeadedAttention.rel_shift

    def __init__(self, layer: RelPositionMultiHeadedAttention, heads: int):
        self.h, self.d_k = heads, layer.d_k
        for name in ("linear_q", "linear_k", "linear_v", "linear_pos"):
            setattr(self, name, partial(getattr(layer, name), out_features=heads * layer.d_k))
        self.pos_bias_u, self.pos_bias_v = layer.pos_bias_u[:heads], layer.pos_bias_v[:heads]
        for name in ("linear_out", "dropout", "q_norm", "k_norm", "use_sdpa", "zero_triu"):
            setattr(self, name, getattr(layer, name))


class ElasticPositionwise(PositionwiseFeedForward):
    """ESPnet's feed-forward network with the first channels of its inner layer."""

    def __init__(self, d_model: int, width: int, dropout: float, activation: torch.nn.Module):
        super().__init__(d_model, width, dropout, activation)
        self.w_1, self.w_2 = ElasticLinear(d_model, width), ElasticLinear(width, d_model)
        self.dropout = AdaptiveDropout(dropout, width)

    def forward(self, x: torch.Tensor, width: int) -> torch.Tensor:
        """Args: x (B, T, D), width: active inner channels. Returns: (B, T, D)."""
        return self.w_2(self.dropout(self.activation(self.w_1(x, out_features=width))))


class ElasticBlock(EncoderLayer):
    """ESPnet's block in macaron style with norms before, at a chosen feed-forward width and number of heads."""

    def forward(self, x: torch.Tensor, stem: ConformerStem, width: int, heads: int) -> torch.Tensor:
        """Args: x (B, T, D), stem of the batch, width of both feed-forward networks. Returns: (B, T, D)."""
        x = x + self.ff_scale * self.dropout(self.feed_forward_macaron(self.norm_ff_macaron(x), width))
        y = self.norm_mha(x)
        x = x + self.dropout(AttentionAt(self.self_attn, heads)(y, y, y, stem.positions, stem.mask))
        x = x + self.dropout(self.conv_module(self.norm_conv(x), mask_pad=stem.mask))
        x = x + self.ff_scale * self.dropout(self.feed_forward(self.norm_ff(x), width))
        return self.norm_final(x)


class ConformerSupernetEncoder(ElasticEncoder[ConformerStem], SizedConformerEncoder):
    """Conformer that runs at any subnet of its search space (ESPnet name ``conformer_supernet``).

    Weights have the names of ESPnet's ConformerEncoder, whose checkpoints fit; the max net's output is that encoder's.

    Args:
        search_space: ``ffn_dims`` (required), ``depths``, ``heads``, ``prediction_dims``, ``joiner_dims``, ``drop_order``, see
            `SearchSpace`; the largest equal ``linear_units``, ``num_blocks`` and ``attention_heads``.
        adaptive_dropout: scale the feed-forward dropout by the active width, see `AdaptiveDropout`.
        others: as in `SizedConformerEncoder`, for the max net.

    Raises:
        UserError: a key or value of the search space is not allowed.
    """

    name, plain_class, layer_prefixes = "conformer_supernet", SizedConformerEncoder, ("encoders",)

    def __init__(
        self,
        input_size: int,
        output_size: Width = 256,
        attention_heads: Width = 4,
        linear_units: Width = 2048,
        num_blocks: Layers = 6,
        search_space: dict = {"ffn_dims": [512, 1024, 2048]},  # noqa: B006 (ESPnet prints defaults; never changed)
        dropout_rate: Dropout = 0.1,
        positional_dropout_rate: Dropout = 0.1,
        attention_dropout_rate: Dropout = 0.0,
        activation_type: str = "swish",
        cnn_module_kernel: Width = 31,
        max_pos_emb_len: Annotated[int, Bounds(1, 10_000_000, why="frames of a day")] = 5000,
        adaptive_dropout: bool = True,
    ):
        sizes = dict(
            linear_units=linear_units, attention_heads=attention_heads, output_size=output_size, bidirectional=True
        )
        space = configured.search_space(num_blocks, search_space, (FFN, HEADS), sizes)
        head_dim = head_size(output_size, attention_heads)
        conf: dict[str, Any] = dict(output_size=output_size, head_dim=head_dim, dropout_rate=dropout_rate)
        conf |= dict(positional_dropout_rate=positional_dropout_rate, attention_dropout_rate=attention_dropout_rate)
        conf |= dict(activation_type=activation_type, cnn_module_kernel=cnn_module_kernel)
        conf |= dict(max_pos_emb_len=max_pos_emb_len)
        super().__init__(
            input_size, attention_heads=attention_heads, linear_units=linear_units, num_blocks=num_blocks, **conf
        )
        for block in self.encoders:
            block.feed_forward.dropout.adaptive = block.feed_forward_macaron.dropout.adaptive = adaptive_dropout
        self.search_space, self.conf, self.input_size = space, conf, input_size
        self.shape = ConformerShape(input_size, output_size, attention_heads, head_dim, cnn_module_kernel)

    def block(self, d_model: int, mixing: dict, feed_forward: tuple, convolution: tuple, dropout: float):
        """As in `SizedConformerEncoder`, of elastic parts."""
        module = ConvolutionModule(*convolution)
        module.norm = SharedBatchNorm1d(d_model)
        return ElasticBlock(
            d_model,
            attention(d_model, **mixing, linear=ElasticLinear),
            ElasticPositionwise(*feed_forward),
            ElasticPositionwise(*feed_forward),
            module,
            dropout,
        )

    def run(self, stem: ConformerStem, subnet: Subnet | None = None) -> torch.Tensor:
        """The blocks of a subnet (None: the max net) on a stem. Returns: (B, T, D)."""
        x = stem.x
        for layer, width, heads in (subnet or self.search_space.max).per_layer("ffn", "heads"):
            x = self.encoders[layer.index](x, stem, width, heads)
        return self.after_norm(x)

    def cost(self, subnet: Subnet) -> Cost:
        return self.shape.cost(subnet)

    @classmethod
    def grown_conf(cls, conf: dict) -> dict:
        conf, blocks = dict(conf), conf.get("num_blocks", 6)
        units = conf.get("linear_units", 2048)
        conf["linear_units"] = units if isinstance(units, int) else max(units)
        conf["attention_heads"] = one_of("attention_heads", conf.get("attention_heads", 4))
        channels = conf.pop("head_dim", None) or head_size(conf.get("output_size", 256), conf["attention_heads"])
        if channels != head_size(conf.get("output_size", 256), conf["attention_heads"]):
            raise UserError(
                f"encoder_conf.head_dim: {channels} is not that of a supernet of as many heads, so it cannot be grown"
            )
        return conf | dict(search_space=halves(blocks, conf["linear_units"]))

    def extracted_conf(self, subnet: Subnet) -> dict:
        blocks = dict(num_blocks=len(subnet.layers), linear_units=list(subnet["ffn"]))
        blocks |= dict(attention_heads=list(subnet["heads"]))
        return self.conf | blocks
