"""The cost of six sizes, from records made by hand."""

import json
import sys
from pathlib import Path

import pytest

from espnet_plugin.errors import UserError
from espnet_plugin.recipe.layout import Experiment
from espnet_plugin.recipe.tables import Experiments

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
from six_sizes import figures

SIZES = ("6x512", "3x64")


def record(root, run: str, hours: float, updates: int = 100, unit: str = "cpu_hours", seed: int = 0) -> None:
    folder = root / f"seed{seed}" / run / "supernet"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cost.json").write_text(json.dumps({unit: hours, "updates": updates, "audio_hours": 1.0}))
    Experiment(folder.parent).trained.touch()


def score(root, run: str, size: str, hypotheses: dict[str, str]) -> None:
    folder = root / "seed0" / run / "sizes" / size / "score" / "test"
    folder.mkdir(parents=True)
    (folder / "score.json").write_text("{}")
    for name, texts in (("ref", {"a": "A B C D", "b": "A B"}), ("hyp", hypotheses)):
        (folder / f"{name}.trn").write_text("".join(f"{text} ({key})\n" for key, text in texts.items()))


@pytest.fixture
def runs(tmp_path) -> Experiments:
    for run, hours in (("supernet", 3.0), ("individual/6x512", 4.0), ("individual/3x64", 2.0)):
        record(tmp_path, run, hours)
    return Experiments((tmp_path,), SIZES, ("test",))


def test_a_run_that_is_under_way_does_not_count(runs):
    Experiment(runs.roots[0] / "seed0" / "individual/3x64").trained.unlink()
    assert figures(runs, "cheap", 50)["six_sizes_cost_ratio"] is None


def test_ratios_of_hours_and_of_errors(runs):
    found = figures(runs, "cheap", 50)
    assert found["six_sizes_cost_ratio"] == 0.5 and found["six_sizes_cost_ratio_cheap"] is None
    assert found["cheap_relative_wer"] is None and (found["updates"], found["unit"]) == (100, "cpu_hours")
    record(runs.roots[0], "cheap", 2.4)
    for size in SIZES:
        score(runs.roots[0], "supernet", size, {"a": "A B C", "b": "A"})  # 2 errors
        score(runs.roots[0], "cheap", size, {"a": "A B C" if size == SIZES[0] else "A B", "b": "A"})  # 2 or 3
    found = figures(runs, "cheap", 50)
    assert found["six_sizes_cost_ratio_cheap"] == 0.4
    assert found["cheap_relative_wer"] == pytest.approx((0 + 50) / 2)
    assert found["hours"] == {"supernet": 3.0, "cheap": 2.4, "individual/6x512": 4.0, "individual/3x64": 2.0}
    record(runs.roots[0], "supernet", 6.0, seed=1)
    assert figures(runs, "cheap", 50)["six_sizes_cost_ratio"] == 0.75  # mean of the seeds


@pytest.mark.parametrize("changes", [dict(updates=99), dict(unit="gpu_hours")])
@pytest.mark.parametrize("seed", [0, 1])
def test_runs_that_cannot_be_compared_are_refused(runs, changes, seed):
    record(runs.roots[0], "individual/3x64", 2.0, seed=seed, **changes)
    with pytest.raises(UserError, match="differ in updates or machine"):
        figures(runs, "cheap", 50)
