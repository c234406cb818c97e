"""Verb ``extract``: sizes as stand-alone ESPnet model directories."""

import argparse
from pathlib import Path

from espnet_plugin.asr.inference.extract import MADE_OF, space_of, write_model_dir
from espnet_plugin.asr.inference.loading import load_model
from espnet_plugin.bin.supernet_files import add_supernet, settle
from espnet_plugin.common.files import check_place, is_plain_name, read_json
from espnet_plugin.errors import UserError


def read_sizes(path: Path) -> dict[str, str]:
    """Names and text forms of the sizes that ``choose`` wrote.

    Raises:
        UserError: no such file, another content, or a name that leads out of ``--out``.
    """
    found = read_json(path)
    if found is None:
        raise UserError(f"--sizes: '{path}' does not exist")
    try:
        sizes = [(size["name"], str(size["subnet"])) for size in found["sizes"]]
    except (KeyError, TypeError) as error:
        raise UserError(f"--sizes: '{path}' is not what 'espnet-todm choose' writes") from error
    if not sizes:
        raise UserError(f"--sizes: '{path}' has no size")
    names = [name for name, _ in sizes]
    for name in names:
        if not is_plain_name(name):
            raise UserError(f"--sizes: '{path}': size '{name}' must be the name of a folder in --out")
        if names.count(name) > 1:
            raise UserError(f"--sizes: '{path}': size '{name}' stands twice, must have a name of its own")
    return dict(sizes)


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="espnet-todm extract", description="Cut sizes out of a supernet.")
    add_supernet(parser)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--subnet", help="max, min, max_forward ..., or a text form such as 0-3x512_5x256")
    which.add_argument("--sizes", type=Path, help="JSON file of 'espnet-todm choose': every size, into OUT/NAME")
    parser.add_argument(
        "--out", type=Path, required=True, help="model directory to write, or with --sizes their folder"
    )
    args = parser.parse_args(argv)
    wanted = {".": args.subnet} if args.sizes is None else read_sizes(args.sizes)
    folder = settle(args)  # noqa: F841 (kept for as long as its files are read)
    inputs = [path for path in (args.train_config, args.model_file, args.sizes) if path is not None]
    for name in wanted:
        check_place(args.out / name, MADE_OF, inputs)
    trained = load_model(args.train_config, args.model_file)
    subnets = {args.out / name: space_of(trained.model).resolve(text) for name, text in wanted.items()}
    for out, subnet in subnets.items():
        facts = write_model_dir(trained, subnet, out, inputs)
        print(f"{out}: subnet {facts['subnet']}, {facts['params']:,} parameters, {facts['share']:.0%} of the max net")
