"""The figures of the claims, from records made by hand."""

import json
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
from claims import FIGURES, RECORDS, figures, summary


def row(size: str, test_set: str, relative: float, **others) -> dict:
    values = {"measure": "wer", "size": size, "test_set": test_set, "supernet_seeds": 4, "individual_seeds": 4}
    ends = {"relative": relative, "relative_low": relative - 2, "relative_high": relative + 4}
    return values | ends | {"supernet": 8.0} | others


def write(folder: Path, name: str, comparison: list[dict], cost: list[dict] = ()) -> None:
    (folder / f"{name}.json").write_text(json.dumps({"comparison": comparison, "cost": list(cost)}))


def test_figures_by_hand(tmp_path):
    mean = row("mean", "all", -1.0)
    rows = [row("6x512", "a", 4.0), row("6x512", "b", 2.0), row("3x64", "a", -6.0), row("3x64", "b", -4.0), mean]
    alone = [{"model": f"individual/{i}", "hours": 1.0} for i in range(6)]
    alone.append({"model": "all individual models", "hours": 6.0})
    write(tmp_path, "mini", rows)
    write(tmp_path, "mini_cost", [], [{"model": "supernet", "hours": 2.4}, *alone])
    equal = [r | {"relative": r["relative"] - 1, "relative_low": r["relative_low"] - 2} for r in rows]
    write(tmp_path, "mini_equal", equal, [{"model": "supernet", "hours": 3.0}])
    write(tmp_path, "digits_unseen", [row("6x512", "a", 1.0, supernet=9.0), row("3x64", "a", -3.0), mean])
    write(tmp_path, "read_speech", [row("6x512", "a", 1.0, measure="loss"), mean | {"measure": "loss"}])
    rates = [dict(params=9, cer=35.0), dict(params=9, cer=41.0), dict(params=4, cer=50.0)]
    (tmp_path / "read_speech_40.json").write_text(json.dumps({"sizes": rates}))
    (tmp_path / "read_speech_40_beam.json").write_text(json.dumps({"sizes": rates[:1]}))
    found = figures(tmp_path)
    assert found.pop("reasons") == {}
    assert found == dict(
        mini_relative_wer=-1.0,
        mini_half_width=3.0,
        mini_worst_size=3.0,
        digits_unseen_relative_wer=-1.0,
        digits_unseen_wer_min=8.0,
        digits_unseen_wer_max=9.0,
        read_relative_loss=-1.0,
        read_cer=41.0,
        read_beam_cer=35.0,
        six_sizes_cost_ratio=0.4,
        mini_equal_relative_wer=-2.0,
        mini_equal_half_width=4.0,
        mini_equal_worst_size=2.0,
        mini_equal_cost_ratio=0.5,
    )
    told = dict(zip(FIGURES, summary(tmp_path).splitlines()[2:], strict=True))
    assert told["mini_relative_wer"].endswith("| -1.00 | 0 | yes |")
    assert told["mini_equal_cost_ratio"].endswith("| 0.50 | 0.45 | no |")


@pytest.mark.parametrize(
    "changes, said",
    [({"individual_seeds": 3}, "needs both systems with 4 seeds"), ({"relative": None}, "needs both systems")],
)
def test_too_little_is_no_figure(changes, said, tmp_path):
    write(tmp_path, "mini", [row("6x512", "a", 4.0) | changes, row("mean", "all", 1.0)])
    write(tmp_path, "mini_cost", [], [{"model": "individual/6x512", "hours": None}])
    found = figures(tmp_path)
    assert found["mini_relative_wer"] is None and said in found["reasons"]["mini_relative_wer"]
    reasons = found["reasons"]
    assert found["six_sizes_cost_ratio"] is None and "0 models trained alone" in reasons["six_sizes_cost_ratio"]
    assert found["mini_equal_cost_ratio"] is None and "mini_equal.json" in reasons["mini_equal_cost_ratio"]
    assert summary(tmp_path).endswith("|  | 40 | not measured |")


def test_every_key_has_a_figure_or_a_reason():
    found = figures(RECORDS)
    reasons = found.pop("reasons")
    assert set(found) == set(FIGURES)
    assert {key for key, value in found.items() if value is None} == set(reasons)
