"""Sizes named LAYERSxWIDTH instead of chosen ones: sizes.json for the stages after stage 7.

12x384 is the subnet of 12 layers with 384 feed-forward channels in each, and the largest value of every other dimension of the search
space: the size that conf/SCALE/individual/12x384.yaml trains alone.
"""

import argparse
import re
from pathlib import Path

from espnet_plugin.common.files import write_json
from espnet_plugin.errors import UserError, run_main
from espnet_plugin.supernet.dimensions import DIRECTIONS
from espnet_plugin.supernet.space import SearchSpace
from espnet_plugin.supernet.subnet import Subnet

NAME = r"(\d+)x(\d+)"


def read_name(name: str) -> tuple[int, int]:
    """Layers and feed-forward channels of a name.

    Raises:
        UserError: it is not of the form.
    """
    match = re.fullmatch(NAME, name)
    if match is None:
        raise UserError(f"--sizes: '{name}' is not LAYERSxWIDTH, as in 12x384")
    return int(match[1]), int(match[2])


def named(space: SearchSpace, name: str) -> Subnet:
    """The subnet of a name.

    Raises:
        UserError: the name is not of the form, or the space has no such subnet.
    """
    depth, width = read_name(name)
    if len(space.stacks) > 1:
        raise UserError(
            f"--sizes: '{name}': the search space has {len(space.stacks)} stacks of layers, each of its own depth"
        )
    widths = space.leading
    for what, value, allowed in (
        ("layers", depth, space.stacks[0].depths),
        (widths.dimension.title, width, widths.allowed),
    ):
        if value not in allowed:
            raise UserError(f"--sizes: '{name}': {what}: {value} is not one of {list(allowed)} of the search space")
    return space.uniform(depth, width)


def subnet_of(space: SearchSpace, name: str) -> Subnet:
    """The subnet of a name, or of a text form (see `SearchSpace.resolve`).

    Raises:
        UserError: the space has no such subnet.
    """
    return named(space, name) if re.fullmatch(NAME, name) else space.resolve(name)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train_config", type=Path, required=True, help="config.yaml of the supernet")
    parser.add_argument("--model_file", type=Path, required=True, help="checkpoint of the supernet")
    parser.add_argument("--sizes", nargs="+", required=True, metavar="LAYERSxWIDTH")
    parser.add_argument("--direction", choices=DIRECTIONS, help="of all layers (default: the one that hears most)")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    args = parser.parse_args(argv)
    # Here, since they take seconds: run.sh checks names by the functions above before anything else.
    from espnet_plugin.asr.inference.extract import num_parameters, space_of
    from espnet_plugin.asr.inference.loading import load_model

    model, _ = load_model(args.train_config, args.model_file)
    space = space_of(model, args.direction)
    subnets = {name: named(space, name) for name in dict.fromkeys(args.sizes)}
    sizes = [{"name": key, "subnet": str(net), "params": num_parameters(model, net)} for key, net in subnets.items()]
    sizes.sort(key=lambda size: -size["params"])
    write_json(args.out, {"sizes": sizes}, indent=2)
    for size in sizes:
        print(f"{size['name']:>8}  {size['params']:>12,} parameters  {size['subnet']}")


if __name__ == "__main__":
    run_main(main)
