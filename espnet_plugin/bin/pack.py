"""Verb ``pack``: a model directory as one file for ESPnet's programs and model zoo."""

import argparse
from pathlib import Path

from espnet_plugin.deploy.pack import SUFFIXES, pack


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="espnet-todm pack", description="Write a model directory as one file.")
    parser.add_argument("model_dir", type=Path, help="extracted size, or the supernet's training directory")
    parser.add_argument("--out", type=Path, required=True, help=f"file to write: {', '.join(SUFFIXES)}")
    args = parser.parse_args(argv)
    pack(args.model_dir, args.out)
    print(f"{args.out}: {args.out.stat().st_size:,} bytes")
