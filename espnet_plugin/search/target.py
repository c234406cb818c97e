"""Times the graphs of a kit (see `espnet_plugin.search.kit`) on a device that has Python, numpy and ONNX Runtime, and nothing else of ours.

A copy of this file lies in every kit: python3 time_blocks.py --threads 1 2 --out device.json
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import random
import statistics
import sys
import time
from pathlib import Path

SCRIPT = "time_blocks.py"  # name of this file in a kit
RUNS = 5  # timed ones of a visit


def device_description() -> dict:
    """Machine and software, as far as the system tells."""
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            rows = dict(line.split(":", 1) for line in file if ":" in line)
        rows = {key.strip(): value.strip() for key, value in rows.items()}
        name = rows.get("model name") or rows.get("Model") or name
    except OSError:
        pass
    return {
        "processor": name,
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def clock_for(threads: int):
    """With one thread its CPU time, which other programs on the machine disturb little; else wall time."""
    return time.thread_time if threads == 1 else time.perf_counter


def report(rows: list, threads: int) -> float:
    """Print predictions against measurements. Args: rows: (subnet, predicted s, measured s). Returns: median relative error."""
    errors = []
    for subnet, predicted, measured in sorted(rows, key=lambda row: row[2]):
        errors.append(abs(predicted / measured - 1))
        print(
            f"{1e3 * predicted:9.2f} ms predicted {1e3 * measured:9.2f} ms measured {predicted / measured - 1:+7.1%}  {subnet}"
        )
    error = statistics.median(errors)
    print(f"{threads} threads: median error {error:.1%}, largest {max(errors):.1%}, of {len(errors)} subnets")
    return error


def open_graph(path: Path, threads: int):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def example(shape: list, kind: str):
    """Input of a graph, the same each time. Args: shape; kind: ``noise`` (float), ``frames`` (all frames are valid), ``ones``."""
    import numpy as np

    if kind == "frames":
        return np.array(shape, dtype=np.int64)
    made = np.random.default_rng(0).standard_normal(shape) if kind == "noise" else np.ones(shape)
    return made.astype(np.float32)


def emissions(frames: int, share: float) -> list:
    """Whether a symbol is found at each frame: evenly spread, `share` of them."""
    return [math.floor((t + 1) * share) > math.floor(t * share) for t in range(frames)]


def search(decoder, joiner, frames, emitted: list) -> None:
    """Greedy search as the client does it, one symbol a frame at most, with the symbols where `emitted` says.

    Args:
        decoder, joiner: sessions.
        frames: (T, J) encoder output.
        emitted: see `emissions`.
    """
    import numpy as np

    context, encoder_out, decoder_out = (value.name for value in (*decoder.get_inputs(), *joiner.get_inputs()))
    last = np.zeros((1, decoder.get_inputs()[0].shape[1]), dtype=np.int64)
    (predicted,) = decoder.run(None, {context: last})
    for t, found in enumerate(emitted):
        (logits,) = joiner.run(None, {encoder_out: frames[t : t + 1], decoder_out: predicted})
        symbol = int(logits.argmax())
        if found:
            last = np.concatenate([last[:, 1:], [[symbol]]], axis=1)
            (predicted,) = decoder.run(None, {context: last})


def runnable(folder: Path, job: dict, threads: int):
    """Code of a job of the kit: an encoder or a part of it, then a search, or one of the two."""
    encoder = job.get("graph") and open_graph(folder / job["graph"], threads)
    feed = {name: example(*like) for name, like in job.get("inputs", {}).items()}
    greedy = job.get("search")
    if greedy:
        pair = [open_graph(folder / greedy[part], threads) for part in ("decoder", "joiner")]
        frames = example([greedy["frames"], greedy["width"]], "noise")
        emitted = emissions(greedy["frames"], greedy["share"])

    def run() -> None:
        if encoder:
            encoder.run(None, feed)
        if greedy:
            search(pair[0], pair[1], frames, emitted)

    return run


def time_jobs(folder: Path, jobs: dict, threads: int, rounds: int, what: str) -> dict:
    """Median time of each job, s. All take turns, in another order each round; one is in memory at a time."""
    clock, rng, order, began = clock_for(threads), random.Random(0), list(jobs), time.monotonic()
    taken: dict = {name: [] for name in jobs}
    for turn in range(rounds):
        rng.shuffle(order)
        for i, name in enumerate(order):
            run, repeat = runnable(folder, jobs[name], threads), jobs[name].get("repeat", 1)
            run()
            for _ in range(RUNS):
                start = clock()
                for _ in range(repeat):
                    run()
                taken[name].append((clock() - start) / repeat)
            if sys.stderr.isatty():
                done = (turn * len(order) + i + 1) / (rounds * len(order))
                left = (time.monotonic() - began) * (1 - done) / done
                print(f"\r{what}, {threads} threads: {done:4.0%}, {left:.0f} s left ", end="", file=sys.stderr)
    if sys.stderr.isatty():
        print(file=sys.stderr)
    return {name: statistics.median(times) for name, times in taken.items()}


def time_kit(folder: Path, threads: list, rounds: int) -> tuple:
    """Time a kit's graphs.

    Args:
        folder: with kit.json; threads: numbers of threads; rounds: visits to each graph, `RUNS` timed runs each.

    Returns:
        content of the table (see `espnet_plugin.search.latency.LatencyTable`), and threads -> median relative error of predictions.
    """
    import onnxruntime

    kit = json.loads((folder / "kit.json").read_text())
    times, errors, seconds = {}, {}, kit["table"]["audio_seconds"]
    for count in threads:
        jobs = {**kit["jobs"], **{f"check {check['subnet']}": check["job"] for check in kit["checks"]}}
        taken = time_jobs(folder, jobs, count, rounds, "timing graphs")
        # Noise must not make a block that takes nearly no time take less than none.
        found = {
            block: max(0.0, sum(weight * taken[job] for job, weight in terms)) for block, terms in kit["blocks"].items()
        }
        times[count] = {block: float(f"{value:.4g}") for block, value in found.items()}
        rows = [
            (
                check["subnet"],
                sum(weight * times[count][block] for block, weight in check["blocks"]),
                taken[f"check {check['subnet']}"],
            )
            for check in kit["checks"]
        ]
        if rows:
            errors[count] = report(rows, count)
            slowest = max(row[2] for row in rows)
            print(f"slowest of them: {1e3 * slowest:.2f} ms, real-time factor {slowest / seconds:.4f}")
    device = {**device_description(), "onnxruntime": onnxruntime.__version__}
    runtime = f"onnxruntime {onnxruntime.__version__}{' int8' if kit['int8'] else ''}"
    return {**kit["table"], "device": device, "runtime": runtime, "times": times}, errors


def main() -> None:
    parser = argparse.ArgumentParser(description="Time the graphs beside this file; write the table that choose reads.")
    parser.add_argument("--threads", type=int, nargs="+", default=[1], help="numbers of threads to time (default: 1)")
    parser.add_argument("--rounds", type=int, default=3, help="visits to each graph (default: 3)")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    args = parser.parse_args()
    if min(*args.threads, args.rounds) < 1:
        sys.exit("error: --threads and --rounds must be at least 1")
    try:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        if args.out.is_dir():
            sys.exit(f"error: --out: '{args.out}' is a folder, must be the name of a file")
        temporary = args.out.with_name(f".{args.out.name}.tmp")
        temporary.touch()
        temporary.unlink()
    except OSError as error:
        sys.exit(f"error: --out: '{args.out}' cannot be written: '{error.filename}': {error.strerror}")
    table, _ = time_kit(Path(__file__).resolve().parent, sorted(set(args.threads)), args.rounds)
    temporary.write_text(json.dumps(table, indent=1) + "\n")
    temporary.replace(args.out)
    print(f"written: {args.out}, {len(next(iter(table['times'].values())))} blocks on {table['device']['processor']}")


if __name__ == "__main__":
    main()
