"""How far a training is, for programs: ``progress.jsonl`` beside the model, an object a line, written as things happen."""

import json
import math
from collections.abc import Mapping
from pathlib import Path

NAME = "progress.jsonl"


def tell(folder: Path | None, **facts: object) -> None:
    """Append a line. Figures that are not finite are left out: they do not apply.

    Args:
        folder: the model's; None on workers that keep no record.
        facts: numbers, texts, or dictionaries of numbers.
    """
    if folder is None:
        return
    facts = {key: finite(value) if isinstance(value, Mapping) else value for key, value in facts.items()}
    with (folder / NAME).open("a", encoding="utf-8") as file:
        file.write(json.dumps(facts) + "\n")


def finite(figures: Mapping[str, float]) -> dict[str, float]:
    return {key: float(value) for key, value in figures.items() if math.isfinite(value)}
