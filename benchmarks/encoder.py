"""Time of the MH-SSM encoder against ESPnet's ConformerEncoder and icefall's Zipformer of about as many parameters, forward and backward.

    python benchmarks/encoder.py [--rounds 5] [--long_rounds 2] [--threads 1] [--clock cpu] [--only zipformer --batch 2]

The encoders take turns, so that whatever else the machine does falls on all; medians are reported. The last turns have the long audio:
120 s beside the Conformer, 60 s beside the Zipformer (zipformer-S, `peer/zipformer_peer.py`), whose time grows faster. A peer that is not
installed is left out, and its figures are null. The last line is one JSON object.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable

import torch
from espnet2.asr.encoder.conformer_encoder import ConformerEncoder
from peer.zipformer_peer import ZipformerPeer

from espnet_plugin.encoder.mhssm.encoder import MHSSMEncoder
from espnet_plugin.errors import UserError

FEATURES, FRAME_RATE = 80, 100  # input frames of 10 ms
SHORT = 15  # s
LONG = {"conformer": 120, "zipformer": 60}  # s, beside each peer


def build() -> dict[str, torch.nn.Module]:
    """The encoders, about 20 M parameters each; the Conformer as ESPnet's recipes configure it, zipformer-S as icefall's."""
    conformer = ConformerEncoder(
        FEATURES,
        output_size=256,
        attention_heads=4,
        linear_units=1024,
        num_blocks=12,
        macaron_style=True,
        rel_pos_type="latest",
        pos_enc_layer_type="rel_pos",
        selfattention_layer_type="rel_selfattn",
        activation_type="swish",
        use_cnn_module=True,
        cnn_module_kernel=31,
    )
    found = {"mhssm": MHSSMEncoder(FEATURES, d_model=384, num_heads=8, ffn_dims=[1600] * 12), "conformer": conformer}
    try:
        found["zipformer"] = ZipformerPeer(FEATURES, "22M")
    except UserError as error:
        print(f"without zipformer: {error}", flush=True)
    return found


def seconds(encoder: torch.nn.Module, x: torch.Tensor, now: Callable) -> float:
    """One step, forward and backward."""
    encoder.zero_grad()
    start = now()
    encoder(x, torch.full((len(x),), x.shape[1]))[0].square().mean().backward()
    return now() - start


def main(args: argparse.Namespace) -> dict:
    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    now = {"wall": time.perf_counter, "cpu": time.process_time}[args.clock]
    encoders = {name: encoder.train() for name, encoder in build().items() if name in ("mhssm", args.only or name)}
    peers = [name for name in LONG if name in encoders]
    long = {LONG[peer] for peer in peers}
    audio = {s: torch.randn(args.batch, s * FRAME_RATE, FEATURES) for s in (SHORT, *sorted(long))}
    times = {("mhssm", s): [] for s in audio} | {(peer, s): [] for peer in peers for s in (SHORT, LONG[peer])}
    for turn in range(1 + args.rounds):  # the first one warms up
        long_too = turn > args.rounds - args.long_rounds
        for name, s in times:
            if s == SHORT or long_too:
                taken = seconds(encoders[name], audio[s], now)
                if turn:
                    times[name, s].append(taken)
        print(f"turn {turn} of {args.rounds}", flush=True)

    def ratio(above: tuple, below: tuple) -> float | None:
        if above not in times or below not in times:
            return None
        both = zip(reversed(times[above]), reversed(times[below]))  # of the same turn; only the last have both lengths
        return round(statistics.median(a / b for a, b in both), 3)

    figures = {f"{name}_params": sum(p.numel() for p in e.parameters()) for name, e in encoders.items()}
    figures |= {f"{name}_{s}s_ms": round(1e3 * statistics.median(taken), 1) for (name, s), taken in times.items()}
    return figures | {
        "threads": args.threads,
        "batch": args.batch,
        "clock": args.clock,
        "rounds": args.rounds,
        "long_rounds": args.long_rounds,
        "time_over_conformer_15s": ratio(("mhssm", SHORT), ("conformer", SHORT)),
        "time_over_conformer_120s": ratio(("mhssm", 120), ("conformer", 120)),
        "time_over_zipformer_15s": ratio(("mhssm", SHORT), ("zipformer", SHORT)),
        "time_over_zipformer_60s": ratio(("mhssm", 60), ("zipformer", 60)),
        "growth_15_to_120s": ratio(("mhssm", 120), ("mhssm", SHORT)),
        "conformer_growth_15_to_120s": ratio(("conformer", 120), ("conformer", SHORT)),
        "zipformer_growth_15_to_60s": ratio(("zipformer", 60), ("zipformer", SHORT)),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="timed turns")
    parser.add_argument("--long_rounds", type=int, default=2, help="of those, with long audio too")
    parser.add_argument("--only", choices=list(LONG), help="one peer (default: all that are installed)")
    parser.add_argument("--batch", type=int, default=1, help="utterances")
    parser.add_argument(
        "--clock", choices=("wall", "cpu"), default="wall", help="cpu: on a busy machine, with one thread"
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    print(json.dumps(main(parser.parse_args())))
