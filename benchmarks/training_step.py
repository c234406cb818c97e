"""Time and memory of a TODM step (max, min and random nets, with distillation) against a plain step of the max net.

    python benchmarks/training_step.py [--rounds 8] [--threads 2] [--configurations mini 20m] [--schemes] [--clock wall]

The step is that of `SCHEME`; --schemes adds a row for each of the cheaper ones, in the first configuration. Both steps see the same batches
and end with a ScaledAdam update. They take turns, so that whatever else the machine does falls on both; the ratio is the median over
pairs. `--clock cpu` counts processor time, for a machine that does other work too. Peak memory is that of three steps in a process of its
own, above what it held before them, with the model built (on a GPU: all tensors). The last line is one JSON object; `step_time_ratio` and
`step_memory_ratio` are those of the worse configuration.
"""

import argparse
import json
import multiprocessing
import statistics
import time
from pathlib import Path

import torch
import yaml

from espnet_plugin.asr.training.batch import Batch
from espnet_plugin.asr.training.step import accumulate
from espnet_plugin.asr.training.task import TODMTask
from espnet_plugin.optim.scaled_adam import ScaledAdam

MINI = Path(__file__).parents[1] / "conf" / "train_mini.yaml"
FS = 16000
# (vocabulary, utterances of a batch, seconds of each, symbols of each)
BATCHES = {"mini": (100, 8, 5.0, 25), "20m": (500, 4, 12.0, 50)}
# Widths and depths from a fifth of the parameters upwards, our choice.
LARGE = dict(
    d_model=384, num_heads=8, num_modes=16, num_layers=12, dt_min=0.01, dt_max=0.8,
    search_space=dict(depths=[6, 8, 10, 12], ffn_dims=[192, 384, 768, 1536]),
)  # fmt: skip
# Parts of model_conf that set what a step costs.
SCHEME = dict(sampling_conf=dict(num_random=2))
SCHEMES = {
    "two random nets": SCHEME,
    "one random net": dict(sampling_conf=dict(num_random=1)),
    "no random net": dict(sampling_conf=dict(num_random=0)),
    "one random net, every 2nd frame compared": dict(
        sampling_conf=dict(num_random=1), distill_conf=dict(frame_stride=2)
    ),
    "one random net, half of the batch": dict(sampling_conf=dict(num_random=1, student_share=0.5)),
    "one random net, half of the batch, every 2nd frame compared": dict(
        sampling_conf=dict(num_random=1, student_share=0.5), distill_conf=dict(frame_stride=2)
    ),
}


def max_net_only(conf: dict) -> dict:
    """A configuration with the max net alone, which nobody teaches and which teaches nobody."""
    encoder = conf["encoder_conf"]
    space = {"ffn_dims": encoder["search_space"]["ffn_dims"][-1:]}
    return conf | {"encoder_conf": encoder | {"search_space": space}}


def build(name: str, scheme: dict | None, args: argparse.Namespace):
    """The supernet of a configuration under a scheme; without one only its max net, with nobody to teach."""
    torch.manual_seed(0)
    conf = yaml.safe_load(MINI.read_text())
    if name == "20m":
        conf["encoder_conf"] |= LARGE
        conf["decoder_conf"]["embed_dim"] = 384
        conf["model_conf"]["joint_space_size"] = 384
    for key, values in (scheme or SCHEME).items():
        conf["model_conf"][key] = conf["model_conf"].get(key, {}) | values
    if scheme is None:
        conf = max_net_only(conf)
    vocabulary = BATCHES[name][0]
    conf["token_list"] = ["<blank>", "<unk>", *(f"t{i}" for i in range(vocabulary - 3)), "<sos/eos>"]
    missing = dict.fromkeys(
        ("input_size", "specaug", "normalize", "preencoder", "postencoder", "init", "joint_net_conf", "bpemodel")
    )
    missing |= dict(specaug_conf={}, normalize_conf={}, ctc_conf={}, init_param=[], token_type="bpe")
    model = TODMTask.build_model(argparse.Namespace(**missing | conf)).to(args.device).train()
    return model, ScaledAdam(model.named_parameters(), lr=0.01, clipping_scale=2.0)


def batch(name: str, seed: int, device: str) -> Batch:
    vocabulary, size, seconds, symbols = BATCHES[name]
    generator = torch.Generator().manual_seed(seed)
    samples = int(seconds * FS)
    values = dict(
        speech=0.1 * torch.randn(size, samples, generator=generator),
        speech_lengths=torch.randint(int(0.8 * samples), samples + 1, (size,), generator=generator),
        text=torch.randint(2, vocabulary - 1, (size, symbols), generator=generator),
        text_lengths=torch.randint(symbols // 2, symbols + 1, (size,), generator=generator),
    )
    return Batch.of(**values, utt_id=[f"u{i}" for i in range(size)]).to(torch.device(device))


def step(model, optimizer, values: Batch, clock=time.perf_counter) -> float:
    """Seconds of a step."""
    start = clock()
    accumulate(model, values, 1.0, amp=False)
    optimizer.step()
    optimizer.zero_grad()
    model.count_update()
    if values.speech.is_cuda:
        torch.cuda.synchronize()
    return clock() - start


def status(key: str) -> int:
    """Bytes of a line of this process's status: VmRSS now, VmHWM at its peak."""
    rows = dict(row.split(":", 1) for row in Path("/proc/self/status").read_text().splitlines())
    return 1024 * int(rows[key].split()[0])


def measure_peak(name: str, scheme: dict | None, args: argparse.Namespace, send) -> None:
    torch.set_num_threads(args.threads)
    model, optimizer = build(name, scheme, args)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = status("VmRSS")
    for seed in range(3):
        step(model, optimizer, batch(name, seed, args.device))
    cuda = args.device == "cuda"
    send.send(torch.cuda.max_memory_allocated() if cuda else status("VmHWM") - before)


def peak_bytes(name: str, scheme: dict | None, args: argparse.Namespace) -> int:
    """Bytes that three steps take at their peak, in a process of its own."""
    receive, send = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=measure_peak, args=(name, scheme, args, send))
    process.start()
    send.close()
    found = receive.recv()
    process.join()
    return found


def seconds(name: str, schemes: list[dict | None], args: argparse.Namespace) -> list[list[float]]:
    """Seconds of the steps of each scheme, which take turns."""
    nets = [build(name, scheme, args) for scheme in schemes]
    times = [[] for _ in nets]
    clock = time.process_time if args.clock == "cpu" else time.perf_counter
    for turn in range(args.rounds + 1):
        for (model, optimizer), taken in zip(nets, times):
            taken.append(step(model, optimizer, batch(name, turn, args.device), clock))
    return [taken[1:] for taken in times]  # the first warms up


def median_ratio(ours: list[float], plain: list[float]) -> float:
    return round(statistics.median(a / b for a, b in zip(ours, plain)), 3)


def main(args: argparse.Namespace) -> dict:
    figures = dict(threads=args.threads, device=args.device, clock=args.clock, rounds=args.rounds)
    memory = {name: [peak_bytes(name, scheme, args) for scheme in (SCHEME, None)] for name in args.configurations}
    torch.set_num_threads(args.threads)
    for name in args.configurations:
        ours, plain = seconds(name, [SCHEME, None], args)
        figures[name] = {
            "params": sum(p.numel() for p in build(name, SCHEME, args)[0].parameters()),
            "todm_step_s": round(statistics.median(ours), 3),
            "plain_step_s": round(statistics.median(plain), 3),
            "step_time_ratio": median_ratio(ours, plain),
            "todm_peak_mb": round(memory[name][0] / 1e6),
            "plain_peak_mb": round(memory[name][1] / 1e6),
            "step_memory_ratio": round(memory[name][0] / memory[name][1], 3),
        }
        print(name, json.dumps(figures[name]), flush=True)
    for key in ("step_time_ratio", "step_memory_ratio"):
        figures[key] = max(figures[name][key] for name in args.configurations)
    if args.schemes:
        *found, plain = seconds(args.configurations[0], [*SCHEMES.values(), None], args)
        figures["schemes"] = {name: median_ratio(times, plain) for name, times in zip(SCHEMES, found)}
    return figures


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--configurations", nargs="+", choices=list(BATCHES), default=list(BATCHES))
    parser.add_argument("--rounds", type=int, default=8, help="pairs of timed steps")
    parser.add_argument("--schemes", action="store_true", help="measure the cheaper schemes too")
    parser.add_argument("--clock", default="wall", choices=["wall", "cpu"])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    print(json.dumps(main(parser.parse_args())))
