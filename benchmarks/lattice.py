"""Time and peak memory of the transducer losses and of distillation on the lattice.

    python benchmarks/lattice.py [--threads 1 2] [--rounds 5] [--full_rounds 2] [--device cpu] [--clock wall] [--k2_python PATH]
        [--shapes 8,400,60,500 ...]

Every variant is a process of its own, so that its memory is its own; the processes take turns, so that whatever else the machine does
falls on all. A round is forward and backward, with the joiner (width 512, prune range 5). Memory is the peak of a round above what the
process held before its first one, inputs and loaded code included. Medians are reported; ratios are medians of the rounds' ratios. The
full loss, which takes most of the time, sits out the rounds after its `--full_rounds`.
`--clock cpu` counts processor time, divided by threads: for a machine that does other work too. `--k2_python` is the Python of an
environment with k2. The last line is one JSON object: the worst shape's value of each figure, and all of them under `table`.
"""

from __future__ import annotations  # k2's environment runs this file too, with Python 3.9

import argparse
import json
import statistics
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import torch

SHAPES = ("8,400,60,500", "16,250,40,500", "4,800,120,500")
WIDTH, RANGE = 512, 5
# full: torchaudio on the whole lattice. pruned: simple loss, ranges, joiner on the kept cells. subnet: the same with a teacher's ranges, as
# every net of a step but the max net. The others are a subnet with distillation besides. All but the two by Triton and by k2 itself run the
# lattice over anti-diagonals, also where k2 imports.
VARIANTS = {
    "full": "full loss",
    "pruned": "pruned loss",
    "pruned_triton": "pruned loss, the lattice by Triton (on a GPU)",
    "pruned_k2": "pruned loss, k2",
    "subnet": "pruned loss, ranges given",
    "subnet_distilled": "the same and distillation",
    "subnet_three_way": "the same and distillation, three-way",
}
RATIOS = {
    "triton_over_torch_time": ("pruned_triton", "pruned"),
    "pruned_over_full_time": ("pruned", "full"),
    "pruned_over_k2_time": ("pruned", "pruned_k2"),
    "distill_over_loss_time": ("subnet_distilled", "subnet"),
    "three_way_over_loss_time": ("subnet_three_way", "subnet"),
}


def ours(variant: str, B: int, T: int, U: int, V: int, device: str):
    """A function that runs one round of the plugin's code."""
    from espnet2.asr_transducer.joint_network import JointNetwork

    from espnet_plugin.transducer.distill import DistillConf
    from espnet_plugin.transducer.loss import Targets, TransducerConf, TransducerCriterion, distillation_cost

    loss = "full" if variant == "full" else "pruned"
    conf = TransducerConf(loss=loss, prune_range=RANGE, backend="triton" if variant == "pruned_triton" else "torch")
    criterion = TransducerCriterion(conf, WIDTH, WIDTH, V, 0).to(device)
    joint = JointNetwork(V, WIDTH, WIDTH, WIDTH).to(device)
    encoder_out = torch.randn(B, T, WIDTH, device=device).requires_grad_()
    decoder_out = torch.randn(B, U + 1, WIDTH, device=device).requires_grad_()
    lengths = torch.full((B,), T, device=device), torch.full((B,), U, device=device)
    labels = torch.randint(1, V, (B, U), device=device)

    def lattice(encoder_out, ranges=None):
        simple_lm = criterion.simple_lm(decoder_out) if loss == "pruned" and ranges is None else None
        targets = Targets(labels, lengths[1], joint.lin_dec(decoder_out), simple_lm)
        return criterion(encoder_out, lengths[0], targets, joint, ranges)

    teacher = None
    if variant.startswith("subnet"):
        with torch.no_grad():
            teacher = lattice(encoder_out + 0.3 * torch.randn_like(encoder_out))
    conf = DistillConf(form="three_way" if variant == "subnet_three_way" else "full_vocabulary")

    def step():
        net = lattice(encoder_out, None if teacher is None else teacher.ranges)
        cost = net.cost.sum()
        if net.simple_cost is not None:
            cost = cost + net.simple_cost.sum()
        if variant in ("subnet_distilled", "subnet_three_way"):
            cost = cost + distillation_cost(teacher, net, labels, conf, 0).sum()
        cost.backward()

    return step


def by_k2(B: int, T: int, U: int, V: int, device: str):
    """The same layers and sizes with k2's pruned loss."""
    import k2

    encoder_out = torch.randn(B, T, WIDTH, device=device).requires_grad_()
    decoder_out = torch.randn(B, U + 1, WIDTH, device=device).requires_grad_()
    labels = torch.randint(1, V, (B, U), device=device)
    boundary = torch.tensor([[0, 0, U, T]] * B, device=device)
    simple_am, simple_lm, out = (torch.nn.Linear(WIDTH, V).to(device) for _ in range(3))
    lin_enc, lin_dec = torch.nn.Linear(WIDTH, WIDTH).to(device), torch.nn.Linear(WIDTH, WIDTH, bias=False).to(device)
    problem = dict(symbols=labels, termination_symbol=0, boundary=boundary, reduction="sum")

    def step():
        am, lm = simple_am(encoder_out), simple_lm(decoder_out)
        simple, (px, py) = k2.rnnt_loss_smoothed(
            lm=lm, am=am, lm_only_scale=0.25, am_only_scale=0.0, return_grad=True, **problem
        )
        ranges = k2.get_rnnt_prune_ranges(px, py, boundary, RANGE)
        am, lm = k2.do_rnnt_pruning(lin_enc(encoder_out), lin_dec(decoder_out), ranges)
        (simple + k2.rnnt_loss_pruned(logits=out(torch.tanh(am + lm)), ranges=ranges, **problem)).backward()

    return step


def held() -> tuple[int, int]:
    """Bytes of memory that this process has now, and the most since the last reset (Linux)."""
    rows = dict(row.split(":", 1) for row in Path("/proc/self/status").read_text().splitlines())
    return tuple(1024 * int(rows[key].split()[0]) for key in ("VmRSS", "VmHWM"))


def work(variant: str, shape: str, threads: int, device: str) -> None:
    """A variant's process: a round for every line that comes in, its time and memory as a line that goes out."""
    torch.manual_seed(0)
    torch.set_num_threads(threads)
    sizes = [int(x) for x in shape.split(",")]
    build = by_k2 if variant == "pruned_k2" else partial(ours, variant)
    build(2, 8, 6, sizes[-1], device)()  # loads what code is loaded late
    step = build(*sizes, device)
    before = held()[0] if device == "cpu" else torch.cuda.memory_allocated()
    for _ in sys.stdin:
        if device == "cpu":
            Path("/proc/self/clear_refs").write_text("5")  # the most so far := now
        else:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
        wall, cpu = time.perf_counter(), time.process_time()
        step()
        if device != "cpu":
            torch.cuda.synchronize()
        wall, cpu = time.perf_counter() - wall, (time.process_time() - cpu) / threads
        peak = held()[1] if device == "cpu" else torch.cuda.max_memory_allocated()
        print(json.dumps({"wall": wall, "cpu": cpu, "peak_mb": (peak - before) / 1e6}), flush=True)


def measure(
    variants: dict[str, str], shape: str, threads: int, device: str, rounds: dict[str, int]
) -> dict[str, list[dict]]:
    """Rounds of all variants in turn; the first round warms up and is not kept.

    Args:
        variants: name -> Python to run it.
        rounds: name -> how many are kept.
    """
    words = ["--shapes", shape, "--threads", str(threads), "--device", device]
    processes = {
        name: subprocess.Popen(
            [python, __file__, "--work", name, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for name, python in variants.items()
    }
    found = {name: [] for name in variants}
    for turn in range(max(rounds.values()) + 1):
        for name, process in processes.items():
            if turn > rounds[name]:
                continue
            print(file=process.stdin, flush=True)
            line = process.stdout.readline()
            if not line:
                raise RuntimeError(f"the process of {name} ended")
            found[name].append(json.loads(line))
            print(f"  {shape} {threads} threads, {name}: {line.strip()}", file=sys.stderr)
    for process in processes.values():
        process.stdin.close()
        process.wait()
    return {name: values[1:] for name, values in found.items()}


def ratio(found: dict[str, list[dict]], key: str, above: str, below: str) -> float | None:
    if above not in found or below not in found:
        return None
    return statistics.median(a[key] / b[key] for a, b in zip(found[above], found[below]))


def figures(found: dict[str, list[dict]], clock: str) -> dict[str, float | None]:
    """Ratios of one shape; what distillation adds is counted above the loss itself."""
    out = {name: ratio(found, clock, *pair) for name, pair in RATIOS.items()}
    for name in ("distill_over_loss_time", "three_way_over_loss_time"):
        out[name] = None if out[name] is None else out[name] - 1.0
    out["pruned_over_full_memory"] = ratio(found, "peak_mb", "pruned", "full")
    return {name: None if value is None else round(value, 4) for name, value in out.items()}


def main(args: argparse.Namespace) -> dict:
    chosen = [name for name in args.variants if args.device == "cuda" or name != "pruned_triton"]
    variants = {name: args.k2_python if name == "pruned_k2" else sys.executable for name in chosen}
    variants = {name: python for name, python in variants.items() if python}
    rounds = {name: min(args.rounds, args.full_rounds) if name == "full" else args.rounds for name in variants}
    table = []
    for threads in args.threads:
        for shape in args.shapes:
            found = measure(variants, shape, threads, args.device, rounds)
            row = {"shape": shape, "threads": threads, "device": args.device}
            for name, values in found.items():
                row[f"{name}_ms"] = round(1e3 * statistics.median(x[args.clock] for x in values), 1)
                row[f"{name}_mb"] = round(statistics.median(x["peak_mb"] for x in values))
            table.append(row | figures(found, args.clock))
    names = ["shape", "threads", *(f"{name}_{unit}" for name in variants for unit in ("ms", "mb"))]
    print("| " + " | ".join(names) + " |\n" + "|---" * len(names) + "|")
    for row in table:
        print("| " + " | ".join(str(row[name]) for name in names) + " |")
    worst = {}
    for name in (*RATIOS, "pruned_over_full_memory"):
        values = [row[name] for row in table if row[name] is not None]
        worst[name] = max(values, default=None)
    return worst | {
        "device": args.device,
        "clock": args.clock,
        "rounds": rounds,
        "torch": torch.__version__,
        "table": table,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shapes", nargs="+", default=SHAPES, help="B,T,U,V")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds, after one that warms up")
    parser.add_argument("--full_rounds", type=int, default=2, help="the same of the full loss")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--clock", default="wall", choices=["wall", "cpu"])
    parser.add_argument("--k2_python", help="Python of an environment with k2, left out without")
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--work", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        work(arguments.work, arguments.shapes[0], arguments.threads[0], arguments.device)
    else:
        print(json.dumps(main(arguments)))
