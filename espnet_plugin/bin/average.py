"""Verb ``average``: mean of the weights of the last epochs."""

import argparse
import re
from pathlib import Path

import torch

from espnet_plugin.asr.inference.loading import read_state
from espnet_plugin.common.bounds import Bounds, Checked
from espnet_plugin.common.files import check_place, write_whole
from espnet_plugin.errors import UserError


def average_states(paths: list[Path]) -> dict[str, torch.Tensor]:
    """Mean of the floating-point tensors of checkpoints; integers (counters) are those of the last one.

    Args:
        paths: model checkpoints, oldest first.

    Raises:
        UserError: one cannot be read, or is that of another model than the first.
    """
    last = read_state(paths[0])
    total = {name: value.double() for name, value in last.items()}
    for path in paths[1:]:
        last = read_state(path)
        for name in sorted(total.keys() | last.keys()):
            here, there = (list(s[name].shape) if name in s else "nothing" for s in (last, total))
            if here != there:
                raise UserError(f"checkpoint '{path}': '{name}' is {here}, must be {there} as in '{paths[0]}'")
            total[name] += last[name].double()
    return {
        name: (total[name] / len(paths)).to(value.dtype) if value.is_floating_point() else value
        for name, value in last.items()
    }


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="espnet-todm average", description="Average the last checkpoints of a run.")
    parser.add_argument("--dir", type=Path, required=True, help="training directory with NNepoch.pth files")
    parser.add_argument(
        "--last", type=int, default=5, action=Checked, bounds=Bounds(1), help="how many of the last epochs (default: 5)"
    )
    parser.add_argument("--out", type=Path, required=True, help="averaged checkpoint to write")
    args = parser.parse_args(argv)
    epochs = sorted(
        (int(m[1]), p) for p in args.dir.glob("*epoch.pth") if (m := re.fullmatch(r"(\d+)epoch\.pth", p.name))
    )
    if not epochs:
        raise UserError(f"--dir: '{args.dir}' has no checkpoint named like 12epoch.pth")
    chosen = epochs[-args.last :]
    paths = [path for _, path in chosen]
    check_place(args.out, inputs=paths)
    state = average_states(paths)
    write_whole(args.out, lambda path: torch.save(state, path), inputs=paths)
    print(f"{args.out}: mean of epochs {', '.join(str(epoch) for epoch, _ in chosen)}")
