"""Verb ``decode``: a Kaldi data directory to hypotheses, in several processes."""

import argparse
from pathlib import Path

from tqdm import tqdm

from espnet_plugin.asr.inference.decode import DecodeJob, decode_set, read_conf
from espnet_plugin.asr.inference.loading import model_dir_files
from espnet_plugin.asr.inference.search import add_options, check_given, given_options
from espnet_plugin.audio.utterances import read_utterances
from espnet_plugin.bin.cuts import kaldi_directory
from espnet_plugin.common.bounds import Checked
from espnet_plugin.common.processes import PROCESSES, processes
from espnet_plugin.errors import UserError


def places(model_dirs: list[Path], sets: list[Path], out: Path | None) -> dict[Path, tuple[Path, Path]]:
    """Where each set is written with each model: folder -> (model directory, data directory).

    Raises:
        UserError: two would be written to the same folder.
    """
    found: dict[Path, tuple[Path, Path]] = {}
    for model_dir in model_dirs:
        for data in sets:
            place = (model_dir / "decode" if out is None else out) / data.resolve().name
            if place in found:
                first, second = (f"'{a}' with '{b}'" for b, a in (found[place], (model_dir, data)))
                raise UserError(
                    f"--out: {first} and {second} would both be written to '{place}': decode them one by one"
                )
            found[place] = model_dir, data
    return found


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="espnet-todm decode",
        description="Decode Kaldi data directories, formatted or not; writes MODEL_DIR/decode/SET/text and more. Called again, it goes on.",
    )
    parser.add_argument(
        "--model_dir", type=Path, nargs="+", required=True, help="extracted sizes or training directories"
    )
    parser.add_argument(
        "--data",
        type=Path,
        nargs="+",
        required=True,
        help="directories with wav.scp, and segments if any, or lhotse's cuts.jsonl.gz",
    )
    parser.add_argument("--out", type=Path, help="folder to write SET/text to (default: MODEL_DIR/decode)")
    parser.add_argument(
        "--config",
        type=Path,
        help="YAML with the options of the search, transducer_conf, batch_seconds, chunk_ms, window_seconds",
    )
    parser.add_argument(
        "--streaming", choices=("true", "false"), default="false", help="feed audio in chunks (forward models only)"
    )
    parser.add_argument(
        "--nj",
        type=int,
        default=1,
        action=Checked,
        bounds=PROCESSES,
        help="processes, each takes a model and a set at a time (default: 1)",
    )
    add_options(parser)
    args = parser.parse_args(argv)
    conf = read_conf(args.config, given_options(args))
    check_given(args, conf)
    for model_dir in args.model_dir:
        model_dir_files(model_dir)
    args.data = [kaldi_directory(data) for data in args.data]
    for data in args.data:
        read_utterances(data)
    streaming = args.streaming == "true"
    jobs = [
        DecodeJob(number, model_dir, data, out, conf, streaming)
        for number, (out, (model_dir, data)) in enumerate(places(args.model_dir, args.data, args.out).items())
    ]
    rejected = 0
    # Forked before torch computes anything, so that the children share what took seconds to import.
    with (
        processes(decode_set, min(args.nj, len(jobs))) as answers,
        tqdm(total=len(jobs), unit="set", desc="decoding", disable=None) as bar,
    ):
        for found in answers(jobs):
            tqdm.write(found.said)
            rejected += found.rejected
            bar.update()
    if rejected:
        raise UserError(f"{rejected} utterances could not be decoded, see the files rejected.txt; all others were")
