"""The elastic Multi-Head State Space encoder: one set of weights, many sizes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import torch

from espnet_plugin.common.bounds import WIDTH, Dropout, Layers, Positive, Width
from espnet_plugin.encoder.grow import halves, one_of
from espnet_plugin.encoder.interface import ElasticEncoder, TimingBlocks
from espnet_plugin.encoder.mhssm.cost import EncoderShape
from espnet_plugin.encoder.mhssm.elastic import ElasticMHSSMLayer, ElasticTimeReduction, spectra
from espnet_plugin.encoder.mhssm.encoder import MHSSMEncoder, Stem, channels_of_head
from espnet_plugin.errors import UserError
from espnet_plugin.supernet import configured
from espnet_plugin.supernet.cost import Cost
from espnet_plugin.supernet.dimensions import D_MODEL, DIRECTION, DIRECTIONS, FFN, HEADS
from espnet_plugin.supernet.layers import ElasticLayerNorm
from espnet_plugin.supernet.space import SearchSpace
from espnet_plugin.supernet.subnet import Subnet

DIMENSIONS = (FFN, HEADS, D_MODEL, DIRECTION)


class MHSSMSupernetEncoder(ElasticEncoder[Stem], MHSSMEncoder):
    """Encoder that runs at any subnet of its search space (ESPnet name ``mhssm_supernet``).

    Args:
        input_size: F, features a frame.
        num_layers: layers of the max net.
        search_space: ``ffn_dims`` (required), ``depths``, ``heads``, ``model_dims``, ``directions`` and so on, see `SearchSpace`. A single
            depth and a single width give an individually trained model of one size.
        adaptive_dropout: scale dropout by the active width, see `AdaptiveDropout`.
        others: as in `MHSSMEncoder`, for the max net.

    Raises:
        UserError: a key or value of the search space is not allowed.
    """

    time_reduction_class, layer_class, norm_class = ElasticTimeReduction, ElasticMHSSMLayer, ElasticLayerNorm
    name, plain_class, layer_prefixes = "mhssm_supernet", MHSSMEncoder, ("layers",)
    if TYPE_CHECKING:  # narrower than in the base class; torch.jit would read it at run time
        layers: Sequence[ElasticMHSSMLayer]

    def __init__(
        self,
        input_size: int,
        d_model: Width = 256,
        num_heads: Width = 8,
        num_modes: Width = 16,
        num_layers: Layers = 6,
        search_space: dict = {"ffn_dims": [256, 512, 1024]},  # noqa: B006 (ESPnet prints defaults; never changed)
        expand: Width = 2,
        head_dim: Annotated[int | None, WIDTH] = None,
        stem_dim: Annotated[int | None, WIDTH] = None,
        bidirectional: bool = True,
        dt_min: Positive = 1e-3,
        dt_max: Positive = 1e-1,
        ssm_init: str = "lin",
        dropout: Dropout = 0.1,
        adaptive_dropout: bool = True,
    ):
        sizes = dict(d_model=d_model, num_heads=num_heads, bidirectional=bidirectional)
        space = configured.search_space(num_layers, search_space, DIMENSIONS, sizes)
        if space.varies("heads") and any(count % 2 for count in space["heads"]):
            raise UserError(
                f"search_space.heads: {list(space['heads'])} must be even, half of the heads gate the other half"
            )
        stem_dim = stem_dim or d_model
        head_dim = head_dim or channels_of_head(d_model, num_heads, expand)
        conf: dict[str, Any] = dict(
            d_model=d_model, num_heads=num_heads, num_modes=num_modes, head_dim=head_dim, stem_dim=stem_dim
        )
        conf |= dict(bidirectional=bidirectional, dt_min=dt_min, dt_max=dt_max, ssm_init=ssm_init, dropout=dropout)
        super().__init__(input_size, ffn_dims=space.max["ffn"], **conf)
        for layer in self.layers:
            layer.adapt_dropout(adaptive_dropout)
        self.search_space, self.conf, self.input_size = space, conf, input_size
        self.shape = EncoderShape(
            input_size, stem_dim, d_model, num_heads, head_dim, num_modes, 2 if bidirectional else 1
        )

    def ways(self, subnet: Subnet | None) -> list[int]:
        """Numbers of directions in which the nets of a step may run, ascending; None: every net of the space."""
        directions = self.search_space["direction"] if subnet is None else (subnet["direction"],)
        return [1 + DIRECTIONS.index(direction) for direction in directions]

    def stem(self, xs_pad: torch.Tensor, ilens: torch.Tensor, subnet: Subnet | None = None) -> Stem:
        """Time reduction and kernels: at full size for all nets of a step, or those of the only net.

        Args:
            xs_pad: (B, S, F).
            ilens: (B,) input frames.
            subnet: the only net that is going to run.
        """
        x, lengths, mask = self.reduce(xs_pad, ilens, width=subnet and subnet["d_model"])
        ways = self.ways(subnet)
        if subnet is None:
            return Stem(x, lengths, mask, tuple(spectra([layer.mixer.ssm for layer in self.layers], x.shape[1], ways)))
        active = {layer.index: heads for layer, heads in subnet.per_layer("heads")}
        needed = (
            layer.mixer.ssm.spectrum(x.shape[1], active[i], ways) if i in active else None
            for i, layer in enumerate(self.layers)
        )
        return Stem(x, lengths, mask, tuple(needed))

    def run(self, stem: Stem, subnet: Subnet | None = None) -> torch.Tensor:
        """The layers of a subnet (None: the max net) on a stem.

        The stem may be that of all nets, since slicing its channels is exact: both convolutions end before any sum over them.

        Returns:
            (B, T, d), d the subnet's model dimension.
        """
        subnet = subnet or self.search_space.max
        way = 0 if subnet["direction"] == "forward" else -1
        x = stem.x[..., : subnet["d_model"]]
        for layer, width, heads in subnet.per_layer("ffn", "heads"):
            x = self.layers[layer.index](x, stem.mask, stem.spectra[layer.index], width, heads, way)
        return self.norm_out(x)

    def cost(self, subnet: Subnet) -> Cost:
        return self.shape.cost(subnet)

    def streaming_space(self) -> SearchSpace:
        space = self.search_space
        if "forward" not in space["direction"]:
            raise UserError("--streaming: every subnet of this supernet is bidirectional and needs the whole audio")
        return space.only("forward") if space.varies("direction") else space

    def products(self, subnet: Subnet) -> list[tuple[int, int]]:
        return self.shape.products(subnet)

    def timing_blocks(self) -> TimingBlocks:
        from espnet_plugin.encoder.mhssm.timing import MHSSMBlocks

        return MHSSMBlocks(self.shape)

    @classmethod
    def grown_conf(cls, conf: dict) -> dict:
        conf = dict(conf)
        widths, heads = conf.pop("ffn_dims"), conf.get("num_heads", 8)
        return conf | dict(
            num_heads=one_of("num_heads", heads), num_layers=len(widths), search_space=halves(len(widths), max(widths))
        )

    def extracted_conf(self, subnet: Subnet) -> dict:
        heads, direction = list(subnet["heads"]), subnet["direction"]
        sizes = dict(ffn_dims=list(subnet["ffn"]), num_heads=heads, d_model=subnet["d_model"])
        return self.conf | sizes | dict(bidirectional=direction == "bidirectional")
