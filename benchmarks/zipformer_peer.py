"""icefall's Zipformer encoder, from the package ``zipformer``, as the strongest peer of our encoders.

``pip install --no-deps zipformer`` (the tests' environment has it). Its own dependencies are of older versions, and its encoder needs none
of them: small modules stand for what its files import.
"""

import importlib
import importlib.util
import random
import types
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import torch

from espnet_plugin.errors import UserError

# zipformer-S of icefall's recipe for LibriSpeech: 22 M parameters with its subsampling.
SMALL = dict(
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
)


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


class ZipformerPeer(torch.nn.Module):
    """Subsampling and Zipformer, called as ESPnet calls an encoder.

    Args:
        features: mel filters.
        conf: arguments of Zipformer, as `SMALL`.
    """

    def __init__(self, features: int, **conf):
        super().__init__()
        zipformer, subsampling = load("zipformer").Zipformer, load("subsampling").Conv2dSubsampling
        self.subsampling = subsampling(features, conf["encoder_dim"][0], dropout=0.1)
        self.zipformer = zipformer(dropout=0.1, **conf)

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        """Args: x (B, S, features); lengths (B,) frames. Returns: (B, T, d), (B,), None."""
        x, lengths = self.subsampling(x, lengths)
        padding = torch.arange(x.shape[1], device=x.device) >= lengths.unsqueeze(1)
        x, lengths = self.zipformer(x.transpose(0, 1), lengths, padding)
        return x.transpose(0, 1), lengths, None
