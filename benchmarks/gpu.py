"""A training step on a real GPU: time, how much of it the device works, kernels, waits of the host, memory; and against its own parts.

    python benchmarks/gpu.py [--rows mini mobile mobile_x8 mobile_x32 paper paper_x16] [--rounds 10] [--device cuda] [--record FILE]

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
from collections.abc import Sequence
from pathlib import Path

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile
from training_step import max_net_only, median_ratio

from espnet_plugin.asr.training.launches import host_waits, train_step
from espnet_plugin.asr.training.task import TODMTask
from espnet_plugin.asr.training.workload import arguments, noise, synchronise
from espnet_plugin.common.compose import compose, merge
from espnet_plugin.common.files import write_json

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
TORCH_LATTICE = {"model_conf": {"transducer_conf": {"backend": "torch"}}}
WARM_UP = 3  # steps, in which kernels are compiled and memory is asked for


class Training:
    """A model, its optimizer and a batch on the device.

    Args:
        conf: configuration.
        vocabulary: tokens.
        sizes: of a batch: utterances, seconds and symbols of each.
        amp: bfloat16 autocast.
    """

    def __init__(self, conf: dict, vocabulary: int, sizes: list, device: str, amp: bool = False):
        torch.manual_seed(0)
        args = arguments(conf, vocabulary)
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
    with host_waits() as waiting:
        train_step(training.model, training.optimizer, training.batch, training.amp)
    return {
        "kernels": len(done) - len(copies),
        "copies": len(copies),
        "device_ms": round(sum(event.device_time for event in done) / 1e3, 2),
        "waits": len(waiting),
        "waiting": sorted({Path(line).name for line in waiting}),
    }


def median(times: Sequence[float]) -> float:
    return round(statistics.median(times), 2)


def measure(row: str, device: str, rounds: int) -> dict:
    name, vocabulary, *sizes = ROWS[row]
    conf = compose(CONF / name / "supernet.yaml")
    ours, plain = (Training(one, vocabulary, sizes, device) for one in (conf, max_net_only(conf)))
    step_ms, plain_ms = zip(*((ours.step(), plain.step()) for _ in range(rounds)))
    found = {
        "step_ms": median(step_ms),
        "plain_ms": median(plain_ms),
        "step_over_plain": median_ratio(step_ms, plain_ms),
    }
    utterances, seconds, _ = sizes
    found["audio_s_a_second"] = round(utterances * seconds / found["step_ms"] * 1e3)
    del plain
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        ours.step()
        found["peak_gb"] = round(torch.cuda.max_memory_allocated() / 1e9, 2)
        found |= observe(ours)
        found["device_share"] = round(found["device_ms"] / found["step_ms"], 3)
    for key, one, amp in (("amp_ms", conf, True), ("torch_lattice_ms", merge(conf, TORCH_LATTICE), False)):
        other = Training(one, vocabulary, sizes, device, amp)
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
        write_json(args.record, found)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=list(ROWS))
    parser.add_argument("--rounds", type=int, default=10, help="timed steps of each kind")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--record", type=Path, help="file for the figures")
    print(json.dumps(main(parser.parse_args())))
