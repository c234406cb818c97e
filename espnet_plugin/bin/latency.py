"""Verb ``latency``: times a supernet's blocks on this device, so that the time of any subnet can be predicted."""

import argparse
import random
import statistics
from pathlib import Path

import torch

from espnet_plugin.asr.data import AudioBatch, batches, read_audio, read_table
from espnet_plugin.asr.extract import space_of
from espnet_plugin.asr.files import write_whole
from espnet_plugin.asr.loading import load_model, read_config
from espnet_plugin.asr.recognise import sampling_rate
from espnet_plugin.asr.task import TODMTask
from espnet_plugin.errors import UserError
from espnet_plugin.search.latency import LatencyTable
from espnet_plugin.search.timing import make_table, measured, symbols_per_second


def utterance_near(directory: Path, fs: int, seconds: float) -> AudioBatch:
    """The utterance of a Kaldi directory whose length is nearest to `seconds`.

    Raises:
        UserError: the directory has no audio.
    """
    paths = read_table(directory / "wav.scp")
    if not paths:
        raise UserError(f"--data: '{directory}/wav.scp' has no utterance")
    key = min(paths, key=lambda key: (abs(len(read_audio(paths[key], fs)) / fs - seconds), key))
    return next(batches({key: paths[key]}, fs))


def compare(model, args, table: LatencyTable, batch: AudioBatch, threads: int, rounds: int, count: int) -> float:
    """Print prediction against measurement of random subnets. Returns: median relative error."""
    fs, rng, space = sampling_rate(args), random.Random(0), space_of(model)
    subnets = list(dict.fromkeys(space.sample(rng) for _ in range(count)))
    found = measured(model, args, subnets, batch, fs, threads, rounds)
    errors = []
    for subnet, seconds in sorted(found.items(), key=lambda item: item[1]):
        predicted = table.latency(subnet, threads)
        errors.append(abs(predicted / seconds - 1))
        print(
            f"{1e3 * predicted:9.2f} ms predicted {1e3 * seconds:9.2f} ms measured {predicted / seconds - 1:+7.1%}  {subnet}"
        )
    error = statistics.median(errors)
    print(f"{threads} threads: median error {error:.1%}, largest {max(errors):.1%}, of {len(errors)} subnets")
    return error


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="espnet-todm latency", description="Time a supernet's blocks on this device; run it on the device."
    )
    parser.add_argument("--train_config", type=Path, required=True, help="config.yaml of the supernet")
    parser.add_argument(
        "--model_file", type=Path, help="checkpoint; with --data, predictions are checked against measurements"
    )
    parser.add_argument(
        "--data", type=Path, help="directory with wav.scp: an utterance to check with, and its symbols a second"
    )
    parser.add_argument("--seconds", type=float, default=4.0, help="length of an utterance, s (default: 4)")
    parser.add_argument(
        "--symbols_per_second", type=float, default=10.0, help="expected in speech, where --data does not tell"
    )
    parser.add_argument("--threads", type=int, nargs="+", default=[1], help="numbers of threads to time (default: 1)")
    parser.add_argument("--rounds", type=int, default=15, help="times that each block is timed (default: 15)")
    parser.add_argument("--check", type=int, default=20, help="subnets to check predictions with (default: 20)")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    args = parser.parse_args(argv)
    for name in ("seconds", "rounds", "symbols_per_second", "check"):
        if getattr(args, name) <= 0:
            raise UserError(f"--{name}: {getattr(args, name)} must be above 0")
    if min(args.threads) < 1:
        raise UserError(f"--threads: {min(args.threads)} must be at least 1")
    if (args.model_file is None) != (args.data is None):
        raise UserError("--model_file and --data: one was given without the other, a check needs both")
    torch.set_num_threads(1)
    seconds, rate, batch = args.seconds, args.symbols_per_second, None
    if args.model_file is None:
        train_args = read_config(args.train_config)
        model = TODMTask.build_model(train_args).eval()
    else:
        model, train_args = load_model(args.train_config, args.model_file)
        fs = sampling_rate(train_args)
        batch = utterance_near(args.data, fs, seconds)
        seconds, rate = float(batch.lengths[0]) / fs, symbols_per_second(model, batch, fs)
    space_of(model)
    table = make_table(model, sampling_rate(train_args), seconds, sorted(set(args.threads)), args.rounds, rate)
    if batch is not None:
        for threads in table.times:
            compare(model, train_args, table, batch, threads, args.rounds, args.check)
    write_whole(args.out, lambda path: path.write_text(table.to_json()))
    count = len(next(iter(table.times.values())))
    print(f"{args.out}: {count} blocks on {table.device['processor']}, an utterance of {seconds:.2f} s")
    for threads in table.times:
        largest, smallest = (1e3 * table.latency(net, threads) for net in (space_of(model).max, space_of(model).min))
        print(f"{threads} threads: max net {largest:.1f} ms, min net {smallest:.1f} ms")
