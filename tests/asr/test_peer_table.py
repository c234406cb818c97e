"""The table of peers, from scores made by hand and models of a few hundred weights."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tiny

from espnet_plugin.asr.inference.extract import write_model_dir
from espnet_plugin.asr.inference.loading import TrainedModel
from espnet_plugin.errors import UserError
from espnet_plugin.recipe.layout import Experiment
from espnet_plugin.recipe.runs import Experiments

PATH = Path(__file__).parents[2] / "benchmarks" / "peer" / "table.py"
spec = importlib.util.spec_from_file_location("peer_table", PATH)
table = importlib.util.module_from_spec(spec)
spec.loader.exec_module(table)


def finished(run: Path, size: str, hypothesis: str) -> None:
    """A run of the recipe whose model was extracted and scored on one utterance of two words."""
    experiment = Experiment(run)
    model = tiny.build().eval()
    experiment.supernet.mkdir(parents=True)
    experiment.trained.touch()
    experiment.cost.write_text(json.dumps({"cpu_hours": 0.5, "updates": 10, "audio_hours": 1.0}))
    write_model_dir(TrainedModel(model, tiny.arguments()), model.search_space.max, experiment.size(size))
    score = experiment.score(size, "test")
    score.mkdir(parents=True)
    (score / "score.json").write_text("{}")
    (score / "ref.trn").write_text("A B (u1)\n")
    (score / "hyp.trn").write_text(f"{hypothesis} (u1)\n")


@pytest.fixture
def runs(tmp_path):
    seed = tmp_path / "root" / "seed0"
    finished(seed / "peer" / "1.2M", "min", "A C")  # as the recipe names the only size
    (seed / "peer" / "0.6M").mkdir()
    finished(seed / "supernet", "6x512", "A B")
    return Experiments((tmp_path / "root",), ("6x512",), ("test",))


def test_each_finished_system_has_a_row(runs, tmp_path, capsys):
    soundfile.write(tmp_path / "a.wav", np.random.default_rng(0).normal(0, 0.1, 8000), 16000)
    rows = table.rows(runs, {"a": str(tmp_path / "a.wav")}, 10)
    assert [(row["system"], row["wer"]) for row in rows] == [
        ("Zipformer 1.2M", 50.0),
        ("MH-SSM 6x512, of the supernet", 0.0),
    ]
    assert all(row["hours"] == 0.5 and row["rtf"] > 0 and row["seeds"] == 1 and row["loss"] is None for row in rows)
    said = capsys.readouterr().out
    assert all(f"left out, not finished: {name}" in said for name in ("Zipformer 0.6M", "MH-SSM 6x512, alone"))


def test_a_folder_without_peers_is_told(tmp_path):
    (tmp_path / "seed0").mkdir()
    with pytest.raises(UserError, match="has no seedN/peer/SIZE"):
        table.systems(Experiments((tmp_path,), ("6x512",), ("test",)))
