"""What a training step would start on a GPU, counted on a simulated one: operations, waits of the host, tensors sent over.

    python benchmarks/launches.py [--configurations mobile paper] [--places 12]

A step is that of the configuration (max, min and two random nets, distillation, ScaledAdam with groups of rates), on noise: two utterances
of 15 s and 60 symbols at mobile scale, one of 30 s and 120 symbols at paper scale. The first step makes the optimizer's state; of the three
after it, one of which learns sizes of parameters, the one that starts most is counted. The Triton kernels of the lattice, which cannot run
here, count as one operation each way, and the anti-diagonals compute their results. Counts are the same on every machine. The last line is
one JSON object; `launches_lattice` are those of `transducer/lattice.py` and of the kernels.
"""

import argparse
import json
import sys
from pathlib import Path

from espnet_plugin.asr.training.launches import count_launches
from espnet_plugin.common.compose import compose

CONF = Path(__file__).parents[1] / "conf"
# configuration -> file, utterances, seconds and symbols of each
BATCHES = {
    "mobile": (CONF / "mobile" / "supernet.yaml", 2, 15.0, 60),
    "paper": (CONF / "paper" / "supernet.yaml", 1, 30.0, 120),
}


def main(args: argparse.Namespace) -> dict:
    found = {}
    for name in args.configurations:
        file, *batch = BATCHES[name]
        counts = count_launches(compose(file), 500, *batch)
        print(f"{name}\n{counts.report(args.places)}\n", file=sys.stderr)
        totals = counts.totals()
        lattice = counts.launches_in("transducer/lattice.py", "transducer/triton_lattice.py")
        found |= {"launches_paper": totals["launches"], "waits_paper": totals["waits"]} if name == "paper" else {}
        found |= totals | {"launches_lattice": lattice} if name == "mobile" else {}
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--configurations", nargs="+", default=list(BATCHES), choices=list(BATCHES))
    parser.add_argument("--places", type=int, default=12, help="most frequent lines to show")
    print(json.dumps(main(parser.parse_args())))
