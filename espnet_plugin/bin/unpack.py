"""Verb ``unpack``: a packed model as a model directory, with checks."""

import argparse
from pathlib import Path

from espnet_plugin.deploy.pack import unpack


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="espnet-todm unpack", description="Write a model directory from a pack, after checking its names and sums."
    )
    parser.add_argument("pack", type=Path, help="file that 'espnet-todm pack' wrote")
    parser.add_argument("--out", type=Path, required=True, help="model directory to write")
    args = parser.parse_args(argv)
    unpack(args.pack, args.out)
    print(f"{args.out}: complete, sums hold")
