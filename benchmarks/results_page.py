"""Fill the tables of the pages of results and draw their pictures from the records in docs/results, so that they agree.

    python benchmarks/results_page.py             # after: cp exp/tables_mini/tables.json docs/results/mini.json
    python benchmarks/results_page.py --demo egs2/librispeech_todm/exp/mini     # takes over a run of make demo
    python benchmarks/results_page.py --run EXPDIR --record read_speech_40      # takes over another run of the recipe
    python benchmarks/results_page.py --check     # change nothing; status 1 where a page does not fit the records

A record is what ./tables.sh leaves as tables.json; that of a run, as demo.json, has the rows of its results.json. A table stands between
two comments, such as

    <!-- begin: mini comparison wer -->
    <!-- end -->

which name a record, what is shown of it, and the measure (wer, cer or loss); `claims summary` is the table of claims.py. A picture is drawn
where the page shows it, as results/mini_wer.png.
"""

import argparse
import json
import re
import shutil
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import claims
import matplotlib.pyplot as plt

from espnet_plugin.common.files import need_file, read_json, read_text, write_json, write_text, write_whole
from espnet_plugin.errors import UserError, run_main
from espnet_plugin.recipe import results
from espnet_plugin.recipe.runs import MEASURES
from espnet_plugin.recipe.table_text import ablation_text, comparison_text, cost_text, markdown, show

DOCS = Path(__file__).parents[1] / "docs"
PAGES = [DOCS / "results.md", DOCS / "trials.md"]
BLOCK = re.compile(r"(<!-- begin: (\w+) (\w+)(?: (\w+))? -->\n).*?(<!-- end -->)", re.DOTALL)
PICTURE = re.compile(rf"\(results/(\w+)_({'|'.join(MEASURES)})\.png\)")


def candidates_text(rows: list[dict]) -> str:
    """One line a size and test set: a way of training beside the default after as many updates."""
    lines = []
    for row in rows:
        digits = MEASURES[row["measure"]].digits
        values = [show(row, key, digits=digits) if key in row else "" for key in ("before", "after")]
        cells = [row["test_set"], row["size"], f"{row['updates']:,}", *values]
        lines.append([*cells, show(row, "relative", "+", 1)])
    return markdown(["test set", "size", "updates", "before", "after", "relative difference"], lines, 2)


def sizes_text(rows: list[dict]) -> str:
    """The table of a run of the recipe."""
    return results.table(rows, list(dict.fromkeys(row["test_set"] for row in rows)))


def peers_text(rows: list[dict]) -> str:
    """One line a system and test set."""
    lines = []
    for row in rows:
        cells = [
            row["test_set"],
            row["system"],
            f"{row['params'] / 1e6:.2f} M",
            *(show(row, name, digits=measure.digits) for name, measure in MEASURES.items()),
        ]
        lines.append([*cells, f"{row['hours']:.3f}", f"{row['rtf']:.4f}", str(row["seeds"])])
    measures = ["loss" if name == "loss" else name.upper() for name in MEASURES]
    header = ["test set", "system", "parameters", *measures, "hours of training", "real-time factor", "seeds"]
    return markdown(header, lines, 2)


# Of each row of results.json.
KEPT = ("name", "subnet", "params", "test_set", "words", "wer", "cer", "tokens", "loss", "train_seconds")
SHOWN = {
    "sizes": sizes_text,
    "comparison": comparison_text,
    "ablation": ablation_text,
    "candidates": candidates_text,
    "peers": peers_text,
    "cost": cost_text,
}


def table(folder: Path, name: str, what: str, measure: str | None) -> str:
    """The text of a block.

    Raises:
        UserError: no such record, or nothing of it to show.
    """
    if name == "claims":
        return claims.summary(folder)
    record = read_json(folder / f"{name}.json")
    if record is None:
        raise UserError(f"'{folder}/{name}.json' does not exist, but the page shows it")
    if what not in SHOWN:
        raise UserError(f"page: '{what}' is not one of {', '.join(SHOWN)}")
    rows = [row for row in record.get(what, []) if measure is None or row["measure"] == measure]
    if not rows:
        raise UserError(f"'{folder}/{name}.json': has no '{what}' of measure '{measure}'")
    return SHOWN[what](rows)


def filled(page: str, folder: Path) -> str:
    """The page with the tables that its records give."""
    return BLOCK.sub(lambda m: f"{m[1]}\n{table(folder, m[2], m[3], m[4])}\n\n{m[5]}", page)


@dataclass(frozen=True)
class Point:
    """A system of a picture. Args: family: its line; test_set: its panel; params: of the model; value, low, high: error or loss."""

    family: str
    test_set: str
    params: int
    value: float
    low: float
    high: float


def points(record: dict, measure: str) -> list[Point]:
    """What a record has of a measure: peers where there are some, else the supernet's sizes and models trained alone."""
    if "peers" in record:
        found = ((row, row["family"], measure) for row in record["peers"])
    else:
        rows = [row for row in record.get("comparison", []) if row["measure"] == measure and row.get("params")]
        families = {"supernet": "one supernet", "individual": "trained alone"}
        found = ((row, family, kind) for kind, family in families.items() for row in rows)
    return [
        Point(family, row["test_set"], row["params"], row[key], row[f"{key}_low"], row[f"{key}_high"])
        for row, family, key in found
        if row.get(key) is not None
    ]


def picture(points: list[Point], measure: str, path: Path) -> None:
    """Size against error or loss, with intervals: a panel for each test set, a line for each family."""
    sets, families = (list(dict.fromkeys(getattr(point, key) for point in points)) for key in ("test_set", "family"))
    figure, panels = plt.subplots(
        1, len(sets), figsize=(3.2 * len(sets), 3.2), dpi=120, layout="constrained", squeeze=False
    )
    for axes, name in zip(panels[0], sets):
        for number, (family, marker) in enumerate(zip(families, "os^Dv")):
            line = [point for point in points if (point.test_set, point.family) == (name, family)]
            x = [(0.99 + 0.02 * number) * point.params / 1e6 for point in line]  # beside each other
            ends = [[point.value - point.low for point in line], [point.high - point.value for point in line]]
            if line:
                axes.errorbar(x, [point.value for point in line], ends, marker=marker, capsize=3, label=family)
        axes.set_title(name, fontsize=10)
        axes.set_xlabel("parameters (millions)")
        axes.set_ylim(bottom=0)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    panels[0][0].set_ylabel(MEASURES[measure].title, fontsize=8)
    panels[0][0].legend(frameon=False, fontsize=8)
    figure.savefig(path, format="png")
    plt.close(figure)


def draw(page: str, folder: Path) -> None:
    """The pictures that a page shows.

    Raises:
        UserError: one of a record that is not there, or that has nothing to draw.
    """
    for name, measure in dict.fromkeys(PICTURE.findall(page)):
        found = points(read_json(folder / f"{name}.json") or {}, measure)
        if not found:
            raise UserError(f"'{folder}/{name}.json': has no '{measure}' to draw, but the page shows it")
        write_whole(folder / f"{name}_{measure}.png", partial(picture, found, measure))


def run_record(option: str, expdir: Path) -> dict:
    """The rows of a run of the recipe.

    Args:
        option: that names the run.

    Raises:
        UserError: it is not finished.
    """
    found = json.loads(read_text(need_file(f"{option}:", expdir / "results.json")))
    return {"sizes": [{key: row.get(key) for key in KEPT} for row in found]}


def take_run(expdir: Path, record: Path) -> None:
    """Take over the rows of a run. Raises `UserError`: it is not finished."""
    write_json(record, run_record("--run", expdir))


def take_demo(expdir: Path, records: Path) -> None:
    """Take over the rows and the picture of a demonstration, both or none. Raises `UserError`: it is not finished."""
    record = run_record("--demo", expdir)
    picture = need_file("--demo:", expdir / "pareto.png")
    write_json(records / "demo.json", record)
    shutil.copy(picture, records.parent / "pareto_mini.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=Path, nargs="+", default=PAGES)
    parser.add_argument("--records", type=Path, default=DOCS / "results", help="folder of the JSON files")
    parser.add_argument(
        "--demo", type=Path, help="--expdir of a demonstration: its results become demo.json and the picture"
    )
    parser.add_argument("--run", type=Path, help="--expdir of another run, whose results become the record")
    parser.add_argument("--record", help="its name, with --run")
    parser.add_argument("--check", action="store_true", help="change nothing, tell whether page and records agree")
    args = parser.parse_args()
    if (args.run is None) != (args.record is None):
        parser.error("--run and --record go together")
    if args.demo is not None:
        take_demo(args.demo, args.records)
    if args.run is not None:
        take_run(args.run, args.records / f"{args.record}.json")
    for path in args.pages:
        page = read_text(path)
        text = filled(page, args.records)
        if text != page:
            if args.check:
                sys.exit(f"error: {path}: does not fit the records, run python {Path(__file__).name}")
            write_text(path, text)
        if not args.check:
            draw(text, args.records)


if __name__ == "__main__":
    run_main(main)
