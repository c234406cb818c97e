"""Verb ``plan``: what training a supernet, and its sizes one by one, will cost, before it is paid."""

import argparse
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from espnet_plugin.common.bounds import Bounds, Checked, shown
from espnet_plugin.common.compose import compose
from espnet_plugin.common.conf import is_of
from espnet_plugin.common.files import check_places, write_json
from espnet_plugin.common.rate import hertz
from espnet_plugin.errors import UserError

# Dense matrix products of NVIDIA's data sheets, 10^12 operations a second (bfloat16; V100: float16), and memory, 10^9 bytes.
GPUS = {
    "v100": (125, 32),
    "a100": (312, 80),
    "h100": (989, 80),
    "h200": (989, 141),
    "l40s": (362, 48),
    "rtx3090": (71, 24),
    "rtx4090": (165, 24),
}
VOCABULARY = Bounds(4, 1_114_112, why="all characters of Unicode")
COUNT = Bounds(1, 10**12)
HOURS = Bounds(above=0, most=1e8, why="longer than people have been recorded")
NUM_GPUS = Bounds(1, 1_000_000)
SPEED = Bounds(0.1, 10)
SPEEDS = "0.9 1.0 1.1"
# Of the host, for an operation of a step: 57 to 65 microseconds beside an H100 (docs/training.md).
LAUNCH_SECONDS = 60e-6


@dataclass(frozen=True)
class Job:
    """One training job of the plan.

    Args:
        name: of the configuration.
        params: of the model.
        updates_per_epoch, epochs: of the job.
        audio_hours: speech seen in all.
        tera_macs: multiply-adds of the job, forward and backward, 10^12.
        utilisation: share of the GPU's matrix rate that is assumed.
        gpu_hours: all GPUs together.
        memory_gb: of a GPU, 10^9 bytes; only weights and optimizer where no step was measured.
        launches, waits: operations that a step (one batch, on one GPU) starts, and times that its host waits for the GPU, counted on a
            simulated one.
        launch_seconds, arithmetic_seconds: of a step, which takes at least the longer of the two.
    """

    name: str
    params: int
    updates_per_epoch: int
    epochs: int
    audio_hours: float
    tera_macs: float
    utilisation: float
    gpu_hours: float
    memory_gb: float
    launches: int
    waits: int
    launch_seconds: float
    arithmetic_seconds: float


def audio_seconds(hours: float, speeds: list[float]) -> float:
    """Seconds of speech in an epoch; at speed s a recording lasts 1 / s as long."""
    return 3600 * hours * sum(1 / speed for speed in speeds)


def plan(name: str, conf: dict, options: argparse.Namespace) -> Job:
    """Plan one job.

    Raises:
        UserError: a configuration without ``batch_type: numel``, or with a number that is none or too small.
    """
    from espnet_plugin.asr.training import workload as work
    from espnet_plugin.asr.training.launches import count_apart

    if conf.get("batch_type") != "numel":
        raise UserError(f"--config: {name} must set batch_type: numel, batch_bins and max_epoch")
    for key in ("batch_bins", "max_epoch", "accum_grad", "num_iters_per_epoch"):
        value: Any = conf.get(key)
        needed = key in ("batch_bins", "max_epoch")
        if (needed or value is not None) and not (is_of(value, int) and value in COUNT):
            raise UserError(f"--config: {name}: {key}: {shown(value)} must be an integer {COUNT}")
    counted = work.count(conf, options.vocabulary)
    fs = hertz((conf.get("frontend_conf") or {}).get("fs", 16000))
    update_seconds = conf["batch_bins"] * (conf.get("accum_grad") or 1) / fs
    if options.stats is not None:
        updates = work.updates_per_epoch(conf, options.stats)
    else:
        updates = math.ceil(audio_seconds(options.hours, options.speeds) / update_seconds)
    updates = conf.get("num_iters_per_epoch") or updates
    seconds = updates * update_seconds * conf["max_epoch"]
    activations, utilisation = 0.0, options.utilisation
    if utilisation is None:
        measured = work.measure(conf, options.vocabulary, options.measured_seconds)
        activations, utilisation = measured.activation_bytes, min(measured.utilisation, 1.0)
    operations = 2 * counted.step_macs * seconds  # an operation is a multiplication or an addition
    counts = count_apart(conf, options.vocabulary)
    step_seconds = conf["batch_bins"] / fs / options.num_gpus
    rate = options.tera_ops * 1e12 * utilisation
    memory = work.STATE_BYTES * counted.params
    memory += activations * conf["batch_bins"] / fs / options.num_gpus
    return Job(
        name=name,
        params=counted.params,
        updates_per_epoch=updates,
        epochs=conf["max_epoch"],
        audio_hours=round(seconds / 3600, 1),
        tera_macs=round(operations / 2e12, 1),
        utilisation=round(utilisation, 4),
        gpu_hours=operations / rate / 3600,
        memory_gb=round(memory / 1e9, 2),
        launches=counts["launches"],
        waits=counts["waits"],
        launch_seconds=LAUNCH_SECONDS * counts["launches"],
        arithmetic_seconds=2 * counted.step_macs * step_seconds / rate,
    )


def table(jobs: list[Job]) -> str:
    """Markdown: supernet, individual jobs, their sum, the ratio."""
    lines = [
        "| job | parameters | updates an epoch | epochs | hours of audio | 10^15 multiply-adds "
        "| launches, waits a step | GPU-hours | GB a GPU |",
        "|---|" + "---:|" * 8,
    ]
    for job in jobs:
        cells = [job.name, f"{job.params / 1e6:.1f} M", f"{job.updates_per_epoch:,}", job.epochs]
        cells += [f"{job.audio_hours:,.0f}", f"{job.tera_macs / 1e3:,.1f}", f"{job.launches:,}, {job.waits}"]
        cells += [f"{job.gpu_hours:,.3g}", job.memory_gb]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    first, *others = jobs
    if others:
        total = sum(job.gpu_hours for job in others)
        lines.append(f"| all individual jobs | | | | | | | {total:,.3g} | |")
        lines.append(f"| supernet / all individual jobs | | | | | | | {first.gpu_hours / total:.2f} | |")
    return "\n".join(lines)


def parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="espnet-todm plan", description="What training will cost.")
    parser.add_argument("--config", type=Path, help="supernet's configuration")
    parser.add_argument(
        "--icefall_checkpoint",
        type=Path,
        help="in place of --config: of a supernet in icefall's training, exp/epoch-1.pt",
    )
    parser.add_argument("--tokens", type=Path, help="icefall's tokens.txt")
    parser.add_argument("--individual", type=Path, nargs="*", default=[], help="configurations of the sizes")
    parser.add_argument(
        "--vocabulary", type=int, default=500, action=Checked, bounds=VOCABULARY, help="tokens (default: 500)"
    )
    parser.add_argument(
        "--hours", type=float, action=Checked, bounds=HOURS, help="speech of the corpus (default: LibriSpeech's)"
    )
    parser.add_argument("--speeds", help=f"speed perturbation, the factors of an epoch (default: '{SPEEDS}')")
    parser.add_argument(
        "--stats", type=Path, help="DUMPDIR/stats/NAME of stage 4: exact updates an epoch, in place of --hours"
    )
    parser.add_argument("--gpu", choices=GPUS, default="a100", help="kind of GPU (default: a100)")
    parser.add_argument(
        "--num_gpus", type=int, default=8, action=Checked, bounds=NUM_GPUS, help="of all nodes together (default: 8)"
    )
    parser.add_argument(
        "--utilisation",
        type=float,
        action=Checked,
        bounds=Bounds(above=0, most=1),
        help="share of the GPU's matrix rate; without it a step is measured",
    )
    parser.add_argument(
        "--measured_seconds",
        type=float,
        action=Checked,
        bounds=Bounds(above=0, most=3600),
        help="audio of the measured step (default: 10)",
    )
    parser.add_argument("--out", type=Path, help="JSON file to write")
    args = parser.parse_args(argv)
    args.tera_ops, args.gpu_memory = GPUS[args.gpu]
    if (args.config is None) == (args.icefall_checkpoint is None):
        raise UserError("plan needs --config, or --icefall_checkpoint and --tokens")
    if args.icefall_checkpoint is not None and args.tokens is None:
        raise UserError("--tokens: is needed with --icefall_checkpoint, icefall's tokens.txt")
    for name, against in (("hours", "stats"), ("speeds", "stats"), ("measured_seconds", "utilisation")):
        if getattr(args, name) is not None and getattr(args, against) is not None:
            raise UserError(f"--{name}: does nothing beside --{against}, give one of them")
    args.hours, args.measured_seconds = args.hours or 960.9, args.measured_seconds or 10.0
    args.speeds = factors(SPEEDS if args.speeds is None else args.speeds)
    names = [file.stem for file in args.individual]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"--individual: two configurations are called '{name}', must have different names")
    check_places({"--out": args.out}, [args.config, args.icefall_checkpoint, args.tokens, *args.individual])
    return args


def factors(text: str) -> list[float]:
    """Factors of speed.

    Raises:
        UserError: none, or one that nobody could hear.
    """
    try:
        found = [float(word) for word in text.split()]
    except ValueError:
        found = []
    if not found:
        raise UserError(f"--speeds: '{text}' must be factors such as '{SPEEDS}'")
    return [SPEED.check("--speeds", one) for one in found]


def in_icefall(args: argparse.Namespace) -> dict:
    """Configuration of a supernet in icefall's training, whose ``--max-duration`` is of each GPU.

    Raises:
        UserError: see `icefall.checkpoint`.
    """
    from espnet_plugin.icefall.checkpoint import read_checkpoint, read_tokens, to_espnet, training_conf

    saved = read_checkpoint(args.icefall_checkpoint)
    conf, _ = to_espnet(saved, saved["model"], read_tokens(args.tokens), None)
    return conf | training_conf(saved, args.num_gpus)


def main(argv: list[str]) -> None:
    args = parse(argv)
    individual = [(file.stem, compose(file)) for file in args.individual]  # a mistake shows before anything is measured
    if args.config is None:
        supernet = in_icefall(args)
        args.vocabulary = len(supernet["token_list"])
    else:
        supernet = compose(args.config)
    jobs = [plan(name, conf, args) for name, conf in [("supernet", supernet), *individual]]
    print(f"{args.num_gpus} {args.gpu}: {args.tera_ops} * 10^12 operations a second and {args.gpu_memory} GB each\n")
    print(table(jobs))
    how = "given" if args.utilisation is not None else "measured here"
    shares = ", ".join(f"{job.name} {job.utilisation:.0%}" for job in jobs)
    print(
        f"\nUtilisation of the matrix rate, {how}: {shares}. GPU-hours are those at this utilisation on the GPU: run the plan on the GPU"
    )
    print("itself for a utilisation that is its own. Time for data, validation and waiting of workers comes on top.")
    if args.utilisation is not None:
        print(
            "Memory is that of weights, gradients and optimizer alone: activations are measured without --utilisation."
        )
    print(
        "Launches are operations that a step of one GPU starts, waits those of its host, counted on a simulated GPU; "
        f"{1e6 * LAUNCH_SECONDS:.0f} microseconds are assumed for each."
    )
    for job in jobs:
        if job.launch_seconds > job.arithmetic_seconds:
            print(
                f"WARNING: {job.name}: starting a step's {job.launches:,} operations takes about {1e3 * job.launch_seconds:.0f} ms, its "
                f"arithmetic {1e3 * job.arithmetic_seconds:.0f} ms: the GPU will wait for its host, raise batch_bins or take fewer GPUs"
            )
        if job.memory_gb > args.gpu_memory:
            print(
                f"WARNING: {job.name} needs {job.memory_gb} GB a GPU: lower batch_bins and raise accum_grad by the same factor"
            )
    if args.out is not None:
        write_json(args.out, [asdict(job) for job in jobs])
