#!/usr/bin/env python3
"""The table and the picture of an experiment: RESULTS.md, results.json, pareto.png."""

import argparse
import datetime
import json
import subprocess
from importlib.metadata import version
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter, NullFormatter

from espnet_plugin.errors import UserError, run_main


def read_json(path: Path) -> dict | None:
    return json.loads(path.read_text()) if path.is_file() else None


def collect(expdir: Path, test_sets: list[str]) -> list[dict]:
    """One row for each size and test set, largest size first; figures are None where a run is missing.

    Raises:
        UserError: no sizes were chosen yet.
    """
    chosen = read_json(expdir / "sizes.json")
    if chosen is None:
        raise UserError(f"--expdir: '{expdir}/sizes.json' does not exist, run the stage that chooses sizes first")
    cost = read_json(expdir / "supernet" / "cost.json") or {}
    rows = []
    for size in chosen["sizes"]:
        folder = expdir / "sizes" / size["name"]
        facts = read_json(folder / "subnet.json") or {}
        for test_set in test_sets:
            score = read_json(folder / "score" / test_set / "score.json") or {}
            row = {"name": size["name"], "subnet": size["subnet"], "params": facts.get("params", size["params"])}
            row |= {"test_set": test_set} | {
                key: score.get(key) for key in ("words", "wer", "cer", "ins", "del", "sub")
            }
            rows.append(row | {"train_seconds": cost.get("train_seconds")})
    return rows


def percent(value: float | None) -> str:
    return "missing" if value is None else f"{value:.2f}"


def git_revision() -> str:
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=Path(__file__).parent
    )
    return done.stdout.strip() if done.returncode == 0 else "not under git"


def table(rows: list[dict], test_sets: list[str]) -> str:
    """Markdown table, one line a size."""
    largest = max(row["params"] for row in rows)
    header = ["size", "subnet", "parameters", "of max"] + [f"{s} {what}" for s in test_sets for what in ("WER", "CER")]
    lines = ["| " + " | ".join(header) + " |", "|---|---|" + "---:|" * (len(header) - 2)]
    for name in dict.fromkeys(row["name"] for row in rows):
        group = {row["test_set"]: row for row in rows if row["name"] == name}
        first = next(iter(group.values()))
        cells = [name, f"`{first['subnet']}`", f"{first['params']:,}", f"{first['params'] / largest:.0%}"]
        cells += [percent(group[s][what]) for s in test_sets for what in ("wer", "cer")]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def report(rows: list[dict], test_sets: list[str], command: str) -> str:
    """Text of RESULTS.md."""
    seconds = rows[0]["train_seconds"]
    time = "missing" if seconds is None else f"{seconds / 60:.1f} minutes for all sizes together"
    counts = ["| size | test set | words | ins | del | sub |", "|---|---|---:|---:|---:|---:|"]
    for row in rows:
        edits = (("missing" if row[k] is None else row[k]) for k in ("words", "ins", "del", "sub"))
        counts.append(f"| {row['name']} | {row['test_set']} | " + " | ".join(map(str, edits)) + " |")
    facts = [
        f"- command: `{command}`",
        f"- training time: {time}",
        f"- date: {datetime.date.today().isoformat()}, git {git_revision()}",
        f"- espnet {version('espnet')}, torch {version('torch')}",
    ]
    parts = [
        "# Results",
        "\n".join(facts),
        "Error rates in percent.",
        table(rows, test_sets),
        "![error rate against size](pareto.png)",
    ]
    return "\n\n".join([*parts, "## Edits", "\n".join(counts)]) + "\n"


def plot(rows: list[dict], test_sets: list[str], path: Path) -> None:
    """Parameters (log scale) against word error rate, one line a test set, each size named once at the top."""
    figure, axes = plt.subplots(figsize=(8, 4.8), dpi=150, layout="constrained")
    top = max((row["wer"] for row in rows if row["wer"] is not None), default=1.0) or 1.0
    for test_set, marker in zip(test_sets, "osD^vP*X" * len(test_sets)):
        points = [
            (row["params"] / 1e6, row["wer"]) for row in rows if row["test_set"] == test_set and row["wer"] is not None
        ]
        axes.plot(*zip(*sorted(points)), marker=marker, label=test_set) if points else None
        for x, y in points:
            axes.annotate(f"{y:.1f}", (x, y), xytext=(0, 6), textcoords="offset points", ha="center", fontsize=8)
    sizes = {row["name"]: row["params"] / 1e6 for row in rows}
    for name, x in sizes.items():
        axes.axvline(x, color="0.9", zorder=0)
        axes.annotate(
            name,
            (x, 1),
            xycoords=("data", "axes fraction"),
            xytext=(0, 4),
            textcoords="offset points",
            ha="center",
            fontsize=9,
        )
    axes.set_xscale("log")
    axes.set_xticks(list(sizes.values()))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:.2f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(0, 1.2 * top)
    axes.set_xlabel("parameters (millions, log scale)")
    axes.set_ylabel("word error rate (%)")
    axes.set_title("One supernet, many sizes", pad=22)
    axes.legend(frameon=False)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.savefig(path, format="png")
    plt.close(figure)


def replace(path: Path, write) -> None:
    """Write beside `path`, then rename."""
    temporary = path.with_name(f".{path.name}.tmp")
    write(temporary)
    temporary.replace(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--expdir", type=Path, required=True)
    parser.add_argument("--test_sets", nargs="+", required=True)
    parser.add_argument("--command", required=True, help="the command that made the experiment, for the record")
    args = parser.parse_args()
    rows = collect(args.expdir, args.test_sets)
    replace(args.expdir / "results.json", lambda path: path.write_text(json.dumps(rows, indent=2) + "\n"))
    replace(args.expdir / "pareto.png", lambda path: plot(rows, args.test_sets, path))
    text = report(rows, args.test_sets, args.command)
    replace(args.expdir / "RESULTS.md", lambda path: path.write_text(text, encoding="utf-8"))
    print(table(rows, args.test_sets))
    print(f"\nwritten: {args.expdir}/RESULTS.md, results.json, pareto.png")


if __name__ == "__main__":
    run_main(main)
