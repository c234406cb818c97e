"""Where a verb's supernet comes from: ESPnet's two files, or icefall's checkpoint, which is converted."""

import argparse
import tempfile
from pathlib import Path

import torch
import yaml

from espnet_plugin.errors import UserError


def add_icefall(parser: argparse.ArgumentParser) -> None:
    """Add the options of an icefall checkpoint."""
    group = parser.add_argument_group("a supernet trained in icefall")
    group.add_argument(
        "--icefall_checkpoint", type=Path, help="exp/epoch-30.pt, in place of --train_config and --model_file"
    )
    group.add_argument(
        "--icefall_average_from", type=Path, help="earlier checkpoint: take the mean of the weights since"
    )
    group.add_argument("--tokens", type=Path, help="icefall's tokens.txt")
    group.add_argument("--bpemodel", type=Path, help="icefall's bpe.model, where transcripts are read (choose)")


def add_supernet(parser: argparse.ArgumentParser) -> None:
    """Add the options of a verb that takes a supernet."""
    parser.add_argument("--train_config", type=Path, help="config.yaml of the supernet")
    parser.add_argument("--model_file", type=Path, help="checkpoint of the supernet")
    add_icefall(parser)


def check_icefall(args: argparse.Namespace) -> None:
    """Refuse what goes with an icefall checkpoint where there is none.

    Raises:
        UserError: naming the option.
    """
    for name in ("icefall_average_from", "tokens", "bpemodel"):
        if getattr(args, name) is not None and args.icefall_checkpoint is None:
            raise UserError(f"--{name}: needs --icefall_checkpoint")


def converted(args: argparse.Namespace) -> tuple[dict, dict[str, torch.Tensor]]:
    """Configuration and weights from icefall's checkpoint.

    Raises:
        UserError: an option is missing, or see `icefall.checkpoint`.
    """
    from espnet_plugin.icefall.checkpoint import averaged, read_checkpoint, read_tokens, to_espnet

    if args.tokens is None:
        raise UserError("--tokens: is needed with --icefall_checkpoint, icefall's tokens.txt")
    if args.bpemodel is not None and not args.bpemodel.is_file():
        raise UserError(f"--bpemodel: '{args.bpemodel}' does not exist")
    tokens, saved = read_tokens(args.tokens), read_checkpoint(args.icefall_checkpoint)
    state = saved["model"]
    if args.icefall_average_from is not None:
        state = averaged(read_checkpoint(args.icefall_average_from), saved)
    return to_espnet(saved, state, tokens, args.bpemodel and args.bpemodel.absolute())


def settle(args: argparse.Namespace) -> tempfile.TemporaryDirectory | None:
    """Set ``args.train_config`` and ``args.model_file`` where icefall's checkpoint was given.

    Returns:
        the folder that holds both for as long as it is kept, None without an icefall checkpoint.

    Raises:
        UserError: neither or both were given, or see `converted`.
    """
    check_icefall(args)
    if args.icefall_checkpoint is None:
        for name in ("train_config", "model_file"):
            if getattr(args, name) is None:
                raise UserError(f"--{name}: is missing, or --icefall_checkpoint")
        return None
    if args.train_config is not None or args.model_file is not None:
        raise UserError("--icefall_checkpoint: stands for --train_config and --model_file, give one or the other")
    conf, state = converted(args)
    folder = tempfile.TemporaryDirectory(prefix="icefall.")
    args.train_config, args.model_file = Path(folder.name, "config.yaml"), Path(folder.name, "averaged.pth")
    args.train_config.write_text(yaml.safe_dump(conf, sort_keys=False, allow_unicode=True), encoding="utf-8")
    torch.save(state, args.model_file)
    return folder
