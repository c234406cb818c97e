import json
import subprocess
import sys

import pytest
import sentencepiece

from espnet_plugin.recipe import results, score
from espnet_plugin.recipe.layout import Experiment


def test_counts_by_hand():
    found = score.score({"a": "ONE TWO THREE", "b": "FOUR"}, {"a": "ONE TOO THREE FIVE", "b": ""}, {})
    assert (found.ins, found.deletions, found.sub, found.words) == (1, 1, 1, 4)
    assert found.wer == 75.0 and found.missing == 0 and found.utterances == 2


def test_missing_hypotheses_count_as_deletions():
    found = score.score({"a": "ONE TWO", "b": "THREE"}, {"a": "ONE TWO"}, {})
    assert found.deletions == 1 and found.missing == 1


def run(*options):
    command = [sys.executable, "-m", "espnet_plugin.recipe.score", *map(str, options)]
    return subprocess.run(command, capture_output=True, text=True)


def test_program_writes_scores_and_alignments(tmp_path):
    (tmp_path / "ref").write_text("a ONE TWO THREE\nb FOUR\n")
    (tmp_path / "hyp").write_text("a ONE TOO THREE\nb\n")
    done = run("--ref", tmp_path / "ref", "--hyp", tmp_path / "hyp", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    values = json.loads((tmp_path / "out" / "score.json").read_text())
    assert values["wer"] == 50.0 and values["del"] == 1 and values["sub"] == 1 and values["chars"] == 17
    blocks = (tmp_path / "out" / "result.txt").read_text().split("\n\n")
    assert blocks[0].splitlines() == ["a", "ONE TWO THREE", "ONE TOO THREE", "    ^"]
    assert (tmp_path / "out" / "hyp.trn").read_text() == "ONE TOO THREE (all-a)\n (all-b)\n"


def test_a_held_out_loss_joins_the_score(tmp_path):
    (tmp_path / "ref").write_text("a ONE TWO THREE\nb FOUR\n")
    (tmp_path / "loss").write_text("a 6.0 11\nb 1.5 4\n")
    given = ("--ref", tmp_path / "ref", "--hyp", tmp_path / "ref", "--loss", tmp_path / "loss")
    assert run(*given, "--out", tmp_path / "out").returncode == 0
    values = json.loads((tmp_path / "out" / "score.json").read_text())
    assert (values["loss"], values["tokens"], values["wer"]) == (0.5, 15, 0.0)
    assert (tmp_path / "out" / "loss").read_text() == (tmp_path / "loss").read_text()
    (tmp_path / "loss").write_text("a 6.0\n")
    assert "'a 6.0' must be 'UTTERANCE NATS TOKENS'" in run(*given, "--out", tmp_path / "new").stderr


def test_speakers_are_told_apart_the_worst_first(tmp_path):
    (tmp_path / "text").write_text("a ONE TWO\nb ONE\nc ONE\n")
    (tmp_path / "utt2spk").write_text("a X\nb Y\nc X\n")
    (tmp_path / "hyp").write_text("a ONE TWO\nb TWO\nc ONE TWO\n")
    assert run("--ref", tmp_path / "text", "--hyp", tmp_path / "hyp", "--out", tmp_path / "out").returncode == 0
    found = json.loads((tmp_path / "out" / "score.json").read_text())["speakers"]
    assert list(found) == ["Y", "X"] and found["X"] == {"utterances": 2, "words": 3, "wer": 33.333, "cer": 40.0}
    assert score.score({"a": "ONE", "b": "TWO"}, {}, {"a": "a", "b": "b"}).speakers == {}


def test_a_perfect_answer_has_no_errors_whatever_the_tokenizer_rewrites(tmp_path):
    """Accents apart in the reference, as a model writes them that records no normalisation and whose pieces are NFKC."""
    model = tmp_path / "model"
    model.mkdir()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["ÄÖ U"]),
        model_prefix=str(model / "bpe"),
        vocab_size=20,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    tokens = ["<blank>", "<unk>", "\u2581", "Ä", "Ö", "U", "<sos/eos>"]
    (model / "config.yaml").write_text(
        json.dumps(dict(token_type="bpe", bpemodel="moved/bpe.model", token_list=tokens))
    )
    (tmp_path / "ref").write_text("a A\u0308O\u0308 U\n")
    (tmp_path / "hyp").write_text("a ÄÖ U\n")
    done = run("--ref", tmp_path / "ref", "--hyp", tmp_path / "hyp", "--out", tmp_path / "out", "--model_dir", model)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "out" / "score.json").read_text())["wer"] == 0
    assert "1 of 1 references are compared as the model writes them, by its tokenizer" in done.stderr


def test_unknown_utterances_are_refused(tmp_path):
    (tmp_path / "ref").write_text("a ONE\n")
    (tmp_path / "hyp").write_text("a ONE\nz TWO\n")
    done = run("--ref", tmp_path / "ref", "--hyp", tmp_path / "hyp", "--out", tmp_path / "out")
    assert (
        done.returncode == 1
        and done.stderr.startswith("error: --hyp: utterance 'z'")
        and not (tmp_path / "out").exists()
    )


@pytest.fixture
def experiment(tmp_path):
    sizes = [dict(name="max", subnet="0-1x8", params=2000), dict(name="min", subnet="0x4", params=500)]
    (tmp_path / "sizes.json").write_text(json.dumps({"sizes": sizes}))
    (tmp_path / "supernet").mkdir()
    (tmp_path / "supernet" / "cost.json").write_text('{"train_seconds": 90.0}')
    values = {"words": 100, "wer": 5.0, "cer": 2.5, "ins": 1, "del": 2, "sub": 2}
    folder = tmp_path / "sizes" / "max" / "score" / "test"
    folder.mkdir(parents=True)
    (folder / "score.json").write_text(json.dumps(values))
    return tmp_path


def test_a_missing_run_shows_as_missing(experiment):
    rows = results.collect(Experiment(experiment), ["test"])
    assert [(row["name"], row["wer"]) for row in rows] == [("max", 5.0), ("min", None)]
    text = results.report(rows, ["test"], "./run.sh")
    assert "| max | `0-1x8` | 2,000 | 100% | 5.00 | 2.50 |" in text
    with_loss = results.report([row | {"loss": 0.25} for row in rows], ["test"], "./run.sh")
    assert "| max | `0-1x8` | 2,000 | 100% | 5.00 | 2.50 | 0.250 |" in with_loss and "test loss" in with_loss
    assert "| min | `0x4` | 500 | 25% | missing | missing |" in text
    assert "1.5 minutes" in text and "`./run.sh`" in text
    results.plot(rows, ["test"], experiment / "pareto.png")
    assert (experiment / "pareto.png").stat().st_size > 5000


def test_the_device_table_has_every_size_number_and_thread(experiment):
    speed = {"rtf": 0.01, "first_token_ms": None, "peak_mb": 12.5}
    cost = {"bytes": 4000, "threads": {"1": speed, "2": speed | {"rtf": 0.008}}}
    facts = {"data": "test", "utterances": 3, "float": cost, "int8": cost | {"bytes": 1234}}
    (experiment / "sizes" / "max" / "device.json").write_text(json.dumps(facts))
    rows = results.collect(Experiment(experiment), ["test"])
    text = results.report(rows, ["test"], "./run.sh")
    assert "| max | int8 | 1,234 | 2 | 0.0080 | unknown | 12.5 |" in text and "| min | float" not in text
    results.plot_device(rows, experiment / "device.png")
    assert (experiment / "device.png").stat().st_size > 5000


def test_results_before_sizes_are_refused(tmp_path):
    command = [
        sys.executable,
        "-m",
        "espnet_plugin.recipe.results",
        "--expdir",
        tmp_path,
        "--test_sets",
        "test",
        "--command",
        "x",
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1 and "sizes.json' does not exist" in done.stderr and "Traceback" not in done.stderr
