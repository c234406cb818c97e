"""The tables of the paper's shape from finished experiments: TABLES.md, comparison.csv, ablation.csv, cost.csv.

--conf names a folder such as conf/mini, which says what there should be: supernet.yaml, individual/SIZE.yaml, ablation/LINE.yaml.
--root holds what ./tables.sh made of it: seedN/supernet, seedN/individual/SIZE, seedN/ablation/LINE, each the --expdir of a recipe run.
Several roots are folds of one experiment, as where each leaves another speaker out: their utterances are pooled.
What is not there shows as missing. Word and character error rates in percent, held-out transducer losses in nats a token, with 95 %
confidence intervals over utterances and, where there are several, over seeds.
"""

import argparse
import csv
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np

from espnet_plugin.common.conf import is_of
from espnet_plugin.common.files import read_json, read_text, write_text, write_whole
from espnet_plugin.common.word_errors import edits, units
from espnet_plugin.errors import UserError, run_main
from espnet_plugin.recipe.bootstrap import Counts, Estimate, Pair, ratio, relative_difference
from espnet_plugin.recipe.environment import facts
from espnet_plugin.recipe.layout import Experiment
from espnet_plugin.recipe.score import LOSS, read_losses

# Lines of the ablation, each with one technique more than the one above; the two divergences stand for each other.
ABLATION = {
    "ablation/alone": "supernet alone",
    "ablation/dropout": "+ adaptive dropout",
    "ablation/kl": "+ distillation, plain KL divergence",
    "ablation/alpha": "+ distillation, alpha divergence",
    "supernet": "+ ScaledAdam in place of Adam",
}
MISSING = "missing"
INTERVALS = (
    "In brackets 95 % confidence intervals: bootstrap over utterances and, where there are several, over seeds. One seed does not tell how "
    "much another training would differ. Several seeds: their mean."
)


@dataclass(frozen=True)
class Experiments:
    """Runs below a folder.

    Args:
        roots: folders that hold seed0, seed1 ...; several are folds whose utterances are pooled.
        sizes: names, largest first.
        test_sets: names.
    """

    roots: tuple[Path, ...]
    sizes: tuple[str, ...]
    test_sets: tuple[str, ...]

    def seeds(self, beside: str = ".", root: Path | None = None) -> list[Path]:
        """Folders of the seeds that hold a folder of that name, of one root or of all."""
        roots = self.roots if root is None else (root,)
        return [path for one in roots for path in sorted(one.glob("seed*")) if (path / beside).is_dir()]

    def counts(self, measure: str, run: str, size: str, test_set: str, beside: str = ".") -> Counts | None:
        """Of all seeds that are finished, and hold `beside`; None where none is, or where a fold has none. Args: measure: of `MEASURES`.

        Raises:
            UserError: seeds that were scored on different references.
        """
        folds = []
        for root in self.roots:
            folders = [Experiment(seed / run).score(size, test_set) for seed in self.seeds(beside, root)]
            scores = [MEASURES[measure].read(folder) for folder in folders if (folder / "score.json").is_file()]
            found = [one for one in scores if one is not None]
            if not found:
                return None
            seeds = of_seeds(found, f"{run}, {size}, {test_set}")
            keys = tuple(f"{root.name}/{key}" for key in seeds.keys) if len(self.roots) > 1 else seeds.keys
            folds.append(replace(seeds, keys=keys))
        return pooled(folds)

    def costs(self, run: str) -> list[dict]:
        """Of each seed whose training is finished: one that is under way has a record too, of the epochs so far.

        Raises:
            UserError: a damaged record.
        """
        experiments = [Experiment(seed / run) for seed in self.seeds()]
        files = [experiment.cost for experiment in experiments if experiment.trained.is_file()]
        found = [(file, values) for file in files if (values := read_json(file)) is not None]
        for file, values in found:
            for keys in (("updates",), ("audio_hours",), ("gpu_hours", "cpu_hours")):
                if not any(is_of(values.get(key), float) for key in keys):
                    raise UserError(f"'{file}': holds no number '{' or '.join(keys)}'")
        return [values for _, values in found]

    def params(self, size: str) -> int | None:
        """Parameters of a size, from the supernet's or the individual model's directory."""
        runs = [seed / run for run in ("supernet", f"individual/{size}") for seed in self.seeds()]
        found = [facts for run in runs if (facts := read_json(Experiment(run).facts(size))) is not None]
        return found[0]["params"] if found else None


def read_errors(folder: Path, metric: str) -> Counts:
    """Edits of each utterance, from the trn files beside score.json. Args: metric: of `METRICS`.

    Raises:
        UserError: a damaged or missing file.
    """
    read_json(folder / "score.json")
    pairs = read_pairs(folder)
    found = [edits(units(reference, metric), units(hypothesis, metric)) for reference, hypothesis in pairs.values()]
    return Counts(
        tuple(pairs), np.array([[one.edits for one in found]], float), np.array([one.total for one in found], float)
    )


def read_loss(folder: Path) -> Counts | None:
    """Held-out loss of each utterance; None for a score that was made without. Raises `UserError` for a damaged file."""
    if not (folder / LOSS).is_file():
        return None
    found = read_losses(folder / LOSS)
    keys = tuple(sorted(found))
    return Counts(keys, np.array([[found[key][0] for key in keys]]), np.array([found[key][1] for key in keys], float))


def of_seeds(trainings: list[Counts], where: str) -> Counts:
    """Trainings of one system with different seeds. Args: where: for the message.

    Raises:
        UserError: they were scored on different references.
    """
    for other in trainings[1:]:
        check_same(trainings[0], other, where)
    return replace(trainings[0], above=np.concatenate([one.above for one in trainings]))


def pooled(folds: list[Counts]) -> Counts:
    """Folds as one test set. Run r of it is run r of each fold; runs that not every fold has are left out."""
    runs = min(fold.runs for fold in folds)
    above = np.concatenate([fold.above[:runs] for fold in folds], axis=1)
    return Counts(sum((fold.keys for fold in folds), ()), above, np.concatenate([fold.below for fold in folds]))


@dataclass(frozen=True)
class Measure:
    """What systems are compared by. Args: title; read: of a score's folder; scale: of the ratio; digits: shown behind the point."""

    title: str
    read: Callable[[Path], Counts | None]
    scale: float
    digits: int


MEASURES = {
    "wer": Measure("Word error rates, %", partial(read_errors, metric="wer"), 100.0, 2),
    "cer": Measure("Character error rates, %", partial(read_errors, metric="cer"), 100.0, 2),
    "loss": Measure("Held-out transducer loss of the full lattice, nats a token", read_loss, 1.0, 3),
}


def read_pairs(folder: Path) -> dict[str, tuple[str, str]]:
    """Reference and hypothesis of each utterance of a score, sorted by name; what was not recognised is empty.

    Raises:
        UserError: as `read_trn`.
    """
    references, hypotheses = (read_trn(folder / f"{name}.trn") for name in ("ref", "hyp"))
    return {key: (references[key], hypotheses.get(key, "")) for key in sorted(references)}


def read_trn(path: Path) -> dict[str, str]:
    """Text by utterance. Raises `UserError` for a file that is not there or no text."""
    if not path.is_file():
        raise UserError(f"'{path}' does not exist, score the run again with --stage 10 --stop_stage 10 --redo true")
    lines = (line.rpartition("(") for line in filter(None, read_text(path).split("\n")))
    return {key.removesuffix(")"): text for text, _, key in lines}


def check_same(one: Counts, other: Counts, where: str) -> None:
    if one.keys != other.keys or (one.below != other.below).any():
        raise UserError(f"--root: {where}: runs were scored on different references")


def size_order(name: str) -> tuple[int, int]:
    """Layers times width, for sizes that have no run yet."""
    depth, _, width = name.partition("x")
    if not (depth.isdigit() and width.isdigit()):
        raise UserError(f"--conf: individual/{name}.yaml must be named LAYERSxWIDTH, as 12x384.yaml")
    return int(depth) * int(width), int(depth)


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


def show(row: dict, name: str, sign: str = "", digits: int = 2) -> str:
    """``4.20 [4.01, 4.40]``."""
    if row.get(name) is None:
        return MISSING
    ends = [row[f"{name}_low"], row[f"{name}_high"]]
    spread = "" if None in ends else f" [{', '.join(f'{end:{sign}.{digits}f}' for end in ends)}]"
    return f"{row[name]:{sign}.{digits}f}{spread}"


def markdown(header: list[str], lines: Iterable[list[str]], texts: int) -> str:
    """A table whose first `texts` columns are text, the others figures."""
    rows = ["| " + " | ".join(map(str, cells)) + " |" for cells in [header, *lines]]
    rows.insert(1, "|" + "---|" * texts + "---:|" * (len(header) - texts))
    return "\n".join(rows)


def comparison_text(rows: list[dict]) -> str:
    lines = []
    for row in rows:
        if row["size"] == "mean":
            title = f"mean over {row['sizes']} {'rows' if row['test_set'] == 'all' else 'sizes'}"
            lines.append([row["test_set"], title, "", "", "", show(row, "relative", "+"), ""])
            continue
        params = MISSING if row["params"] is None else f"{row['params'] / 1e6:.2f} M"
        values = [show(row, kind, digits=MEASURES[row["measure"]].digits) for kind in ("supernet", "individual")]
        cells = [row["test_set"], row["size"], params, *values]
        lines.append([*cells, show(row, "relative", "+"), f"{row['supernet_seeds']} / {row['individual_seeds']}"])
    header = ["test set", "size", "parameters", "supernet", "individually trained", "relative difference", "seeds"]
    return markdown(header, lines, 2)


def ablation_text(rows: list[dict]) -> str:
    by_cell = {(row["line"], row["size"], row["test_set"]): row for row in rows}
    digits = MEASURES[rows[0]["measure"]].digits
    sizes, test_sets = (list(dict.fromkeys(row[key] for row in rows)) for key in ("size", "test_set"))
    lines = [
        [title, test_set, *(show(by_cell[title, size, test_set], "value", digits=digits) for size in sizes)]
        for test_set in test_sets
        for title in ABLATION.values()
    ]
    return markdown(["supernet", "test set", *sizes], lines, 2)


def cost_text(rows: list[dict]) -> str:
    lines = []
    for row in rows:
        hours = row.get("ratio") if "ratio" in row else row["hours"]
        cells = [MISSING if hours is None else f"{hours:.3g}"]
        cells += [f"{row[key]:,.0f}" if row.get(key) is not None else "" for key in ("updates", "audio_hours", "seeds")]
        lines.append([row["model"], *cells])
    unit = next((row["unit"] for row in rows if row.get("unit")), "gpu_hours").replace("_", " ").replace("pu", "PU")
    unit = unit[0].upper() + unit[1:]
    return markdown(["model", unit, "updates", "hours of audio seen", "seeds"], lines, 1)


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
    write_text(out / "tables.json", json.dumps(record, indent=1) + "\n")
    write_text(out / "TABLES.md", text + "\n")
    print(f"{text}\n\nwritten: {out}/TABLES.md, tables.json, comparison.csv, ablation.csv, cost.csv")


if __name__ == "__main__":
    run_main(main)
