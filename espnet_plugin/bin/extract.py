"""Verb ``extract``: sizes as stand-alone ESPnet model directories."""

import argparse
import json
from pathlib import Path

from espnet_plugin.asr.extract import space_of, write_model_dir
from espnet_plugin.asr.loading import load_model
from espnet_plugin.errors import UserError


def read_sizes(path: Path) -> dict[str, str]:
    """Names and text forms of the sizes that ``choose`` wrote.

    Raises:
        UserError: no such file, or another content.
    """
    if not path.is_file():
        raise UserError(f"--sizes: '{path}' does not exist")
    try:
        return {size["name"]: size["subnet"] for size in json.loads(path.read_text())["sizes"]}
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"--sizes: '{path}' is not what 'espnet-todm choose' writes") from error


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="espnet-todm extract", description="Cut sizes out of a supernet.")
    parser.add_argument("--train_config", type=Path, required=True, help="config.yaml of the supernet")
    parser.add_argument("--model_file", type=Path, required=True, help="checkpoint of the supernet")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--subnet", help="max, min, max_forward ..., or a text form such as 0-3x512_5x256")
    which.add_argument("--sizes", type=Path, help="JSON file of 'espnet-todm choose': every size, into OUT/NAME")
    parser.add_argument(
        "--out", type=Path, required=True, help="model directory to write, or with --sizes their folder"
    )
    args = parser.parse_args(argv)
    wanted = {".": args.subnet} if args.sizes is None else read_sizes(args.sizes)
    model, train_args = load_model(args.train_config, args.model_file)
    subnets = {args.out / name: space_of(model).resolve(text) for name, text in wanted.items()}
    for out, subnet in subnets.items():
        facts = write_model_dir(model, train_args, subnet, out)
        print(f"{out}: subnet {facts['subnet']}, {facts['params']:,} parameters, {facts['share']:.0%} of the max net")
