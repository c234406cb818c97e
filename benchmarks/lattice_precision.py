"""How far Triton's lattice is from the float64 anti-diagonals.

    python benchmarks/lattice_precision.py [--shapes 2000,500 200,1000] [--device cpu]

On a CPU the kernels run in Triton's interpreter, which takes minutes for 10^6 cells; on a GPU (`--device cuda`) as they are.
Scores are normal with a spread of 3 nats. The last line is one JSON object: `cost_error`, relative, and `posterior_error`, absolute, the
largest of all shapes and of both lattices.
"""

import argparse
import json
import os
import time

import torch


def measure(T: int, U: int, modified: bool, device: str) -> dict:
    from espnet_plugin.transducer.lattice import antidiagonals, frame_by_frame
    from espnet_plugin.transducer.triton_lattice import triton_lattice

    generator = torch.Generator().manual_seed(0)
    blank, emit = (3 * torch.randn(1, T, width, generator=generator) for width in (U + 1, U))
    problem = [x.to(device) for x in (blank, emit, torch.tensor([T]), torch.tensor([U]))]
    expected = (frame_by_frame if modified else antidiagonals)(*problem)
    began = time.perf_counter()
    found = triton_lattice(*problem, modified=modified)
    errors = [float((a.double() - b).abs().max()) for a, b in zip(found, expected)]
    return {
        "T": T,
        "U": U,
        "lattice": "modified" if modified else "regular",
        "cost": -float(expected[0]),
        "cost_error": errors[0] / abs(float(expected[0])),
        "posterior_error": max(errors[1:]),
        "seconds": round(time.perf_counter() - began, 1),
    }


def main(args: argparse.Namespace) -> dict:
    rows = []
    for shape in args.shapes:
        T, U = map(int, shape.split(","))
        for modified in (False, True)[: 1 + (U <= T)]:
            rows.append(measure(T, U, modified, args.device))
            print(json.dumps(rows[-1]), flush=True)
    worst = {key: max(row[key] for row in rows) for key in ("cost_error", "posterior_error")}
    return worst | {"device": args.device, "torch": torch.__version__, "rows": rows}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shapes", nargs="+", default=["2000,500", "200,1000"], help="T,U")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    arguments = parser.parse_args()
    if arguments.device == "cpu":
        os.environ["TRITON_INTERPRET"] = "1"  # before the kernels are imported
    print(json.dumps(main(arguments)))
