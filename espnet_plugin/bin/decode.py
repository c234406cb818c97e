"""Verb ``decode``: a Kaldi data directory to hypotheses, in several processes."""

import argparse
from pathlib import Path

from tqdm import tqdm

from espnet_plugin.asr.inference.decode import decode_set, read_conf
from espnet_plugin.asr.inference.loading import model_dir_files
from espnet_plugin.common.processes import processes
from espnet_plugin.common.tables import read_table
from espnet_plugin.errors import UserError


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="espnet-todm decode", description="Decode Kaldi data directories; writes MODEL_DIR/decode/SET/text."
    )
    parser.add_argument(
        "--model_dir", type=Path, nargs="+", required=True, help="extracted sizes or training directories"
    )
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="directories with wav.scp")
    parser.add_argument("--config", type=Path, help="YAML with beam_size, transducer_conf, batch_seconds, chunk_ms")
    parser.add_argument(
        "--streaming", choices=("true", "false"), default="false", help="feed audio in chunks (forward models only)"
    )
    parser.add_argument(
        "--nj", type=int, default=1, help="processes, each takes a model and a set at a time (default: 1)"
    )
    args = parser.parse_args(argv)
    if args.nj < 1:
        raise UserError(f"--nj: {args.nj} must be at least 1")
    conf = read_conf(args.config)
    for model_dir in args.model_dir:
        model_dir_files(model_dir)
    for data in args.data:
        read_table(data / "wav.scp")
    streaming = args.streaming == "true"
    jobs = [(model_dir, data, conf, streaming) for model_dir in args.model_dir for data in args.data]
    # Forked before torch computes anything, so that the children share what took seconds to import.
    with (
        processes(decode_set, min(args.nj, len(jobs))) as answers,
        tqdm(total=len(jobs), unit="set", desc="decoding", disable=None) as bar,
    ):
        for line in answers(jobs):
            tqdm.write(line)
            bar.update()
