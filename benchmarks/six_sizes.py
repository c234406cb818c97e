"""What one supernet job costs against an individual job for each size, from the records of finished runs.

    python benchmarks/six_sizes.py --conf conf/mini --root DIR --test_sets test [--cheap cheap]

--root is that of ./tables.sh: seedN/supernet, seedN/individual/SIZE and, for the cheaper scheme, seedN/cheap (of conf/mini/cheap.yaml),
each the --expdir of a recipe run. Costs are those of cost.json: CPU time on a CPU, so that other programs on the machine disturb it little.
All runs must have made the same number of updates. The last line is one JSON object: `six_sizes_cost_ratio` and
`six_sizes_cost_ratio_cheap`, null where a run is missing, and `cheap_relative_wer`, by how many percent the cheaper scheme's word error
rate is above the default's (mean over sizes and test sets), with the 95 % interval.
"""

import argparse
import json
from pathlib import Path

from espnet_plugin.errors import UserError, run_main
from espnet_plugin.recipe.bootstrap import Pair, relative_difference
from espnet_plugin.recipe.tables import Experiments, size_order


def hours(runs: Experiments, run: str) -> tuple[float, int, str] | None:
    """Hours, updates and unit of a finished run, mean over seeds; None where there is none.

    Raises:
        UserError: seeds with different numbers of updates, or of different machines.
    """
    found = runs.costs(run)
    if not found:
        return None
    kinds = {(one["updates"], next(key for key in ("gpu_hours", "cpu_hours") if key in one)) for one in found}
    if len(kinds) > 1:
        raise UserError(f"--root: {run}: seeds differ in updates or machine: {sorted(kinds)}")
    updates, unit = kinds.pop()
    return sum(one[unit] for one in found) / len(found), updates, unit


def ratio(ours: tuple | None, alone: list[tuple | None]) -> float | None:
    return None if ours is None or None in alone else round(ours[0] / sum(one[0] for one in alone), 4)


def relative_wer(runs: Experiments, cheap: str, resamples: int) -> dict:
    """Of the cheaper scheme above the default; None where a score is missing."""
    keys = ("cheap_relative_wer", "cheap_relative_wer_low", "cheap_relative_wer_high")
    cells = [(size, test_set) for size in runs.sizes for test_set in runs.test_sets]
    found = [tuple(runs.counts("wer", run, *cell) for run in (cheap, "supernet")) for cell in cells]
    missing = any(None in pair for pair in found)
    found = None if missing else relative_difference([Pair(*pair, cheap, "supernet") for pair in found], resamples)
    return dict.fromkeys(keys) if found is None else dict(zip(keys, (found.value, found.low, found.high)))


def figures(runs: Experiments, cheap: str, resamples: int = 1000) -> dict:
    """All figures.

    Raises:
        UserError: runs that cannot be compared.
    """
    table = {run: hours(runs, run) for run in ("supernet", cheap, *(f"individual/{size}" for size in runs.sizes))}
    kinds = {(updates, unit) for _, updates, unit in filter(None, table.values())}
    if len(kinds) > 1:
        raise UserError(f"--root: runs differ in updates or machine, so their cost cannot be compared: {sorted(kinds)}")
    supernet, cheaper, *alone = table.values()
    out = {"six_sizes_cost_ratio": ratio(supernet, alone), "six_sizes_cost_ratio_cheap": ratio(cheaper, alone)}
    out |= relative_wer(runs, cheap, resamples) | {"sizes": list(runs.sizes)}
    out |= dict(zip(("updates", "unit"), next(iter(kinds), (None, None))))
    return out | {"hours": {run: found and round(found[0], 4) for run, found in table.items()}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--conf", type=Path, required=True, help="folder with individual/SIZE.yaml")
    parser.add_argument("--root", type=Path, required=True, help="folder with seed0, seed1 ...")
    parser.add_argument("--test_sets", nargs="+", required=True)
    parser.add_argument(
        "--cheap", default="cheap", help="name of the cheaper scheme's run below seedN (default: cheap)"
    )
    parser.add_argument("--resamples", type=int, default=1000, help="of the bootstrap (default: 1000)")
    args = parser.parse_args()
    names = [path.stem for path in (args.conf / "individual").glob("*.yaml")]
    if not names:
        raise UserError(f"--conf: '{args.conf}/individual' holds no SIZE.yaml")
    if not args.root.is_dir():
        raise UserError(f"--root: '{args.root}' does not exist")
    runs = Experiments((args.root,), tuple(sorted(names, key=size_order, reverse=True)), tuple(args.test_sets))
    print(json.dumps(figures(runs, args.cheap, args.resamples)))


if __name__ == "__main__":
    run_main(main)
