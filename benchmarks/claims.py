"""Whether the claims hold, read from the records in docs/results: sizes of a supernet against models trained alone.

    python benchmarks/claims.py

The last line is one JSON object. A figure that was not measured is null, and `reasons` says what would measure it.

The figures are those of `FIGURES`. With their aims they are the first table of docs/results.md.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from espnet_plugin.common.files import read_json
from espnet_plugin.errors import run_main
from espnet_plugin.recipe.table_text import markdown

RECORDS = Path(__file__).parents[1] / "docs" / "results"
SEEDS = 4  # of the comparison on the mini corpus
SIX = 6
COMMANDS = {
    "mini": './tables.sh --scale mini --seeds "0 1 2 3 4"',
    "mini_cost": "./tables.sh --scale mini, all six sizes of conf/mini/individual",
    "mini_equal": './tables.sh --scale mini --seeds "0 1 2 3 4" --ablation "" --supernet_args "--max_epoch 12"',
    "digits_unseen": "./tables.sh --scale digits for each speaker, see egs2/librispeech_todm/README.md",
    "read_speech": "./tables.sh --scale read_speech, see egs2/librispeech_todm/README.md",
    "read_speech_40": "./run.sh with conf/read_speech/supernet.yaml, see docs/results.md",
    "read_speech_40_beam": "the same with beam search",
}


class Missing(Exception):
    """A figure that the records do not give; its text is the reason."""


def rows_of(folder: Path, name: str, table: str) -> list[dict]:
    record = read_json(folder / f"{name}.json")
    if record is None:
        raise Missing(f"docs/results/{name}.json does not exist; it is the record of {COMMANDS[name]}")
    return record[table]


def hours_of(rows: list[dict], model: str) -> float:
    """Hours of training in a cost table."""
    found = next((row.get("hours") for row in rows if row["model"] == model), None)
    if found is None:
        raise Missing(f"no hours of {model}")
    return found


def sizes_of(rows: list[dict], measure: str, seeds: int = 1) -> list[dict]:
    """Rows of sizes, each with both systems and enough seeds."""
    found = [row for row in rows if row["measure"] == measure and row["size"] != "mean"]
    for row in found:
        if row.get("relative") is None or min(row["supernet_seeds"], row["individual_seeds"]) < seeds:
            raise Missing(f"{row['size']}, {row['test_set']}: needs both systems with {seeds} seeds")
    if not found:
        raise Missing(f"no row of measure {measure}")
    return found


def overall(rows: list[dict], measure: str) -> dict:
    """The row of the mean over all sizes and test sets."""
    return [row for row in rows if row["measure"] == measure and row["size"] == "mean"][-1]


def worst_size(rows: list[dict]) -> float:
    sizes = {row["size"] for row in rows}
    means = ([row["relative"] for row in rows if row["size"] == size] for size in sizes)
    return max(sum(values) / len(values) for values in means)


def mini(folder: Path, name: str = "mini") -> dict:
    rows = rows_of(folder, name, "comparison")
    sizes, mean = sizes_of(rows, "wer", SEEDS), overall(rows, "wer")
    half = (mean["relative_high"] - mean["relative_low"]) / 2
    return {
        f"{name}_relative_wer": mean["relative"],
        f"{name}_half_width": half,
        f"{name}_worst_size": worst_size(sizes),
    }


def digits(folder: Path) -> dict:
    rows = rows_of(folder, "digits_unseen", "comparison")
    rates = [row["supernet"] for row in sizes_of(rows, "wer")]
    found = {"digits_unseen_relative_wer": overall(rows, "wer")["relative"]}
    return found | {"digits_unseen_wer_min": min(rates), "digits_unseen_wer_max": max(rates)}


def read_speech(folder: Path) -> dict:
    rows = rows_of(folder, "read_speech", "comparison")
    sizes_of(rows, "loss")
    return {"read_relative_loss": overall(rows, "loss")["relative"]}


def characters(folder: Path, name: str) -> float:
    """Character error rate of a run's largest size on the worse of its test sets, %."""
    rows = rows_of(folder, name, "sizes")
    largest = max(row["params"] for row in rows)
    return max(row["cer"] for row in rows if row["params"] == largest)


def read_characters(folder: Path) -> dict:
    names = {"read_cer": "read_speech_40", "read_beam_cer": "read_speech_40_beam"}
    return {key: characters(folder, name) for key, name in names.items()}


def cost_ratio(folder: Path, name: str) -> float:
    """Cost of a record's supernet over that of six models trained alone."""
    alone = rows_of(folder, "mini_cost", "cost")
    count = sum(row["model"].startswith("individual/") and row["hours"] is not None for row in alone)
    if count < SIX:
        raise Missing(f"docs/results/mini_cost.json: has the cost of {count} models trained alone, {SIX} are needed")
    return hours_of(rows_of(folder, name, "cost"), "supernet") / hours_of(alone, "all individual models")


def cost(folder: Path) -> dict:
    return {"six_sizes_cost_ratio": cost_ratio(folder, "mini_cost")}


def equal(folder: Path) -> dict:
    return mini(folder, "mini_equal") | {"mini_equal_cost_ratio": cost_ratio(folder, "mini_equal")}


class Figure(NamedTuple):
    """Args: claim: that it is a part of; about: what is measured; aim: what it should not exceed."""

    claim: Callable[[Path], dict]
    about: str
    aim: float


# "Relative": of a supernet's sizes over models trained alone, mean over sizes and test sets, %.
FIGURES = {
    "mini_relative_wer": Figure(mini, "mini corpus, a supernet of a sixth more updates: relative word errors, %", 0),
    "mini_half_width": Figure(mini, "half of its interval, %", 4),
    "mini_worst_size": Figure(mini, "the same of the worst size, mean over test sets, %", 3),
    "six_sizes_cost_ratio": Figure(cost, "cost of that supernet over that of six models trained alone", 0.45),
    "mini_equal_relative_wer": Figure(equal, "mini corpus, a supernet of as many updates: relative word errors, %", 0),
    "mini_equal_half_width": Figure(equal, "half of its interval, %", 4),
    "mini_equal_worst_size": Figure(equal, "the same of the worst size, mean over test sets, %", 3),
    "mini_equal_cost_ratio": Figure(equal, "cost of that supernet over that of six models trained alone", 0.45),
    "digits_unseen_relative_wer": Figure(
        digits, "digits of unseen speakers, all folds pooled: relative word errors, %", 0
    ),
    "digits_unseen_wer_min": Figure(digits, "word error rate of the supernet's best size there, %", 10),
    "digits_unseen_wer_max": Figure(digits, "word error rate of its worst size there, %", 10),
    "read_relative_loss": Figure(read_speech, "read sentences: relative held-out loss, %", 0),
    "read_cer": Figure(
        read_characters, "the largest size after 40 passes: character error rate of the worse set, %", 40
    ),
    "read_beam_cer": Figure(read_characters, "the same with beam search", 40),
}


def figures(folder: Path) -> dict:
    """All figures, and the reasons of those that are null."""
    found, reasons = {}, {}
    for claim in dict.fromkeys(figure.claim for figure in FIGURES.values()):
        try:
            values = {key: round(value, 3) for key, value in claim(folder).items()}
        except Missing as error:
            values = {key: None for key, figure in FIGURES.items() if figure.claim is claim}
            reasons |= dict.fromkeys(values, str(error))
        found |= values
    return found | {"reasons": reasons}


def summary(folder: Path) -> str:
    """Each figure beside its aim, as a table."""
    found = figures(folder)
    lines = []
    for key, (_, about, aim) in FIGURES.items():
        value = found[key]
        reached = "not measured" if value is None else "yes" if value <= aim else "no"
        lines.append([about, "" if value is None else f"{value:.2f}", f"{aim:g}", reached])
    return markdown(["figure", "measured", "aim: at most", "reached"], lines, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=Path, default=RECORDS, help="folder of the JSON files")
    print(json.dumps(figures(parser.parse_args().records)))


if __name__ == "__main__":
    run_main(main)
