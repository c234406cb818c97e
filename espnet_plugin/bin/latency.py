"""Verb ``latency``: times a supernet's blocks, so that the time of any subnet on a device can be predicted."""

import argparse
import os
import tempfile
from pathlib import Path

import torch

from espnet_plugin.asr.build import build_model
from espnet_plugin.asr.inference.data import AudioBatch, batches
from espnet_plugin.asr.inference.extract import space_of
from espnet_plugin.asr.inference.loading import TrainedModel, load_model, read_config
from espnet_plugin.asr.inference.recognise import shortest_audio
from espnet_plugin.audio.mono import read_mono
from espnet_plugin.audio.utterances import whole_recordings
from espnet_plugin.bin.cuts import kaldi_directory
from espnet_plugin.bin.supernet_files import add_supernet, settle
from espnet_plugin.common.bounds import Bounds, Checked
from espnet_plugin.common.files import check_places, write_text, write_whole
from espnet_plugin.errors import UserError
from espnet_plugin.search.blocks import ModelBlocks
from espnet_plugin.search.latency import LatencyTable
from espnet_plugin.search.target import SCRIPT, report, time_kit
from espnet_plugin.search.timing import make_table, measured, symbols_per_second, unseen_subnets

RUNTIMES = ("torch", "onnxruntime")
SECONDS = Bounds(above=0, most=3600, why="longer audio is cut into windows")
SYMBOLS = Bounds(above=0, most=1000, why="no model has so many frames")
THREADS = Bounds(1, os.cpu_count(), why="the cores of this machine")
ROUNDS = Bounds(1, 10_000)
KIT = ("kit.json", SCRIPT)  # what marks a kit made before


def utterance_near(directory: Path, fs: int, seconds: float) -> AudioBatch:
    """The utterance of a Kaldi directory whose length is nearest to `seconds`.

    Raises:
        UserError: see `whole_recordings`.
    """
    paths = whole_recordings(directory)
    key = min(paths, key=lambda key: (abs(len(read_mono(paths[key], fs)) / fs - seconds), key))
    return next(batches({key: paths[key]}, fs))


def compare(
    trained: TrainedModel, table: LatencyTable, batch: AudioBatch, threads: int, rounds: int, count: int
) -> float:
    """Print prediction against measurement of random subnets, run by torch. Returns: median relative error."""
    subnets = unseen_subnets(space_of(trained.model), count)
    found = measured(trained, subnets, batch, threads, rounds)
    blocks = ModelBlocks(trained.model)
    rows = [(str(subnet), table.latency(blocks, subnet, threads), seconds) for subnet, seconds in found.items()]
    return report(rows, threads)


def time_torch(args: argparse.Namespace, trained: TrainedModel, batch: AudioBatch | None, rate: float) -> LatencyTable:
    """Table of ordinary torch layers on this machine, checked where there is an utterance."""
    fs = trained.fs
    seconds = (
        args.seconds if batch is None else max(float(batch.lengths[0]) / fs, shortest_audio(trained.model.encoder))
    )
    table = make_table(trained.model, fs, seconds, sorted(set(args.threads)), args.rounds or 15, rate)
    if batch is not None:
        for threads in table.times:
            compare(trained, table, batch, threads, args.rounds or 15, args.check)
    return table


def time_onnx(args: argparse.Namespace, trained: TrainedModel, rate: float) -> LatencyTable:
    """Table of the graphs that devices run, on this machine, checked with exported subnets."""
    with tempfile.TemporaryDirectory() as folder:
        make_kit(args, trained, rate, Path(folder) / "kit")
        found, _ = time_kit(Path(folder) / "kit", sorted(set(args.threads)), args.rounds or 3)
    return LatencyTable.parse(found)


def make_kit(args: argparse.Namespace, trained: TrainedModel, rate: float, folder: Path) -> None:
    from espnet_plugin.search.kit import write_kit  # needs the extra `export`

    audio = trained.model.encoder.timing_blocks().audio(args.seconds, args.streaming)
    write_kit(folder, trained, audio, args.int8, rate, args.check)


def parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="espnet-todm latency",
        description="Time a supernet's blocks on this machine, or write a kit that times them on a device.",
    )
    add_supernet(parser)
    parser.add_argument(
        "--data", type=Path, help="directory with wav.scp: an utterance to check torch with, and its symbols a second"
    )
    parser.add_argument("--runtime", choices=RUNTIMES, default="torch", help="what runs the blocks (default: torch)")
    parser.add_argument("--int8", action="store_true", help="onnxruntime: quantised, as in 'export --int8'")
    parser.add_argument("--streaming", action="store_true", help="onnxruntime: a chunk of a stream, not an utterance")
    numbers: tuple[tuple[str, type, Bounds, dict], ...] = (
        ("--seconds", float, SECONDS, dict(default=4.0, help="length of an utterance, s (default: 4)")),
        (
            "--symbols_per_second",
            float,
            SYMBOLS,
            dict(default=10.0, help="expected in speech, where --data does not tell"),
        ),
        ("--threads", int, THREADS, dict(nargs="+", help="numbers of threads to time (default: 1)")),
        ("--rounds", int, ROUNDS, dict(help="turns of each block (default: 15, onnxruntime: 3 of 5 runs)")),
        ("--check", int, ROUNDS, dict(default=20, help="subnets to check predictions with (default: 20)")),
    )
    for option, kind, bounds, more in numbers:
        parser.add_argument(option, type=kind, action=Checked, bounds=bounds, **more)
    out = parser.add_mutually_exclusive_group(required=True)
    out.add_argument("--out", type=Path, help="JSON file to write: the table of this machine")
    out.add_argument(
        "--kit", type=Path, help="folder to write: ONNX graphs and a script that makes the table on a device"
    )
    args = parser.parse_args(argv)
    if args.train_config is None and args.icefall_checkpoint is None:
        raise UserError("--train_config: is missing, or --icefall_checkpoint")
    if args.icefall_checkpoint is None and (args.model_file is None) != (args.data is None):
        raise UserError("--model_file and --data: one was given without the other, a check needs both")
    for name in ("int8", "streaming"):
        if getattr(args, name) and args.runtime == "torch" and args.kit is None:
            raise UserError(f"--{name}: needs --runtime onnxruntime or --kit")
    for name in ("threads", "rounds"):
        if getattr(args, name) is not None and args.kit is not None:
            raise UserError(f"--{name}: needs --out; with --kit the script on the device is told so")
    args.threads = args.threads or [1]
    inputs = [
        args.train_config,
        args.model_file,
        args.icefall_checkpoint,
        args.tokens,
        args.data and args.data / "wav.scp",
    ]
    check_places({"--out": args.out, "--kit": args.kit}, inputs, {"--kit": KIT})
    return args


def main(argv: list[str]) -> None:
    args = parse(argv)
    torch.set_num_threads(1)
    rate, batch = args.symbols_per_second, None
    folder = None if args.icefall_checkpoint is None else settle(args)  # noqa: F841 (kept while its files are read)
    if args.model_file is None:
        conf = read_config(args.train_config)
        trained = TrainedModel(build_model(conf).eval(), conf)
    else:
        trained = load_model(args.train_config, args.model_file)
        if args.data is not None:
            batch = utterance_near(kaldi_directory(args.data, whole=True), trained.fs, args.seconds)
            rate = symbols_per_second(trained.model, batch, trained.fs)
    model = trained.model
    space, blocks, least = space_of(model), ModelBlocks(model), shortest_audio(model.encoder)
    if args.seconds < least:
        raise UserError(f"--seconds: {args.seconds} must be at least {least}, what an encoder frame needs")
    if args.kit is not None:
        write_whole(args.kit, lambda folder: make_kit(args, trained, rate, folder), KIT)
        print(f"{args.kit}: copy it to the device and run there: python3 {args.kit.name}/{SCRIPT} --out device.json")
        return
    onnx = args.runtime == "onnxruntime"
    table = time_onnx(args, trained, rate) if onnx else time_torch(args, trained, batch, rate)
    write_text(args.out, table.to_json())
    count = len(next(iter(table.times.values())))
    print(f"{args.out}: {count} blocks on {table.device['processor']}, {table.audio} of {table.audio_seconds:.2f} s")
    space = model.encoder.streaming_space() if args.streaming else space
    for threads in table.times:
        for name, subnet in (("max", space.max), ("min", space.min)):
            latency, factor = (f(blocks, subnet, threads) for f in (table.latency, table.real_time_factor))
            print(f"{threads} threads: {name} net {1e3 * latency:.1f} ms, real-time factor {factor:.4f}")
