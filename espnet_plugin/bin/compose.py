"""Verb ``compose``: a configuration and its bases as one plain YAML file."""

import argparse
import sys
from pathlib import Path

import yaml

from espnet_plugin.common.compose import compose, write_composed


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="espnet-todm compose", description="Merge a configuration with its bases.")
    parser.add_argument("--config", type=Path, required=True, help="YAML file, with a base or without")
    parser.add_argument("--out", type=Path, help="file to write (default: standard output)")
    args = parser.parse_args(argv)
    if args.out is None:
        yaml.safe_dump(compose(args.config), sys.stdout, sort_keys=False, allow_unicode=True)
    else:
        write_composed(args.config, args.out)
