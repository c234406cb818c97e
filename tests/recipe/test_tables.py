"""The paper-shaped tables, from experiments of a few utterances made by hand."""

import csv
import json
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet_plugin.errors import UserError
from espnet_plugin.recipe.bootstrap import Counts, Pair, ratio, relative_difference
from espnet_plugin.recipe.runs import read_pairs, seeds_of

REFERENCE = {"u1": "A B C D", "u2": "A B", "u3": "A B C D"}
GOOD = REFERENCE | {"u1": "A B C"}  # 1 error in 10 words
BAD = REFERENCE | {"u1": "A B X", "u2": "A B C D"}  # 4 errors


def errors(edits, words) -> Counts:
    """Of one run, or of several: (N,) or (R, N) edits."""
    keys = tuple(f"u{i}" for i in range(len(words)))
    return Counts(keys, np.atleast_2d(np.array(edits, float)), np.array(words, float))


def write_run(expdir, sizes: dict[str, tuple[int, dict[str, str]]], hours: float) -> None:
    """What a recipe run leaves: size -> (parameters, hypotheses)."""
    for size, (params, hypotheses) in sizes.items():
        folder = expdir / "sizes" / size / "score" / "test"
        folder.mkdir(parents=True)
        for name, table in (("ref", REFERENCE), ("hyp", hypotheses)):
            (folder / f"{name}.trn").write_text("".join(f"{words} (spk-{key})\n" for key, words in table.items()))
        (folder / "score.json").write_text("{}")
        nats = {key: 2.0 * len(words.split()) for key, words in hypotheses.items()}
        tokens = {key: len(words.split()) for key, words in REFERENCE.items()}
        (folder / "loss").write_text("".join(f"{key} {nats[key]} {tokens[key]}\n" for key in REFERENCE))
        (expdir / "sizes" / size / "subnet.json").write_text(json.dumps({"params": params}))
    cost = {"cpu_hours": hours, "updates": 100, "audio_hours": 2.0}
    (expdir / "supernet").mkdir(parents=True)
    (expdir / "supernet" / "cost.json").write_text(json.dumps(cost))
    (expdir / ".supernet.training.done").touch()


@pytest.fixture
def folders(tmp_path):
    """Two sizes are wanted; of the individual models the larger one is there."""
    for name in ("6x512", "3x64"):
        path = tmp_path / "conf" / "individual" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    write_run(tmp_path / "root/seed0/supernet", {"6x512": (2_000_000, GOOD), "3x64": (500_000, BAD)}, 3.0)
    write_run(tmp_path / "root/seed0/individual/6x512", {"6x512": (2_000_000, BAD)}, 1.0)
    return ["--conf", tmp_path / "conf", "--root", tmp_path / "root", "--test_sets", "test", "--resamples", 100]


def rows(folder, name: str, measure: str = "wer") -> list[dict]:
    with (folder / f"{name}.csv").open(newline="") as file:
        return [row for row in csv.DictReader(file) if row.get("measure", measure) == measure]


def test_what_is_there_is_compared_and_the_rest_is_missing(folders, tmp_path, run_script):
    done = run_script("tables", *folders, "--command", "./tables.sh")
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "root" / "TABLES.md").read_text()
    large, small, mean = rows(tmp_path / "root", "comparison")
    assert (large["size"], float(large["supernet"]), float(large["individual"])) == ("6x512", 10.0, 40.0)
    assert float(large["relative"]) == -75.0 and float(large["individual_low"]) <= 40 <= float(large["individual_high"])
    assert (small["params"], float(small["supernet"]), small["individual"], small["relative"]) == ("500000", 40, "", "")
    assert (mean["size"], mean["sizes"], float(mean["relative"])) == ("mean", "1", -75.0)
    by_loss, *_ = rows(tmp_path / "root", "comparison", "loss")
    assert (float(by_loss["supernet"]), float(by_loss["individual"])) == (1.8, 2.2)  # 9 and 11 words of 10
    assert float(by_loss["relative"]) == pytest.approx(100 * (9 / 11 - 1)) and "nats a token" in text
    by_characters, *_ = rows(tmp_path / "root", "comparison", "cer")  # of 17, gaps between words among them
    assert float(by_characters["supernet"]) == pytest.approx(100 * 2 / 17)
    assert float(by_characters["individual"]) == pytest.approx(100 * 7 / 17)
    line = next(line for line in text.splitlines() if line.startswith("| test | 3x64"))
    assert "0.50 M" in line and line.count("missing") == 2 and " 0.00" not in line
    by_line = {(row["run"], row["size"]): row["value"] for row in rows(tmp_path / "root", "ablation")}
    assert by_line["supernet", "6x512"] == "10.0" and by_line["ablation/alone", "6x512"] == ""
    costs = {row["model"]: row for row in rows(tmp_path / "root", "cost")}
    assert costs["supernet"]["hours"] == "3.0" and costs["individual/3x64"]["hours"] == ""
    assert costs["all individual models"]["hours"] == "" and costs["supernet / all individual models"]["ratio"] == ""
    assert "CPU hours" in text and "| supernet / all individual models | missing |" in text and "./tables.sh" in text
    # With the last individual model: the ratio of costs, and the mean over both sizes.
    write_run(tmp_path / "root/seed0/individual/3x64", {"3x64": (500_000, BAD)}, 0.5)
    assert run_script("tables", *folders).returncode == 0
    assert float(rows(tmp_path / "root", "cost")[-1]["ratio"]) == 2.0
    assert float(rows(tmp_path / "root", "comparison")[-1]["relative"]) == (-75.0 + 0.0) / 2


def test_the_last_mean_is_over_all_test_sets(folders, tmp_path, run_script):
    write_run(tmp_path / "root/seed0/individual/3x64", {"3x64": (500_000, BAD)}, 0.5)
    for score in sorted((tmp_path / "root").glob("seed0/**/score")):
        shutil.copytree(score / "test", score / "other")
        for file in ("ref.trn", "hyp.trn", "loss"):  # another number of utterances
            lines = (score / "other" / file).read_text().splitlines(keepends=True)
            (score / "other" / file).write_text("".join(lines[:-1]))
    folders.insert(folders.index("test") + 1, "other")
    assert run_script("tables", *folders).returncode == 0
    found = rows(tmp_path / "root", "comparison")
    means = [float(row["relative"]) for row in found if row["size"] == "mean"]
    assert found[-1]["test_set"] == "all" and means[2] == pytest.approx((means[0] + means[1]) / 2)
    assert "| all | mean over 4 rows |" in (tmp_path / "root/TABLES.md").read_text()


def test_seeds_are_averaged(folders, tmp_path, run_script):
    write_run(tmp_path / "root/seed1/supernet", {"6x512": (2_000_000, BAD)}, 5.0)
    assert run_script("tables", *folders).returncode == 0
    large, small, _ = rows(tmp_path / "root", "comparison")
    assert float(large["supernet"]) == 25.0 and (large["supernet_seeds"], small["supernet_seeds"]) == ("2", "1")
    assert float(large["relative"]) == pytest.approx(-37.5)
    assert rows(tmp_path / "root", "cost")[0]["hours"] == "4.0"
    # The ablation compares equal seeds.
    write_run(tmp_path / "root/seed0/ablation/alone", {"6x512": (2_000_000, BAD)}, 3.0)
    assert run_script("tables", *folders).returncode == 0
    found = {
        row["run"]: (row["value"], row["seeds"])
        for row in rows(tmp_path / "root", "ablation")
        if row["size"] == "6x512"
    }
    assert found["supernet"] == ("10.0", "1") and found["ablation/alone"] == ("40.0", "1")


def test_folds_are_pooled(folders, tmp_path, run_script, refused):
    """Two folds of which one has 1 error and the other 4 in 10 words."""
    other = tmp_path / "fold2"
    write_run(other / "seed0/supernet", {"6x512": (2_000_000, BAD), "3x64": (500_000, BAD)}, 3.0)
    folders.insert(folders.index("--test_sets"), other)
    assert "--out: is needed with several --root" in refused("tables", *folders)
    out = tmp_path / "pooled"
    out.mkdir()
    done = run_script("tables", *folders, "--out", out)
    assert done.returncode == 0, done.stderr
    large, small, _ = rows(out, "comparison")
    assert float(large["supernet"]) == 25.0 and float(small["supernet"]) == 40.0
    assert large["individual"] == ""  # not every fold has it
    assert float(rows(out, "cost")[0]["hours"]) == 3.0
    record = json.loads((out / "tables.json").read_text())
    assert record["folds"] == 2 and record["comparison"][0]["supernet"] == 25.0


def test_what_lies_beside_the_seeds_is_none(folders, tmp_path, run_script):
    """Seeds come by number: 10 after 2."""
    root = tmp_path / "root"
    for name in ("seed10", "seed2", "seed0.old", "seed_trial"):
        shutil.copytree(root / "seed0", root / name)
    assert [path.name for path in seeds_of(root)] == ["seed0", "seed2", "seed10"]


def test_utterances_that_cannot_be_told_apart_are_refused(tmp_path):
    for name in ("ref", "hyp"):
        (tmp_path / f"{name}.trn").write_text("A (s-a-1)\nB (s-a-1)\n")
    with pytest.raises(UserError, match="'s-a-1' stands twice"):
        read_pairs(tmp_path)


def test_a_training_under_way_has_no_cost_yet(folders, tmp_path, run_script):
    """Its record holds the epochs so far, which would make the individual models too cheap."""
    write_run(tmp_path / "root/seed0/individual/3x64", {}, 0.1)
    (tmp_path / "root/seed0/individual/3x64/.supernet.training.done").unlink()
    assert run_script("tables", *folders).returncode == 0
    found = {row["model"]: row for row in rows(tmp_path / "root", "cost")}
    assert found["individual/3x64"]["hours"] == found["all individual models"]["hours"] == ""
    assert found["individual/6x512"]["hours"] == "1.0" and found["supernet / all individual models"]["ratio"] == ""


@pytest.mark.parametrize(
    "file, content, said",
    [
        ("supernet/cost.json", '{"cpu_hou', "cost.json', line 1: is not JSON"),
        ("supernet/cost.json", '{"cpu_hours": 1}', "cost.json': holds no number 'updates'"),
        ("sizes/6x512/score/test/score.json", "", "score.json', line 1: is not JSON"),
        ("sizes/6x512/score/test/loss", "u1 many 4\n", "loss: 'u1 many 4' must be 'UTTERANCE NATS TOKENS'"),
    ],
)
def test_damaged_files_are_told_in_one_sentence(folders, tmp_path, refused, file, content, said):
    (tmp_path / "root/seed0/supernet" / file).write_text(content)
    assert said in refused("tables", *folders)


def test_mistakes_end_in_one_sentence(folders, tmp_path, refused):
    assert "'/no' does not exist" in refused("tables", *folders[:2], "--root", "/no", *folders[4:])
    assert "holds no SIZE.yaml" in refused("tables", "--conf", tmp_path / "root", *folders[2:])
    trn = tmp_path / "root/seed0/supernet/sizes/6x512/score/test/ref.trn"
    trn.write_text("A B (spk-other)\n")
    assert "6x512, test: runs were scored on different references" in refused("tables", *folders)
    trn.unlink()
    assert "ref.trn' does not exist" in refused("tables", *folders)


def test_utterances_may_have_brackets_in_their_names(tmp_path):
    for name, said in (("ref", "A B"), ("hyp", "A")):
        (tmp_path / f"{name}.trn").write_text(f"{said} (all-a(1))\n{said} (all-b(1))\n (all-c)\n")
    assert read_pairs(tmp_path) == {"all-a(1)": ("A B", "A"), "all-b(1)": ("A B", "A"), "all-c": ("", "")}


def test_interval_agrees_with_resampling_by_hand():
    rng = np.random.default_rng(1)
    words, edits = rng.integers(1, 30, 200), rng.integers(0, 5, 200)
    found = ratio(errors(edits, words), 100, resamples=4000)
    draws = rng.integers(0, 200, (4000, 200))
    rates = 100 * edits[draws].sum(1) / words[draws].sum(1)
    assert found.value == pytest.approx(100 * edits.sum() / words.sum())
    low, high = np.percentile(rates, [2.5, 97.5])
    assert found.low == pytest.approx(low, rel=0.02) and found.high == pytest.approx(high, rel=0.02)


def test_seeds_are_drawn_too():
    """Three runs that differ as wholes: the interval is that of drawing runs and utterances by hand, wider than one run's."""
    rng = np.random.default_rng(3)
    words = rng.integers(5, 10, 80)
    edits = np.stack([rng.binomial(words, share) for share in (0.05, 0.1, 0.2)])
    found = ratio(errors(edits, words), 100, resamples=4000)
    rates = []
    for _ in range(4000):
        runs, drawn = rng.integers(0, 3, 2), rng.integers(0, 80, 80)
        rates.append(100 * edits[runs][:, drawn].sum() / (2 * words[drawn].sum()))
    assert found.value == pytest.approx(100 * edits.sum() / (3 * words.sum()))
    low, high = np.percentile(rates, [2.5, 97.5])
    assert found.low == pytest.approx(low, abs=0.4) and found.high == pytest.approx(high, abs=0.4)
    one = ratio(errors(edits[1], words), 100)
    assert found.high - found.low > 1.5 * (one.high - one.low)


@pytest.mark.parametrize("seeds", [2, 12])
def test_few_seeds_vary_as_much_as_their_mean_does(seeds):
    """Utterances that are all alike, so that seeds alone differ: the spread of their mean is s / sqrt(R)."""
    rates = np.random.default_rng(0).normal(10, 1, seeds)
    found = ratio(errors(np.tile(rates[:, None], 20), np.full(20, 100)), 100, 5000)
    if seeds == 2:  # one of the two is drawn, which has this spread exactly
        assert (found.low, found.high) == pytest.approx((rates.min(), rates.max()))
        assert np.std(rates) == pytest.approx(np.std(rates, ddof=1) / np.sqrt(2))
    else:
        half = 1.96 * rates.std(ddof=1) / np.sqrt(seeds)
        assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.1)


def test_trainings_of_one_name_are_drawn_together():
    """A supernet's sizes come from one training: seeds that are good for one are good for the other, so that their ratio stands still."""
    words, edits = [10] * 4, [[1] * 4, [2] * 4, [4] * 4]
    large, small = errors(edits, words), errors(2 * np.array(edits), words)
    same = relative_difference([Pair(small, large, "supernet", "supernet")])
    assert (same.value, same.low, same.high) == (100.0, 100.0, 100.0)
    apart = relative_difference([Pair(small, large, "small", "large")])
    assert apart.value == 100.0 and apart.low < 50 and apart.high > 150


def test_relative_difference_of_two_pairs_by_hand():
    words = [10, 10, 10]
    old, new = errors([2, 2, 2], words), errors([1, 1, 1], words)
    assert relative_difference([Pair(new, old), Pair(old, old)]).value == pytest.approx(-25.0)
    found = relative_difference([Pair(new, old)])
    assert (found.low, found.high) == (-50.0, -50.0)  # each utterance has the same ratio
    assert relative_difference([]) is None and relative_difference([Pair(new, errors([0, 0, 0], words))]) is None
    assert ratio(errors([1], [4])).low is None


def test_test_sets_of_different_lengths_are_drawn_each_for_itself():
    """The interval of two sets' mean, against resampling by hand."""
    rng = np.random.default_rng(2)
    pairs = []
    for count in (60, 90):
        old = rng.integers(1, 5, count)
        pairs.append((np.minimum(old, rng.integers(0, 5, count)), old))
    found = relative_difference([Pair(*(errors(e, [9] * len(e)) for e in pair)) for pair in pairs], resamples=4000)
    means = []
    for _ in range(4000):
        draws = [rng.integers(0, len(new), len(new)) for new, _ in pairs]
        means.append(np.mean([new[d].sum() / old[d].sum() for d, (new, old) in zip(draws, pairs)]))
    low, high = 100 * (np.percentile(means, [2.5, 97.5]) - 1)
    assert found.low == pytest.approx(low, abs=0.5) and found.high == pytest.approx(high, abs=0.5)


@settings(max_examples=20)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 9)), min_size=2, max_size=20))
def test_a_system_differs_not_from_itself(utterances):
    one = errors(*zip(*utterances))
    found = relative_difference([Pair(one, one)], resamples=50)
    if one.above.any():
        assert found.value == 0.0
        assert found.low in (0.0, None) and found.high in (0.0, None)
    else:
        assert found is None
