"""A way of training beside the default: the supernet's sizes of both on the same sets, as rows for docs/results.md.

    python benchmarks/candidate.py --before EXPDIR --after EXPDIR --sizes 6x512 3x64 --test_sets dev-clean dev-other --record FILE

EXPDIR is the --expdir of a run of the recipe that scored these sizes; several stand for several seeds.
"""

import argparse
import json
from pathlib import Path

from espnet_plugin.common.files import need_file, read_text, write_json
from espnet_plugin.errors import UserError, run_main
from espnet_plugin.recipe.bootstrap import Counts, Pair, ratio, relative_difference
from espnet_plugin.recipe.layout import Experiment
from espnet_plugin.recipe.runs import MEASURES, check_same, of_seeds
from espnet_plugin.recipe.tables import estimate


def counts(expdirs: list[Path], measure: str, size: str, test_set: str) -> Counts:
    """Of all seeds.

    Raises:
        UserError: one has no such score, or they were scored on different references.
    """
    found = []
    for expdir in expdirs:
        folder = Experiment(expdir).score(size, test_set)
        one = MEASURES[measure].read(folder)
        if one is None:
            raise UserError(f"'{folder}' has no {measure}, score it with stage 10 of the recipe")
        found.append(one)
    return of_seeds(found, f"{size}, {test_set}")


def rows(before: list[Path], after: list[Path], sizes: list[str], test_sets: list[str], resamples: int) -> list[dict]:
    """A row for each measure, test set and size, and the mean over sizes and sets of the relative difference."""
    updates = json.loads(read_text(need_file("--after:", Experiment(after[0]).cost)))["updates"]
    found = []
    for measure, about in MEASURES.items():
        pairs = []
        for test_set in test_sets:
            for size in sizes:
                old, new = (counts(expdirs, measure, size, test_set) for expdirs in (before, after))
                check_same(old, new, f"{size}, {test_set}")
                pairs.append(Pair(new, old, "after", "before"))
                row = {"updates": updates, "measure": measure, "test_set": test_set, "size": size}
                row |= estimate("before", ratio(old, about.scale, resamples))
                row |= estimate("after", ratio(new, about.scale, resamples))
                found.append(row | estimate("relative", relative_difference(pairs[-1:], resamples)))
        row = {"updates": updates, "measure": measure, "test_set": "all", "size": "mean"}
        found.append(row | estimate("relative", relative_difference(pairs, resamples)))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("before", "after"):
        parser.add_argument(f"--{name}", type=Path, nargs="+", required=True, metavar="EXPDIR")
    parser.add_argument("--sizes", nargs="+", required=True)
    parser.add_argument("--test_sets", nargs="+", required=True, metavar="SET", help="development sets")
    parser.add_argument("--about", required=True, help="what was changed, for the record")
    parser.add_argument("--record", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--resamples", type=int, default=1000, help="of the bootstrap (default: 1000)")
    args = parser.parse_args()
    found = rows(args.before, args.after, args.sizes, args.test_sets, args.resamples)
    record = {"about": args.about, "seeds": len(args.after), "candidates": found}
    write_json(args.record, record)
    print(f"written: {args.record}")


if __name__ == "__main__":
    run_main(main)
