"""A trained model from its configuration and checkpoint, with errors that a user can act on."""

import argparse
from pathlib import Path

import yaml
from espnet2.torch_utils.safe_torch_load import safe_torch_load
from torch.overrides import TorchFunctionMode

from espnet_plugin.asr.model import TODMModel
from espnet_plugin.asr.task import TODMTask
from espnet_plugin.errors import UserError


class WithoutInit(TorchFunctionMode):
    """Build modules without random numbers for their weights, which are about to be loaded."""

    RANDOM = ("uniform_", "normal_", "kaiming_uniform_")  # what torch's layers and initialisers end in

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if getattr(func, "__name__", None) in self.RANDOM:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))


def read_config(path: Path) -> argparse.Namespace:
    """Read a training configuration that ESPnet stored.

    Files that lie beside the configuration (statistics, sentencepiece model) win over the paths stored in it, so that a model directory
    can be moved.

    Raises:
        UserError: no such file, or not a configuration of model ``todm``.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"training configuration '{path}' does not exist")
    args = argparse.Namespace(**yaml.safe_load(path.read_text(encoding="utf-8")))
    if getattr(args, "model", None) != "todm":
        raise UserError(f"{path}: model is '{getattr(args, 'model', None)}', must be 'todm'")
    for conf, key, name in (
        (args.normalize_conf, "stats_file", "feats_stats.npz"),
        (vars(args), "bpemodel", "bpe.model"),
    ):
        if conf and conf.get(key) and (path.parent / name).is_file():
            conf[key] = str(path.parent / name)
    return args


def load_state(model: TODMModel, model_file: Path) -> None:
    """Load a checkpoint strictly.

    Raises:
        UserError: the file is missing, is no checkpoint, or does not fit the configuration.
    """
    if not Path(model_file).is_file():
        raise UserError(f"checkpoint '{model_file}' does not exist")
    try:
        state = safe_torch_load(model_file, map_location="cpu")
    except Exception as error:
        raise UserError(f"checkpoint '{model_file}' cannot be read: {str(error).splitlines()[0]}") from error
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


def load_model(train_config: Path, model_file: Path) -> tuple[TODMModel, argparse.Namespace]:
    """Model in evaluation mode and its configuration.

    Raises:
        UserError: see `read_config` and `load_state`.
    """
    args = read_config(train_config)
    with WithoutInit():
        model = TODMTask.build_model(args)
    load_state(model, model_file)
    return model.eval(), args


def model_dir_files(model_dir: Path) -> tuple[Path, Path]:
    """Configuration and checkpoint of a model directory: an extracted one, or a training directory.

    Raises:
        UserError: it is neither.
    """
    model_dir = Path(model_dir)
    if not (model_dir / "config.yaml").is_file():
        raise UserError(f"model directory '{model_dir}' has no config.yaml")
    for name in ("model.pth", "averaged.pth", "valid.loss.ave.pth"):
        if (model_dir / name).is_file():
            return model_dir / "config.yaml", model_dir / name
    raise UserError(f"model directory '{model_dir}' has none of model.pth, averaged.pth, valid.loss.ave.pth")
