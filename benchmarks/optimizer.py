"""Time of a ScaledAdam step against one of torch's AdamW (foreach), on the parameters of a transducer of about 20 M.

    python benchmarks/optimizer.py [--d_model 480] [--rounds 30] [--threads 2] [--device cpu]

The optimizers take turns, so that whatever else the machine does falls on all; medians are reported. ScaledAdam is timed with gradient
clipping (`scaledadam_over_adamw_time`, as the recipe trains) and without. The last line is one JSON object.
"""

import argparse
import copy
import json
import statistics
import time

import torch
from espnet2.asr_transducer.joint_network import JointNetwork

from espnet_plugin.encoder.mhssm.supernet import MHSSMSupernetEncoder
from espnet_plugin.optim.scaled_adam import ScaledAdam
from espnet_plugin.transducer.prediction import StatelessDecoder

VOCABULARY, FEATURES = 500, 80
LR = 0.01


def build(d_model: int) -> torch.nn.ModuleDict:
    """Encoder, prediction network and joiner of one width."""
    space = {"depths": [12], "ffn_dims": [2 * d_model]}
    encoder = MHSSMSupernetEncoder(FEATURES, d_model=d_model, num_layers=12, search_space=space)
    decoder = StatelessDecoder(VOCABULARY, d_model, embed_dim=d_model)
    joint = JointNetwork(VOCABULARY, d_model, d_model, joint_space_size=d_model)
    return torch.nn.ModuleDict({"encoder": encoder, "decoder": decoder, "joint": joint})


def seconds(optimizer: torch.optim.Optimizer, device: torch.device) -> float:
    """One step."""
    start = time.perf_counter()
    optimizer.step()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def main(args: argparse.Namespace) -> dict:
    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    device = torch.device(args.device)
    net = build(args.d_model).to(device)
    for p in net.parameters():
        p.grad = 1e-3 * torch.randn_like(p)
    nets = {name: copy.deepcopy(net) for name in ("adamw", "scaledadam", "scaledadam_unclipped")}
    for other in nets.values():  # deepcopy leaves gradients out
        for p, q in zip(other.parameters(), net.parameters()):
            p.grad = q.grad.clone()
    optimizers = {
        "adamw": torch.optim.AdamW(nets["adamw"].parameters(), lr=1e-4, foreach=True),
        "scaledadam": ScaledAdam(nets["scaledadam"].parameters(), lr=LR, clipping_scale=2.0),
        "scaledadam_unclipped": ScaledAdam(nets["scaledadam_unclipped"].parameters(), lr=LR),
    }
    times = {name: [] for name in optimizers}
    for turn in range(args.warmup + args.rounds):
        for name, optimizer in optimizers.items():
            # Four steps: ScaledAdam refreshes sizes on one of four.
            taken = sum(seconds(optimizer, device) for _ in range(4)) / 4
            if turn >= args.warmup:
                times[name].append(taken)
    medians = {name: statistics.median(values) for name, values in times.items()}
    ratios = {
        name: statistics.median(ours / theirs for ours, theirs in zip(times[name], times["adamw"]))
        for name in ("scaledadam", "scaledadam_unclipped")
    }
    return {
        "params": sum(p.numel() for p in net.parameters()),
        "tensors": sum(1 for _ in net.parameters()),
        "threads": args.threads,
        "device": args.device,
        "adamw_ms": round(1e3 * medians["adamw"], 2),
        "scaledadam_ms": round(1e3 * medians["scaledadam"], 2),
        "scaledadam_over_adamw_time": round(ratios["scaledadam"], 3),
        "scaledadam_unclipped_over_adamw_time": round(ratios["scaledadam_unclipped"], 3),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--d_model", type=int, default=480, help="width; 480 gives about 20 M parameters")
    parser.add_argument("--rounds", type=int, default=30, help="timed turns of four steps")
    parser.add_argument("--warmup", type=int, default=3, help="turns before that")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu")
    print(json.dumps(main(parser.parse_args())))
