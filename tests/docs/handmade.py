"""Runs of the recipe made by hand."""

import json
from pathlib import Path

from espnet_plugin.recipe.layout import Experiment


def scored(expdir: Path, hypotheses: dict[str, str], loss: float) -> Path:
    """A run of the recipe with one size and one set, each reference of two words."""
    experiment = Experiment(expdir)
    folder = experiment.score("3x64", "dev")
    folder.mkdir(parents=True)
    (folder / "ref.trn").write_text("".join(f"A B ({key})\n" for key in hypotheses))
    (folder / "hyp.trn").write_text("".join(f"{words} ({key})\n" for key, words in hypotheses.items()))
    (folder / "score.json").write_text("{}")
    (folder / "loss").write_text("".join(f"{key} {loss} 4\n" for key in hypotheses))
    experiment.supernet.mkdir()
    experiment.cost.write_text(json.dumps({"updates": 460}))
    return expdir
