"""A trained model from its configuration and checkpoint, with errors that a user can act on."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from espnet2.text.abs_tokenizer import AbsTokenizer
from espnet2.text.build_tokenizer import build_tokenizer
from torch.overrides import TorchFunctionMode

from espnet_plugin.asr.build import build_model
from espnet_plugin.asr.model_dir import find_beside
from espnet_plugin.asr.training.model import TODMModel
from espnet_plugin.common.compose import read_yaml
from espnet_plugin.common.files import need_file
from espnet_plugin.common.rate import hertz
from espnet_plugin.common.text import normaliser
from espnet_plugin.common.weights import check_finite, read_saved
from espnet_plugin.errors import UserError


class TrainedModel(NamedTuple):
    """A model and what it was made with.

    Args:
        model: in evaluation mode.
        conf: the training configuration, as ESPnet stores it in config.yaml.
    """

    model: TODMModel
    conf: argparse.Namespace

    @property
    def fs(self) -> int:
        """Sampling rate (Hz) that the model was trained for."""
        return sampling_rate(self.conf)

    @property
    def tokenizer(self) -> AbsTokenizer:
        """ESPnet's tokenizer, as training had it."""
        conf = self.conf
        symbols = getattr(conf, "non_linguistic_symbols", None)
        return build_tokenizer(conf.token_type, bpemodel=conf.bpemodel, non_linguistic_symbols=symbols)

    @property
    def normalise(self) -> Callable[[str], str]:
        """What brings texts to how the model writes them, see `normaliser`."""
        return normaliser(vars(self.conf))


def sampling_rate(conf: argparse.Namespace) -> int:
    """Sampling rate (Hz) that a training configuration asks for."""
    return hertz((conf.frontend_conf or {}).get("fs", 16000))


def tokenizer_of(conf: argparse.Namespace) -> Path | None:
    """The sentencepiece model of a training configuration, None where it has other tokens.

    Raises:
        UserError: the file does not exist.
    """
    if conf.token_type != "bpe" or conf.bpemodel is None:
        return None
    if not Path(conf.bpemodel).is_file():
        raise UserError(f"bpemodel: '{conf.bpemodel}' does not exist")
    return Path(conf.bpemodel)


class WithoutInit(TorchFunctionMode):
    """Build modules without random numbers for their weights, which are about to be loaded."""

    RANDOM = ("uniform_", "normal_", "kaiming_uniform_")  # what torch's layers and initialisers end in

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if getattr(func, "__name__", None) in self.RANDOM:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))


def read_config(path: Path) -> argparse.Namespace:
    """Read a training configuration that ESPnet stored.

    Files that lie beside the configuration win over the paths stored in it, see `find_beside`.

    Raises:
        UserError: no such file, not a configuration of model ``todm``, or a sentencepiece model that does not go with its token list.
    """
    path = Path(path)
    conf = read_yaml(path)
    if conf.get("model") != "todm":
        raise UserError(f"{path}: model is '{conf.get('model')}', must be 'todm'")
    find_beside(conf, path.parent)
    return argparse.Namespace(**conf)


def read_state(path: Path) -> dict[str, torch.Tensor]:
    """Weights of a model, by name.

    Raises:
        UserError: see `read_saved` and `check_finite`; or it holds something else than a model, as a run's checkpoint.pth does.
    """
    state = read_saved(path)
    tensors = isinstance(state, dict) and all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in state.items()
    )
    if not tensors:
        raise UserError(f"checkpoint '{path}' is not that of a model: must hold tensors by name, as averaged.pth does")
    check_finite(state, path)
    return state


def load_state(model: TODMModel, model_file: Path) -> None:
    """Load a checkpoint strictly.

    Raises:
        UserError: see `read_state`; or it does not fit the configuration.
    """
    state = read_state(model_file)
    embedding = state.get("joint_network.lin_out.bias")
    if embedding is not None and len(embedding) != model.vocab_size:
        raise UserError(
            f"token_list: {model.vocab_size} tokens in the configuration, but checkpoint '{model_file}' was trained with {len(embedding)}"
        )
    own = {name: value.shape for name, value in model.state_dict().items()}
    found = {name: value.shape for name, value in state.items()}
    for name in sorted(own.keys() | found.keys()):
        if own.get(name) != found.get(name):
            here, there = (list(s[name]) if name in s else "nothing" for s in (own, found))
            raise UserError(
                f"checkpoint '{model_file}' does not fit the configuration: '{name}' is {there}, must be {here}"
            )
    model.load_state_dict(state)


def load_model(train_config: Path, model_file: Path) -> TrainedModel:
    """A model from its configuration and checkpoint.

    Raises:
        UserError: see `read_config` and `load_state`; or a key is missing.
    """
    args = read_config(train_config)
    try:
        with WithoutInit():
            model = build_model(args)
    except AttributeError as error:
        if error.obj is not args:
            raise
        raise UserError(f"{train_config}: key '{error.name}' is missing, must be as training stored it") from error
    load_state(model, model_file)
    return TrainedModel(model.eval(), args)


def model_dir_files(model_dir: Path) -> tuple[Path, Path]:
    """Configuration and checkpoint of a model directory: an extracted one, or a training directory.

    Raises:
        UserError: it is neither.
    """
    model_dir = Path(model_dir)
    if not (model_dir / "config.yaml").is_file():
        raise UserError(f"model directory '{model_dir}' has no config.yaml")
    for name in ("model.pth", "averaged.pth", "valid.loss.ave.pth"):
        if (model_dir / name).exists():
            return model_dir / "config.yaml", need_file("checkpoint", model_dir / name)
    raise UserError(f"model directory '{model_dir}' has none of model.pth, averaged.pth, valid.loss.ave.pth")
