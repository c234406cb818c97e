"""icefall's Zipformer encoder, from the package ``zipformer``, as the strongest peer of our encoders.

``pip install --no-deps zipformer`` (the tests' environment has it). Its own dependencies are of older versions, and its encoder needs none
of them: small modules stand for what its files import.

``pip install --no-deps benchmarks/peer`` makes it ``encoder: zipformer_peer_supernet`` of a configuration: a search space of one point, so
that the recipe trains and decodes it as a model of one size (``benchmarks/peer/conf``).

Shapes: B batch, S input frames (10 ms), T encoder frames (40 ms), F features, D model dimension.
"""

import importlib
import importlib.util
import random
import types
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from unittest import mock

import torch
from torch.utils.flop_counter import FlopCounterMode

from espnet_plugin import register_encoder
from espnet_plugin.encoder import interface
from espnet_plugin.errors import UserError
from espnet_plugin.supernet.configured import search_space
from espnet_plugin.supernet.cost import Cost
from espnet_plugin.supernet.subnet import Subnet

# Arguments of Zipformer, channels of its subsampling. 22M is zipformer-S of icefall's recipe for LibriSpeech. The others are our choice: as
# many parameters as sizes of the mini corpus's supernet, icefall's kinds of stacks, fewer of them.
SIZES: dict[str, tuple[dict, tuple[int, int, int]]] = {
    "22M": (
        dict(
            downsampling_factor=(1, 2, 4, 8, 4, 2),
            num_encoder_layers=(2, 2, 2, 2, 2, 2),
            encoder_dim=(192, 256, 256, 256, 256, 256),
            encoder_unmasked_dim=(192, 192, 192, 192, 192, 192),
            feedforward_dim=(512, 768, 768, 768, 768, 768),
            num_heads=(4, 4, 4, 8, 4, 4),
            query_head_dim=(32,),
            pos_head_dim=(4,),
            value_head_dim=(12,),
            pos_dim=48,
            cnn_module_kernel=(31, 31, 15, 15, 15, 31),
            warmup_batches=4000.0,
        ),
        (8, 32, 128),
    )
}
FOUR_STACKS = dict(
    downsampling_factor=(1, 2, 4, 2),
    num_encoder_layers=(1,),
    encoder_unmasked_dim=(64,),
    num_heads=(4,),
    query_head_dim=(16,),
    pos_head_dim=(4,),
    value_head_dim=(12,),
    pos_dim=24,
    cnn_module_kernel=(31, 15, 15, 15),
    warmup_batches=300.0,  # of some 2,300 updates
)
WIDE = dict(encoder_dim=(64, 96, 96, 96), feedforward_dim=(192, 256, 256, 192))
NARROW = dict(encoder_dim=(64,), feedforward_dim=(128,))
SIZES |= {"1.2M": (FOUR_STACKS | WIDE, (8, 32, 128)), "0.6M": (FOUR_STACKS | NARROW, (8, 32, 64))}


@contextmanager
def autocast(device_type: str = "cuda", **options):
    with torch.amp.autocast(device_type=device_type, **options):
        yield


def load(name: str):
    """A file of the package's ``modules`` alone; the whole package needs what ``--no-deps`` leaves out.

    Raises:
        UserError: the package is not installed.
    """
    package = importlib.util.find_spec("zipformer")
    if package is None:
        raise UserError("package zipformer is missing: pip install --no-deps zipformer")
    folder = Path(package.submodule_search_locations[0])
    top, modules, utils = (types.ModuleType(key) for key in ("zipformer", "zipformer.modules", "zipformer.utils"))
    top.__path__, modules.__path__ = [str(folder)], [str(folder / "modules")]
    utils.torch_autocast, utils.fix_random_seed = autocast, random.seed
    stand_ins = {module.__name__: module for module in (top, modules, utils)}
    with mock.patch.dict("sys.modules", stand_ins):
        return importlib.import_module(f"zipformer.modules.{name}")


@dataclass(frozen=True)
class Stem(interface.Stem):
    """Args: feats (B, S, F); ilens (B,) input frames; lengths (B,) encoder frames."""

    feats: torch.Tensor
    ilens: torch.Tensor
    lengths: torch.Tensor

    def select(self, rows: torch.Tensor | list[int]) -> "Stem":
        return replace(self, feats=self.feats[rows], ilens=self.ilens[rows], lengths=self.lengths[rows])


class ZipformerPeer(interface.Encoder[Stem]):
    """Subsampling and Zipformer.

    Args:
        input_size: F.
        size: of `SIZES`.
        dropout: a share.

    Raises:
        UserError: the package is not installed, or there is no such size.
    """

    frame_rate, shortest = 25, 9

    def __init__(self, input_size: int, size: str, dropout: float = 0.1):
        super().__init__()
        if size not in SIZES:
            raise UserError(f"encoder_conf.size: '{size}' must be one of {', '.join(SIZES)}")
        conf, channels = SIZES[size]
        zipformer, subsampling = load("zipformer").Zipformer, load("subsampling").Conv2dSubsampling
        self.d_model = max(conf["encoder_dim"])  # its output has the channels of the widest stack
        self.subsampling = subsampling(input_size, conf["encoder_dim"][0], *channels, dropout=dropout)
        self.zipformer = zipformer(dropout=dropout, **conf)

    def output_size(self) -> int:
        return self.d_model

    def frames(self, ilens: torch.Tensor) -> torch.Tensor:
        return ((ilens - 7) // 2 + 1) // 2

    def stem(self, xs_pad: torch.Tensor, ilens: torch.Tensor, subnet: Subnet | None = None) -> Stem:
        return Stem(xs_pad, ilens, self.frames(ilens))

    def run(self, stem: Stem, subnet: Subnet | None = None) -> torch.Tensor:
        x, lengths = self.subsampling(stem.feats, stem.ilens)
        padding = torch.arange(x.shape[1], device=x.device) >= lengths.unsqueeze(1)
        return self.zipformer(x.transpose(0, 1), lengths, padding)[0].transpose(0, 1)


class ZipformerPeerSupernet(interface.ElasticEncoder[Stem], ZipformerPeer):
    """The same as a supernet whose only subnet is the whole. Args: see `ZipformerPeer`."""

    plain_class, layer_prefixes = ZipformerPeer, ()

    def __init__(self, input_size: int, size: str, dropout: float = 0.1):
        super().__init__(input_size, size, dropout)
        self.input_size, self.size, self.dropout = input_size, size, dropout
        self.search_space = search_space(1, {}, (), {})

    def extracted_conf(self, subnet: Subnet) -> dict:
        return dict(size=self.size, dropout=self.dropout)

    def cost(self, subnet: Subnet) -> Cost:
        """Parameters, and multiply-adds of a second within ten, counted by torch."""
        seconds = 10
        plain = ZipformerPeer(self.input_size, self.size, self.dropout).eval()
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            plain(torch.zeros(1, 100 * seconds, self.input_size), torch.tensor([100 * seconds]))
        return Cost(sum(p.numel() for p in plain.parameters()), counter.get_total_flops() // (2 * seconds))


def register() -> None:
    """The entry point."""
    register_encoder("zipformer_peer", ZipformerPeerSupernet, ZipformerPeer)
