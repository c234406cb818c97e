"""Verb ``extract``: one size as a stand-alone ESPnet model directory."""

import argparse
from pathlib import Path

from espnet_plugin.asr.extract import space_of, write_model_dir
from espnet_plugin.asr.loading import load_model


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="espnet-todm extract", description="Cut one size out of a supernet.")
    parser.add_argument("--train_config", type=Path, required=True, help="config.yaml of the supernet")
    parser.add_argument("--model_file", type=Path, required=True, help="checkpoint of the supernet")
    parser.add_argument("--subnet", required=True, help="max, min, or a text form such as 0-3x512_5x256")
    parser.add_argument("--out", type=Path, required=True, help="model directory to write")
    args = parser.parse_args(argv)
    model, train_args = load_model(args.train_config, args.model_file)
    subnet = space_of(model).resolve(args.subnet)
    facts = write_model_dir(model, train_args, subnet, args.out)
    print(f"{args.out}: subnet {facts['subnet']}, {facts['params']:,} parameters, {facts['share']:.0%} of the max net")
