"""What RESULTS.md says of what was left out, changed or guessed on the way, and of speakers that are recognised badly."""

from collections.abc import Sequence
from pathlib import Path

from espnet_plugin.common.files import read_json
from espnet_plugin.recipe.layout import Experiment
from espnet_plugin.recipe.transcripts import counted

WORST = 10  # speakers named


def rows_of(header: list[str], rows: list[list[object]], texts: int = 1) -> str:
    """A Markdown table. Args: texts: first columns that are text, the others are figures."""
    table: list[Sequence[object]] = [header, *rows]
    lines = ["| " + " | ".join(map(str, cells)) + " |" for cells in table]
    lines.insert(1, "|" + "---|" * texts + "---:|" * (len(header) - texts))
    return "\n".join(lines)


def data_section(sets: list[Path]) -> list[str]:
    """A row for each formatted set that has a count of itself. Args: sets: folders."""
    rows, notes = [], []
    for folder in sets:
        facts = read_json(folder / "set.json")
        if facts is None:
            continue
        speakers = "unknown" if facts["speakers"] is None else facts["speakers"]
        figures = [f"{facts['utterances']:,}", f"{facts['hours']:.2f}", speakers, facts["left_out"]]
        rows.append([folder.name, *figures, facts["transcripts_changed"]])
        for what, key in (("left out", "reasons"), ("transcripts changed", "changes"), ("audio mended", "mended")):
            if facts.get(key):
                notes.append(f"- {folder.name}, {what}: {counted(facts[key])}")
        if facts["speakers"] is None:
            notes.append(f"- {folder.name} names no speakers: each utterance counts as one")
    if not rows:
        return []
    header = ["set", "utterances", "hours", "speakers", "left out", "transcripts changed"]
    return ["## Data", rows_of(header, rows), *(["\n".join(notes)] if notes else [])]


def training_notes(experiment: Experiment) -> list[str]:
    """Utterances that never counted in training, and updates that were left out."""
    cost = read_json(experiment.cost) or {}
    notes = []
    if cost.get("left_out"):
        notes.append(
            f"- {cost['left_out']} of {cost['utterances']} utterances that training saw had more symbols than encoder frames: left out of "
            "the loss; its log names them"
        )
    if cost.get("skipped_updates"):
        notes.append(f"- {cost['skipped_updates']} updates were skipped: a loss or gradient was not finite")
    return notes


def decoding_notes(experiment: Experiment, sizes: list[str], test_sets: list[str]) -> list[str]:
    """Utterances that a size could not decode: they count as errors."""
    notes = []
    for name in sizes:
        for test_set in test_sets:
            missing = (read_json(experiment.score(name, test_set) / "score.json") or {}).get("missing")
            if missing:
                notes.append(
                    f"- {name}, {test_set}: {missing} utterances were not decoded, all their words count as errors"
                )
    return notes


def speaker_section(experiment: Experiment, largest: str, test_sets: list[str]) -> list[str]:
    """The speakers with the highest word error rates, for the largest size."""
    rows = []
    for test_set in test_sets:
        speakers = (read_json(experiment.score(largest, test_set) / "score.json") or {}).get("speakers") or {}
        rows += [
            [speaker, test_set, one["utterances"], one["words"], f"{one['wer']:.2f}"]
            for speaker, one in speakers.items()
        ]
    if not rows:
        return []
    worst = sorted(rows, key=lambda row: -float(row[-1]))[:WORST]
    title = f"Of {len(rows)}, the {len(worst)} with the highest word error rate, size {largest}."
    table = rows_of(["speaker", "test set", "utterances", "words", "WER"], worst, texts=2)
    return ["## Speakers", title, table]


def sections(experiment: Experiment, sets: list[Path], sizes: list[str], test_sets: list[str]) -> list[str]:
    """Parts of RESULTS.md.

    Args:
        sets: folders of formatted sets.
        sizes: names, largest first.
    """
    notes = [*training_notes(experiment), *decoding_notes(experiment, sizes, test_sets)]
    left_out = ["## Left out", "\n".join(notes)] if notes else []
    return [*data_section(sets), *left_out, *speaker_section(experiment, sizes[0], test_sets)]
