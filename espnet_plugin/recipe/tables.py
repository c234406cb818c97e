"""The tables of the paper's shape from finished experiments: TABLES.md, comparison.csv, ablation.csv, cost.csv.

--conf names a folder such as conf/mini, which says what there should be: supernet.yaml, individual/SIZE.yaml, ablation/LINE.yaml.
--root holds what ./tables.sh made of it: seedN/supernet, seedN/individual/SIZE, seedN/ablation/LINE, each the --expdir of a recipe run.
Several roots are folds of one experiment, as where each leaves another speaker out: their utterances are pooled.
What is not there shows as missing. Word and character error rates in percent, held-out transducer losses in nats a token, with 95 %
confidence intervals over utterances and, where there are several, over seeds.
"""

import argparse
import csv
from itertools import chain
from pathlib import Path

import numpy as np

from espnet_plugin.common.files import write_json, write_text, write_whole
from espnet_plugin.errors import UserError, run_main
from espnet_plugin.recipe.bootstrap import Estimate, Pair, ratio, relative_difference
from espnet_plugin.recipe.environment import facts
from espnet_plugin.recipe.runs import MEASURES, Experiments, check_same, size_order
from espnet_plugin.recipe.table_text import ablation_text, comparison_text, cost_text

# Lines of the ablation, each with one technique more than the one above; the two divergences stand for each other.
ABLATION = {
    "ablation/alone": "supernet alone",
    "ablation/dropout": "+ adaptive dropout",
    "ablation/kl": "+ distillation, plain KL divergence",
    "ablation/alpha": "+ distillation, alpha divergence",
    "supernet": "+ ScaledAdam in place of Adam",
}
INTERVALS = (
    "In brackets 95 % confidence intervals: bootstrap over utterances and, where there are several, over seeds. One seed does not tell how "
    "much another training would differ. Several seeds: their mean."
)


def comparison(runs: Experiments, measure: str, resamples: int) -> list[dict]:
    """One row for each size and test set, one for each test set over all sizes that both kinds have, one for all test sets."""
    rows, everything, scale = [], [], MEASURES[measure].scale
    for test_set in runs.test_sets:
        pairs = []
        for size in runs.sizes:
            supernet = runs.counts(measure, "supernet", size, test_set)
            alone = runs.counts(measure, f"individual/{size}", size, test_set)
            both = []
            if supernet and alone:
                both = [Pair(supernet, alone, "supernet", size)]
                check_same(supernet, alone, f"{size}, {test_set}")
            pairs += both
            row = {"measure": measure, "size": size, "params": runs.params(size), "test_set": test_set}
            row |= estimate("supernet", ratio(supernet, scale, resamples) if supernet else None)
            row |= estimate("individual", ratio(alone, scale, resamples) if alone else None)
            row |= estimate("relative", relative_difference(both, resamples))
            row |= {"supernet_seeds": supernet.runs if supernet else 0, "individual_seeds": alone.runs if alone else 0}
            rows.append(row)
        everything += pairs
        mean = estimate("relative", relative_difference(pairs, resamples))
        rows.append({"measure": measure, "size": "mean", "test_set": test_set} | mean | {"sizes": len(pairs)})
    if len(runs.test_sets) > 1:
        mean = estimate("relative", relative_difference(everything, resamples))
        rows.append({"measure": measure, "size": "mean", "test_set": "all"} | mean | {"sizes": len(everything)})
    return rows


def ablation(runs: Experiments, measure: str, resamples: int) -> list[dict]:
    """One row for each line, size and test set; of the seeds that have lines of the ablation, so that all have the same."""
    rows = []
    beside = "ablation" if runs.seeds("ablation") else "."
    for run, title in ABLATION.items():
        for size in runs.sizes:
            for test_set in runs.test_sets:
                counts = runs.counts(measure, run, size, test_set, beside)
                row = {"measure": measure, "line": title, "run": run, "size": size, "test_set": test_set}
                row |= estimate("value", ratio(counts, MEASURES[measure].scale, resamples) if counts else None)
                rows.append(row | {"seeds": counts.runs if counts else 0})
    return rows


def cost_of(runs: Experiments, name: str) -> dict:
    """Training cost of a run, mean over the seeds.

    Raises:
        UserError: some seeds were trained on GPUs, others not.
    """
    found = runs.costs(name)
    row = {"model": name, "seeds": len(found), "hours": None, "unit": None, "updates": None, "audio_hours": None}
    if found:
        unit = "gpu_hours" if all("gpu_hours" in one for one in found) else "cpu_hours"
        if any(unit not in one for one in found):
            raise UserError(f"--root: {name}: some runs were trained on GPUs, others not")
        row |= {key: float(np.mean([one[key] for one in found])) for key in ("updates", "audio_hours")}
        row |= {"hours": float(np.mean([one[unit] for one in found])), "unit": unit}
    return row


def cost(runs: Experiments) -> list[dict]:
    """Training cost (mean over seeds) of the supernet, of each individual model, of those together, and the ratio."""
    rows = [cost_of(runs, name) for name in ("supernet", *(f"individual/{size}" for size in runs.sizes))]
    supernet, *alone = rows
    units = {row["unit"] for row in rows if row["unit"]}
    if len(units) > 1:
        raise UserError("--root: some models were trained on GPUs, others not, so their cost cannot be compared")
    hours = [row["hours"] for row in alone]
    total = None if None in hours or not hours else sum(hours)
    rows.append({"model": "all individual models", "hours": total, "unit": next(iter(units), None)})
    known = total and supernet["hours"] is not None
    rows.append({"model": "supernet / all individual models", "ratio": supernet["hours"] / total if known else None})
    return rows


def estimate(name: str, found: Estimate | None) -> dict:
    """Columns of an estimate; None where it is missing."""
    values = (None, None, None) if found is None else (found.value, found.low, found.high)
    return {key: value for key, value in zip((name, f"{name}_low", f"{name}_high"), values)}


def write_csv(path: Path, rows: list[dict]) -> None:
    columns = list(dict.fromkeys(key for row in rows for key in row))

    def write(path: Path) -> None:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns, restval="")
            writer.writeheader()
            writer.writerows({key: "" if value is None else value for key, value in row.items()} for row in rows)

    write_whole(path, write)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--conf", type=Path, required=True, help="folder with supernet.yaml, individual/, ablation/")
    parser.add_argument(
        "--root", type=Path, nargs="+", required=True, help="folder with seed0, seed1 ...; the folders of several folds"
    )
    parser.add_argument("--out", type=Path, help="folder to write to (default: --root; with folds needed)")
    parser.add_argument("--test_sets", nargs="+", required=True)
    parser.add_argument("--sizes", nargs="+", metavar="LAYERSxWIDTH", help="columns (default: all of individual/)")
    parser.add_argument(
        "--command", default="espnet_plugin.recipe.tables", help="what made the experiments, for the record"
    )
    parser.add_argument("--resamples", type=int, default=1000, help="of the bootstrap (default: 1000)")
    args = parser.parse_args(argv)
    names = [path.stem for path in (args.conf / "individual").glob("*.yaml")]
    if not names:
        raise UserError(f"--conf: '{args.conf}/individual' holds no SIZE.yaml")
    unknown = set(args.sizes or ()) - set(names)
    if unknown:
        raise UserError(f"--sizes: '{args.conf}/individual/{min(unknown)}.yaml' does not exist")
    names = args.sizes or names
    for root in args.root:
        if not root.is_dir():
            raise UserError(f"--root: '{root}' does not exist")
    if args.out is None and len(args.root) > 1:
        raise UserError("--out: is needed with several --root, a folder for the tables of all folds")
    out = args.out or args.root[0]
    runs = Experiments(tuple(args.root), tuple(sorted(names, key=size_order, reverse=True)), tuple(args.test_sets))
    tables = {"cost": cost(runs)}  # first, since the others take their time
    compared = {measure: comparison(runs, measure, args.resamples) for measure in MEASURES}
    ablated = {measure: ablation(runs, measure, args.resamples) for measure in MEASURES}
    tables |= {"comparison": [*chain(*compared.values())], "ablation": [*chain(*ablated.values())]}
    parts = [f"# Tables of {args.conf.name}", "\n".join(facts(args.command)), INTERVALS]
    parts.append("## The supernet's sizes against individually trained models")
    for measure, rows in compared.items():
        parts += [f"{MEASURES[measure].title}:", comparison_text(rows)]
    parts.append("## Ablation")
    for measure, rows in ablated.items():
        parts += [f"{MEASURES[measure].title}:", ablation_text(rows)]
    parts += ["## Training cost", cost_text(tables["cost"])]
    text = "\n\n".join(parts)
    for name, rows in tables.items():
        write_csv(out / f"{name}.csv", rows)
    record = {"conf": args.conf.name, "made": facts(args.command), "folds": len(args.root)} | tables
    write_json(out / "tables.json", record)
    write_text(out / "TABLES.md", text + "\n")
    print(f"{text}\n\nwritten: {out}/TABLES.md, tables.json, comparison.csv, ablation.csv, cost.csv")


if __name__ == "__main__":
    run_main(main)
