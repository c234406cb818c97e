"""The elastic Multi-Head State Space encoder: one set of weights, many sizes."""

import torch
import torch.nn.functional as F

from espnet_plugin.encoder.mhssm import FeedForward, MHSSMEncoder, MHSSMLayer, Stem
from espnet_plugin.errors import UserError
from espnet_plugin.supernet.layers import AdaptiveDropout, ElasticLinear
from espnet_plugin.supernet.space import SearchSpace, Subnet


class ElasticFeedForward(FeedForward):
    """Feed-forward network that uses the first channels of its inner layer."""

    def __init__(self, d_model: int, ffn_dim: int, dropout: float, adaptive_dropout: bool):
        super().__init__(d_model, ffn_dim, dropout)
        self.linear_in = ElasticLinear(d_model, ffn_dim)
        self.linear_out = ElasticLinear(ffn_dim, d_model)
        self.dropout = AdaptiveDropout(dropout, ffn_dim, adaptive_dropout)

    def forward(self, x: torch.Tensor, width: int) -> torch.Tensor:
        """Args: x (B, T, D), width: active inner channels. Returns: (B, T, D)."""
        hidden = self.dropout(F.silu(self.linear_in(x, out_features=width)))
        return self.linear_out(hidden, in_features=width)


class ElasticMHSSMLayer(MHSSMLayer):
    """A layer whose feed-forward width is an argument."""

    def forward(self, x: torch.Tensor, mask: torch.Tensor, spectrum, width: int) -> torch.Tensor:
        x = self.mix(x, mask, spectrum)
        return x + self.dropout(self.feed_forward(self.norm_ffn(x), width))


class MHSSMSupernetEncoder(MHSSMEncoder):
    """Encoder that runs at any subnet of its search space (ESPnet name ``mhssm_supernet``).

    Args:
        input_size: F, features a frame.
        num_layers: layers of the max net.
        search_space: ``ffn_dims`` (required), ``depths``, ``drop_order``, see `SearchSpace.build`. A single depth and a single width
            give an individually trained model of one size.
        adaptive_dropout: scale the feed-forward dropout by the active width, see `AdaptiveDropout`.
        others: as in `MHSSMEncoder`.

    Raises:
        UserError: a key or value of the search space is not allowed.
    """

    def __init__(
        self,
        input_size: int,
        d_model: int = 256,
        num_heads: int = 8,
        num_modes: int = 16,
        num_layers: int = 6,
        search_space: dict = {"ffn_dims": [256, 512, 1024]},  # noqa: B006 (ESPnet prints defaults; never changed)
        expand: int = 2,
        bidirectional: bool = True,
        dt_min: float = 1e-3,
        dt_max: float = 1e-1,
        ssm_init: str = "lin",
        dropout: float = 0.1,
        adaptive_dropout: bool = True,
    ):
        unknown = set(search_space) - {"depths", "ffn_dims", "drop_order"}
        if unknown or "ffn_dims" not in search_space:
            raise UserError(
                f"encoder_conf.search_space: keys {sorted(search_space)} must be ffn_dims and, if wanted, depths and drop_order"
            )
        self.size_conf = dict(d_model=d_model, num_heads=num_heads, num_modes=num_modes, expand=expand)
        self.size_conf |= dict(
            bidirectional=bidirectional, dt_min=dt_min, dt_max=dt_max, ssm_init=ssm_init, dropout=dropout
        )
        self.adaptive_dropout = adaptive_dropout
        space = SearchSpace.build(
            num_layers, search_space.get("depths"), search_space["ffn_dims"], search_space.get("drop_order")
        )
        super().__init__(input_size, ffn_dims=space.max.ffn, **self.size_conf)
        self.search_space = space

    def build_layer(self, ffn_dim: int, mixer: dict) -> ElasticMHSSMLayer:
        feed_forward = ElasticFeedForward(self.d_model, ffn_dim, self.dropout, self.adaptive_dropout)
        return ElasticMHSSMLayer(self.d_model, feed_forward, self.dropout, **mixer)

    def run(self, stem: Stem, subnet: Subnet | None = None) -> torch.Tensor:
        """The layers of a subnet (None: the max net) on a stem. Returns: (B, T, D)."""
        subnet = subnet or self.search_space.max
        x = stem.x
        for index, width in zip(subnet.layers, subnet.ffn):
            x = self.layers[index](x, stem.mask, stem.spectra[index], width)
        return self.norm_out(x)

    def forward(
        self,
        xs_pad: torch.Tensor,
        ilens: torch.Tensor,
        prev_states: torch.Tensor | None = None,
        subnet: Subnet | None = None,
    ):
        """ESPnet's encoder interface with the active subnet as a further argument; see `MHSSMEncoder.forward`."""
        stem = self.stem(xs_pad, ilens)
        return self.run(stem, subnet), stem.lengths, None

    def extracted_conf(self, subnet: Subnet) -> tuple[str, dict]:
        """ESPnet name and configuration of the plain encoder of a subnet."""
        return "mhssm", {**self.size_conf, "ffn_dims": list(subnet.ffn)}

    def extracted_state(self, subnet: Subnet) -> dict[str, torch.Tensor]:
        """State of the plain encoder of a subnet, named as in `MHSSMEncoder`; tensors are copies."""
        state = {}
        for name, value in self.state_dict().items():
            if not name.startswith("layers."):
                state[name] = value.clone()
                continue
            _, index, rest = name.split(".", 2)
            if int(index) not in subnet.layers:
                continue
            position = subnet.layers.index(int(index))
            width = subnet.ffn[position]
            if rest in ("feed_forward.linear_in.weight", "feed_forward.linear_in.bias"):
                value = value[:width]
            elif rest == "feed_forward.linear_out.weight":
                value = value[:, :width]
            state[f"layers.{position}.{rest}"] = value.clone()
        return state

    def num_parameters(self, subnet: Subnet) -> int:
        """Parameters of the plain encoder of a subnet, without building it."""
        total = sum(p.numel() for p in self.parameters())
        layer = sum(p.numel() for p in self.layers[0].parameters())
        channel = 2 * self.d_model + 1  # a row of linear_in with its bias, a column of linear_out
        full = self.search_space.ffn_dims[-1]
        dropped = (self.search_space.num_layers - len(subnet.layers)) * layer
        return total - dropped - channel * sum(full - width for width in subnet.ffn)
