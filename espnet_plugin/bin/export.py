"""Verb ``export``: a size as the files that a device runs."""

import argparse
from pathlib import Path

from espnet_plugin.asr.loading import load_model, model_dir_files
from espnet_plugin.errors import UserError


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="espnet-todm export", description="Write an extracted size as files that a device runs."
    )
    parser.add_argument("model_dir", type=Path, help="extracted size")
    parser.add_argument("--format", choices=["sherpa-onnx"], default="sherpa-onnx", help="client (sherpa-onnx)")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--int8", action="store_true", help="quantise the weights of matrix products")
    parser.add_argument(
        "--streaming", action="store_true", help="for the streaming client; needs a model with bidirectional: false"
    )
    args = parser.parse_args(argv)
    files = model_dir_files(args.model_dir)
    try:
        from espnet_plugin.deploy.sherpa import export
    except ModuleNotFoundError as error:
        raise UserError(f"export needs the package '{error.name}': pip install 'espnet-todm[export]'") from error
    model, _ = load_model(*files)
    for part in export(model, args.out, args.int8, args.streaming).values():
        difference = f"largest difference from PyTorch {part['difference']:.1e}"
        print(f"{args.out / part['file']}: {part['bytes']:,} bytes, {difference}")
