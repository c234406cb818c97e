"""What RESULTS.md says of what was left out on the way."""

import json
from pathlib import Path

from espnet_plugin.recipe.layout import Experiment
from espnet_plugin.recipe.noticed import sections

FACTS = {"utterances": 1200, "hours": 1.25, "speakers": 7, "left_out": 0, "reasons": {}, "mended": {}}
FACTS |= {"transcripts_changed": 0, "changes": {}}


def write(path: Path, values: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values))


def test_counts_of_data_training_decoding_and_speakers_are_shown(tmp_path):
    experiment = Experiment(tmp_path / "exp")
    sets = [
        tmp_path / "raw" / name for name in ("train", "test", "old")
    ]  # the last one was formatted by an earlier version
    write(sets[0] / "set.json", FACTS | {"left_out": 3, "reasons": {"no audio": 2, "empty transcript": 1}})
    write(sets[1] / "set.json", FACTS | {"speakers": None, "utterances": 5})
    write(experiment.cost, {"left_out": 4, "utterances": 100, "skipped_updates": 2})
    for name, missing in (("max", 0), ("min", 1)):
        speakers = {f"s{i}": {"utterances": 1, "words": 10, "wer": 2.5 * i, "cer": 0} for i in range(12)}
        write(experiment.score(name, "test") / "score.json", {"missing": missing, "speakers": speakers})
    text = "\n\n".join(sections(experiment, sets, ["max", "min"], ["test"]))
    assert "| train | 1,200 | 1.25 | 7 | 3 | 0 |" in text and "| test | 5 | 1.25 | unknown | 0 | 0 |" in text
    assert "- train, left out: 2 no audio, 1 empty transcript" in text and "- test names no speakers" in text
    assert "- 4 of 100 utterances that training saw had more symbols" in text and "- 2 updates were skipped" in text
    assert "- min, test: 1 utterances were not decoded" in text and "- max" not in text
    worst = [line for line in text.splitlines() if line.startswith("| s")][2:]
    assert [line.split()[1] for line in worst] == [f"s{i}" for i in range(11, 1, -1)]


def test_nothing_is_said_where_nothing_is_known(tmp_path):
    assert sections(Experiment(tmp_path), [tmp_path / "raw" / "train"], ["max"], ["test"]) == []
