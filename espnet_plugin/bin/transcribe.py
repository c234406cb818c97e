"""Verb ``transcribe``: the words of audio files, one line a file."""

import argparse
from pathlib import Path

from espnet_plugin.asr.inference.data import batches
from espnet_plugin.asr.inference.extract import extract, space_of
from espnet_plugin.asr.inference.loading import load_model, model_dir_files
from espnet_plugin.asr.inference.recognise import greedy


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="espnet-todm transcribe", description="Print 'path<TAB>words' for each audio file (wav, flac, sph ...)."
    )
    parser.add_argument("model_dir", type=Path, help="extracted size, or the supernet's training directory")
    parser.add_argument("audio", nargs="+", help="audio files, any sampling rate")
    parser.add_argument("--subnet", help="size to use of a supernet: max, min or text form (default: max)")
    args = parser.parse_args(argv)
    trained = load_model(*model_dir_files(args.model_dir))
    if args.subnet is not None:
        trained = extract(trained, space_of(trained.model).resolve(args.subnet))
    fs = trained.fs
    # One file a batch: a file that cannot be read ends the list there, with what came before already printed.
    for path in args.audio:
        for batch in batches({path: path}, fs):
            print(f"{path}\t{greedy(trained.model, batch, fs)[path]}", flush=True)
