"""Verb ``export``: a size as the files that a device runs."""

import argparse
import tempfile
from pathlib import Path

from espnet_plugin.asr.inference.extract import space_of, write_model_dir
from espnet_plugin.asr.inference.loading import load_model, model_dir_files
from espnet_plugin.bin.supernet_files import add_icefall, check_icefall, settle
from espnet_plugin.common.files import write_errors
from espnet_plugin.deploy.targets import names, target
from espnet_plugin.errors import UserError


def cut_out(args: argparse.Namespace) -> tempfile.TemporaryDirectory:
    """Cut ``--subnet`` out of icefall's checkpoint, into a folder that lasts as long as what is returned; ``args.model_dir`` names it."""
    args.train_config = args.model_file = None
    folder = settle(args)
    assert folder is not None  # there is a checkpoint of icefall
    trained = load_model(args.train_config, args.model_file)
    args.model_dir = [Path(folder.name, "size")]
    write_model_dir(trained, space_of(trained.model).resolve(args.subnet or "max"), *args.model_dir)
    return folder


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="espnet-todm export", description="Write an extracted size as files that a device runs."
    )
    parser.add_argument(
        "model_dir",
        type=Path,
        nargs="*",
        help="extracted size; several of one supernet share their weights in one folder",
    )
    clients = ", ".join(f"{name}: {target(name).HELP}" for name in names())
    parser.add_argument("--format", choices=names(), default="sherpa-onnx", help=f"{clients} (default: sherpa-onnx)")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--int8", action="store_true", help="quantise the weights of matrix products")
    parser.add_argument(
        "--streaming",
        action="store_true",
        help="for the streaming client; needs a model of forward direction: trained with bidirectional: false, or a _forward subnet",
    )
    add_icefall(parser)
    parser.add_argument("--subnet", help="size of the icefall checkpoint that is exported (default: max)")
    args = parser.parse_args(argv)
    check_icefall(args)
    if bool(args.model_dir) == (args.icefall_checkpoint is not None):
        raise UserError("export needs model directories, or --icefall_checkpoint and --tokens")
    if args.model_dir and args.subnet is not None:
        raise UserError("--subnet: is for --icefall_checkpoint, a model directory has one size")
    folder = None if args.model_dir else cut_out(args)  # noqa: F841 (kept while its files are read)
    files = {model_dir.resolve().name: model_dir_files(model_dir) for model_dir in args.model_dir}
    if len(files) < len(args.model_dir):
        raise UserError(f"the model directories have {len(files)} names for {len(args.model_dir)} sizes, rename them")
    chosen = target(args.format)
    chosen.check(len(files), args.int8, args.streaming)
    sizes = {name: load_model(*paths) for name, paths in files.items()}
    try:
        with write_errors(args.out):  # graphs are made in temporary files before they are checked
            lines = chosen.export(sizes, args.out, args.int8, args.streaming, args.model_dir)
    except ModuleNotFoundError as error:
        raise UserError(f"export needs the package '{error.name}': pip install 'espnet-todm[export]'") from error
    print(*lines, sep="\n")
