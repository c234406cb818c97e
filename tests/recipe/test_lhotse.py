"""--data_backend lhotse: the recipe trains from cuts, those of its own tables or a user's, and goes on at the exact batch."""

import gzip
import json
import os
import signal
import subprocess

import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_an4 import ROOT, command, kaldi_directories

from espnet_plugin.common.compose import read_yaml
from espnet_plugin.recipe import tables_to_cuts
from espnet_plugin.recipe.configured import Configuration
from espnet_plugin.recipe.corpus import choose, corpora
from espnet_plugin.recipe.launch import Machines
from espnet_plugin.recipe.run import plan
from espnet_plugin.recipe.stages import Recipe
from espnet_plugin.recipe.tokenizer import sample

EPOCHS = ["--data_backend", "lhotse", "--train_args", "--max_epoch 6 --max_duration 10", "--average", "1"]


@pytest.fixture(scope="module")
def an4(an4_dir, tmp_path_factory):
    out = tmp_path_factory.mktemp("kaldi")
    kaldi_directories(an4_dir, out)
    return out


def recipe(work, data, *options):
    return subprocess.run(**command(work, data, *options), capture_output=True, text=True)


@pytest.fixture(scope="module")
def trained(an4, tmp_path_factory):
    """From Kaldi directories, by way of cuts, to a trained supernet."""
    work = tmp_path_factory.mktemp("work")
    done = recipe(work, an4, *EPOCHS, "--stop_stage", "6")
    assert done.returncode == 0, done.stdout + done.stderr
    return work


def test_cuts_of_the_formatted_tables_train(trained):
    with gzip.open(trained / "dump" / "cuts" / "train.jsonl.gz") as lines:
        cuts = [json.loads(line) for line in lines]
    lengths = dict(line.split() for line in (trained / "dump/raw/train/utt2num_samples").read_text().splitlines())
    assert {cut["id"]: str(cut["recording"]["num_samples"]) for cut in cuts} == lengths
    for cut in cuts:
        info = soundfile.info(cut["recording"]["sources"][0]["source"])
        assert (info.frames, info.samplerate) == (cut["recording"]["num_samples"], 16000)
    conf = read_yaml(trained / "exp" / "supernet" / "config.yaml")
    ((path, name, kind),) = conf["train_data_path_and_name_and_type"]
    assert path.endswith("cuts/train.jsonl.gz") and (name, kind) == ("speech", "lhotse_cuts")
    assert [kind for _, _, kind in conf["valid_data_path_and_name_and_type"]] == ["sound", "text"]
    assert (trained / "exp" / "supernet" / "averaged.pth").is_file()


def test_backends_share_no_statistics_and_a_plan_is_of_hours(trained, monkeypatch):
    def made(**given):
        places = {
            "corpus": "custom",
            "data_dir": "x",
            "dumpdir": f"{trained}/dump",
            "asr_config": "conf/train_an4.yaml",
        }
        corpus, options = choose(places | given, corpora(ROOT / "local" / "corpora"))
        conf = Configuration.read(ROOT / options.asr_config, options.train_words, ())
        return Recipe(options, corpus, conf, Machines.from_environment(1, 0), "run.sh")

    kaldi, lhotse = made(), made(data_backend="lhotse")
    assert kaldi.stats_folder != lhotse.stats_folder and lhotse.stats_folder.parent == kaldi.stats_folder.parent
    asked = []
    monkeypatch.setattr(os, "execvp", lambda _, words: asked.extend(words))
    plan(lhotse)
    hours = json.loads((trained / "dump/raw/train/set.json").read_text())["hours"]
    assert asked[asked.index("--hours") + 1] == str(hours) and asked[asked.index("--speeds") + 1] == "1.0"


def test_a_users_own_cuts_and_a_run_that_was_stopped(trained, an4, tmp_path):
    """No Kaldi directory of the training set; the same manifest, so the same weights, though the run is stopped on its way."""
    data = tmp_path / "kaldi"
    data.mkdir()
    for name in ("valid", "test"):
        (data / name).symlink_to(an4 / name)
    options = [*EPOCHS, "--train_cuts", str(trained / "dump" / "cuts" / "train.jsonl.gz"), "--stop_stage", "6"]
    with subprocess.Popen(**command(tmp_path, data, *options), stdout=subprocess.PIPE, text=True) as run:
        assert any("epoch 2/6" in line for line in run.stdout)
        run.send_signal(signal.SIGTERM)
    assert not (tmp_path / "exp" / "supernet" / "averaged.pth").exists()
    done = recipe(tmp_path, data, *options)  # waits for training, which takes a moment to end
    assert done.returncode == 0 and done.stdout.count("complete, skipped") == 1 + 3 + 2, done.stdout + done.stderr
    assert "resuming from the last finished epoch" in done.stdout
    ours, theirs = (torch.load(folder / "exp" / "supernet" / "averaged.pth") for folder in (tmp_path, trained))
    for name, value in theirs.items():
        assert torch.equal(ours[name], value), name


@pytest.mark.parametrize(
    "options, said",
    [
        (["--train_cuts", "x.jsonl"], "--train_cuts 'x.jsonl' needs --data_backend lhotse"),
        (["--data_backend", "hdf5"], "--data_backend 'hdf5' is not one of kaldi, lhotse"),
        (["--data_backend", "lhotse", "--train_cuts", "none.jsonl"], "--train_cuts: 'none.jsonl' does not exist"),
        (["--data_backend", "lhotse", "--feats_type", "fbank"], "--feats_type 'fbank' must be raw"),
        (
            ["--data_backend", "lhotse", "--train_cuts", "{tmp}", "--ngpu", "2"],
            "which 2 workers share: num_iters_per_epoch must be given",
        ),
    ],
)
def test_wrong_options_end_in_one_sentence(tmp_path, options, said):
    done = recipe(tmp_path / "work", tmp_path, *(word.format(tmp=tmp_path) for word in options))
    assert done.returncode == 1 and done.stdout == "" and not (tmp_path / "work").exists()
    assert done.stderr.startswith("error: ") and said in done.stderr and done.stderr.count("\n") == 1


def test_a_users_cuts_are_counted(tmp_path, run_script):
    lhotse = pytest.importorskip("lhotse")
    made = []
    for number, (seconds, text) in enumerate([(1.0, "A b"), (2.5, "C"), (0.05, "D"), (1.0, " ,"), (3.0, "")]):
        source = lhotse.AudioSource(type="file", channels=[0], source=f"/none/{number}.wav")
        recording = lhotse.Recording(f"r{number}", [source], 8000, round(8000 * seconds), seconds)
        spoken = lhotse.SupervisionSegment(f"s{number}", f"r{number}", 0, seconds, text=text, speaker="one")
        made.append(lhotse.MonoCut(f"c {number}", 0, seconds, 0, recording=recording, supervisions=[spoken]))
    lhotse.CutSet.from_cuts(made).to_file(tmp_path / "cuts.jsonl.gz")
    options = ["--text_case", "upper", "--punctuation", "remove"]
    done = run_script("format_cuts", "--cuts", tmp_path / "cuts.jsonl.gz", "--out", tmp_path / "out", *options)
    assert done.returncode == 0, done.stderr
    out = tmp_path / "out"
    assert (out / "text").read_text() == "c_0 A B\nc_1 C\n"
    assert (out / "utt2num_samples").read_text() == "c_0 16000\nc_1 40000\n"
    assert (out / "rejected.txt").read_text() == "c_2\tless than 0.1 s\nc_3\tno transcript\nc_4\tno transcript\n"
    facts = json.loads((out / "set.json").read_text())
    assert (facts["utterances"], facts["speakers"], facts["transcripts_changed"]) == (2, 1, 2)
    assert facts["reasons"] == {"no transcript": 2, "less than 0.1 s": 1} and facts["left_out"] == 3


@given(st.lists(st.binary(max_size=3), max_size=40), st.integers(1, 50))
def test_shuffling_on_disk_loses_nothing(tmp_path_factory, lines, held):
    lines = [line.replace(b"\n", b"").replace(b"\r", b"") + b"\n" for line in lines]
    folder = tmp_path_factory.mktemp("parts")
    before, tables_to_cuts.HELD = tables_to_cuts.HELD, held
    try:
        assert sorted(tables_to_cuts.shuffled(lines, len(lines), folder)) == sorted(lines)
    finally:
        tables_to_cuts.HELD = before


def test_shuffling_on_disk_makes_each_order(tmp_path, monkeypatch):
    """Three lines in two files: all six orders come, about equally often."""
    monkeypatch.setattr(tables_to_cuts, "HELD", 3)
    found = [tuple(tables_to_cuts.shuffled([b"a\n", b"b\n", b"c\n"], 3, tmp_path, seed)) for seed in range(240)]
    counts = [found.count(order) for order in set(found)]
    assert len(counts) == 6 and min(counts) > 20


@given(st.lists(st.text("abcde ", max_size=4), max_size=30), st.integers(1, 9))
def test_a_sample_of_sentences_has_all_characters(sentences, every):
    used = list(sample(iter(sentences), every))
    assert set("".join(used)) == set("".join(sentences))
    assert len(used) >= -(-len(sentences) // every)
    assert len(used) <= -(-len(sentences) // every) + 6
