"""A training step on a real GPU: time, how much of it the device works, kernels, waits of the host, memory; and against its own parts.

    python benchmarks/gpu.py [--rows mini mobile mobile_x8 mobile_x32 paper] [--rounds 10] [--device cuda] [--record FILE]

The step is that of the training loop (max, min and random nets, distillation, clipping, ScaledAdam), on noise. For each row:

- `step_ms`, `plain_ms`: median of a TODM step and of a step of the max net alone, which take turns; `step_over_plain` is the median of the
  pairs' ratios, `audio_s_a_second` the speech that TODM steps see in a second;
- `kernels`, `copies`, `device_ms`: what torch's profiler saw the device do in one TODM step, and how long; `device_share` of `step_ms`;
- `waits`: operations in which torch says that the host waited for the device; `waiting` names their lines;
- `amp_ms`: the step under bfloat16 autocast; `torch_lattice_ms`: with the lattice by torch's operations in place of Triton's kernels;
- `peak_gb`: memory of tensors at its peak in a step, 10^9 bytes.

The last line is one JSON object.
"""

import argparse
import json
import statistics
import time
import warnings
from copy import deepcopy
from pathlib import Path

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from espnet_plugin.asr.training.launches import train_step
from espnet_plugin.asr.training.task import TODMTask
from espnet_plugin.asr.training.workload import arguments, noise, synchronise
from espnet_plugin.common.compose import compose

CONF = Path(__file__).parents[1] / "conf"
# row -> configuration, vocabulary, utterances, seconds and symbols of each
ROWS = {
    "mini": ("mini", 100, 8, 5.0, 25),
    "mobile": ("mobile", 500, 2, 15.0, 60),
    "mobile_x8": ("mobile", 500, 16, 15.0, 60),
    "mobile_x32": ("mobile", 500, 64, 15.0, 60),
    "paper": ("paper", 500, 1, 30.0, 120),
    "paper_x16": ("paper", 500, 32, 15.0, 60),
}
WARM_UP = 3  # steps, in which kernels are compiled and memory is asked for


def alone(conf: dict) -> dict:
    """The same with the max net only, which nobody teaches and which teaches nobody."""
    conf = deepcopy(conf)
    space = conf["encoder_conf"]["search_space"]
    conf["encoder_conf"]["search_space"] = {"ffn_dims": space["ffn_dims"][-1:]}
    return conf


def with_lattice(conf: dict, backend: str) -> dict:
    model = conf["model_conf"]
    transducer = model.get("transducer_conf", {}) | {"backend": backend}
    return conf | {"model_conf": model | {"transducer_conf": transducer}}


class Training:
    """A model, its optimizer and a batch on the device.

    Args:
        row: of `ROWS`.
        change: of its configuration.
        amp: bfloat16 autocast.
    """

    def __init__(self, row: str, device: str, change=lambda conf: conf, amp: bool = False):
        name, vocabulary, *sizes = ROWS[row]
        torch.manual_seed(0)
        args = arguments(change(compose(CONF / name / "supernet.yaml")), vocabulary)
        self.model = TODMTask.build_model(args).to(device).train()
        self.optimizer = TODMTask.build_optimizers(args, self.model)[0]
        self.batch = noise(vocabulary, self.model.frontend.fs, *sizes).to(torch.device(device))
        self.device, self.amp = device, amp
        for _ in range(WARM_UP):
            self.step()

    def step(self) -> float:
        """Returns: ms."""
        synchronise(self.device)
        began = time.perf_counter()
        train_step(self.model, self.optimizer, self.batch, self.amp)
        synchronise(self.device)
        return 1e3 * (time.perf_counter() - began)


def observe(training: Training) -> dict:
    """What the device does in one step, and where the host waits for it in another."""
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiled:
        training.step()
    done = [e for e in profiled.events() if e.device_type == DeviceType.CUDA and not e.is_user_annotation]
    copies = [event for event in done if event.name.startswith(("Memcpy", "Memset"))]
    torch.cuda.set_sync_debug_mode("warn")
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        train_step(training.model, training.optimizer, training.batch, training.amp)
    torch.cuda.set_sync_debug_mode("default")
    waiting = [f"{Path(w.filename).name}:{w.lineno}" for w in seen if "synchronizing" in str(w.message)]
    return {
        "kernels": len(done) - len(copies),
        "copies": len(copies),
        "device_ms": round(sum(event.device_time for event in done) / 1e3, 2),
        "waits": len(waiting),
        "waiting": sorted(set(waiting)),
    }


def median(times: list[float]) -> float:
    return round(statistics.median(times), 2)


def measure(row: str, device: str, rounds: int) -> dict:
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    ours, plain = Training(row, device), Training(row, device, alone)
    pairs = [(ours.step(), plain.step()) for _ in range(rounds)]
    found = {
        "step_ms": median([a for a, _ in pairs]),
        "plain_ms": median([b for _, b in pairs]),
        "step_over_plain": round(statistics.median(a / b for a, b in pairs), 3),
    }
    _, _, utterances, seconds, _ = ROWS[row]
    found["audio_s_a_second"] = round(utterances * seconds / found["step_ms"] * 1e3)
    del plain
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        ours.step()
        found["peak_gb"] = round(torch.cuda.max_memory_allocated() / 1e9, 2)
        found |= observe(ours)
        found["device_share"] = round(found["device_ms"] / found["step_ms"], 3)
    for key, change, amp in (
        ("amp_ms", lambda conf: conf, True),
        ("torch_lattice_ms", lambda conf: with_lattice(conf, "torch"), False),
    ):
        other = Training(row, device, change, amp)
        found[key] = median([other.step() for _ in range(rounds)])
        del other
    return found


def main(args: argparse.Namespace) -> dict:
    card = torch.cuda.get_device_name() if args.device == "cuda" else "CPU"
    found = {"card": card, "torch": torch.__version__, "rounds": args.rounds, "rows": {}}
    for row in args.rows:
        found["rows"][row] = measure(row, args.device, args.rounds)
        print(row, json.dumps(found["rows"][row]), flush=True)
    if args.record:
        args.record.write_text(json.dumps(found, indent=1) + "\n")
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=list(ROWS))
    parser.add_argument("--rounds", type=int, default=10, help="timed steps of each kind")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--record", type=Path, help="file for the figures")
    print(json.dumps(main(parser.parse_args())))
