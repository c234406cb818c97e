"""Sections of RESULTS.md on what the figures rest on: the sets, what was left out of them, and single speakers."""

from pathlib import Path

from espnet_plugin.common.files import read_json
from espnet_plugin.recipe.layout import Experiment
from espnet_plugin.recipe.transcripts import counted

WORST = 10


def cells(*values: object) -> str:
    return "| " + " | ".join(map(str, values)) + " |"


def data_section(folders: list[Path], left_out: float | None = None) -> list[str]:
    """What the formatted sets hold; none for sets that do not say.

    Args:
        folders: of the sets.
        left_out: share of the utterances in training that had more symbols than encoder frames, None where it is not known.
    """
    found = {folder.name: facts for folder in folders if (facts := read_json(folder / "set.json"))}
    if not found:
        return []
    lines = [
        cells("set", "utterances", "hours", "speakers", "left out", "transcripts changed"),
        "|---|---:|---:|---:|---:|---:|",
    ]
    notes = []
    for name, facts in found.items():
        speakers = "not given" if facts["speakers"] is None else facts["speakers"]
        figures = (
            facts["utterances"],
            f"{facts['hours']:.2f}",
            speakers,
            facts["left_out"],
            facts["transcripts_changed"],
        )
        lines.append(cells(name, *figures))
        if facts["left_out"]:
            notes.append(f"- left out of {name}, see its rejected.txt: {counted(facts['reasons'])}")
        if facts["transcripts_changed"]:
            notes.append(f"- transcripts of {name} changed by normalisation: {counted(facts['changes'])}")
    if left_out:
        notes.append(
            f"- left out of the loss: {left_out:.2%} of the utterances in training, which had more symbols than encoder frames"
        )
    return ["## Data", "\n".join(lines), *(["\n".join(notes)] if notes else [])]


def speaker_section(exp: Experiment, names: list[str], test_sets: list[str]) -> list[str]:
    """The speakers with the highest word error rates, by the largest size. Args: names: of the sizes, largest first."""
    parts = []
    for test_set in test_sets:
        rates = {
            name: (read_json(exp.score(name, test_set) / "score.json") or {}).get("speakers") or {} for name in names
        }
        worst = list(rates[names[0]])[:WORST]
        if not worst:
            continue
        lines = [
            cells(f"speaker of {test_set}", "words", *(f"{name} WER" for name in names)),
            "|---|---:|" + "---:|" * len(names),
        ]
        for speaker in worst:
            own = (rates[name].get(speaker) for name in names)
            figures = ("missing" if found is None else f"{found['wer']:.2f}" for found in own)
            lines.append(cells(speaker, rates[names[0]][speaker]["words"], *figures))
        parts.append("\n".join(lines))
    return (
        ["## Speakers", f"The {WORST} with the highest word error rates of the largest size, in percent.", *parts]
        if parts
        else []
    )
