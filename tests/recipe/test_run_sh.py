"""run.sh as a user meets it: options, refusals, and stages that were cut short."""

import fcntl
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

from espnet_plugin.recipe.layout import Dump, Experiment
from espnet_plugin.recipe.record import differences
from espnet_plugin.recipe.stages import Recipe

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "egs2" / "librispeech_todm"


SMALL = ["--asr_config", "conf/train_an4.yaml", "--average", 1]


def arguments(*options) -> dict:
    """Arguments of subprocess's functions."""
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    return {"args": [RECIPE / "run.sh", *map(str, options)], "env": environment}


def run(*options) -> subprocess.CompletedProcess:
    return subprocess.run(**arguments(*options), capture_output=True, text=True)


@pytest.fixture
def corpus(tmp_path):
    """Kaldi directories with three tones a set."""
    for name in ("train", "valid", "test"):
        folder = tmp_path / "kaldi" / name
        folder.mkdir(parents=True)
        for i in range(3):
            soundfile.write(folder / f"{i}.wav", 0.1 * np.sin(np.arange(8000) * (i + 1) / 20), 8000)
        (folder / "wav.scp").write_text("".join(f"{name}{i} {folder}/{i}.wav\n" for i in range(3)))
        (folder / "text").write_text("".join(f"{name}{i} LOW HIGH TONE\n" for i in range(3)))
    return tmp_path


def on_corpus(corpus, first, last) -> list:
    """Options for some stages on the corpus above."""
    places = ["--data_dir", corpus / "kaldi", "--dumpdir", corpus / "dump", "--expdir", corpus / "exp"]
    return ["--corpus", "custom", *places, "--nbpe", 20, "--nj", 1, "--stage", first, "--stop_stage", last]


def stages(corpus, first, last, *options):
    return run(*on_corpus(corpus, first, last), *options)


def test_help_lists_stages_and_options():
    done = run("--help")
    assert done.returncode == 0
    for word in (
        "--stage",
        "--stop_stage",
        "--nj",
        "--ngpu",
        "--nbpe",
        "--asr_config",
        "--expdir",
        "--dumpdir",
        "--train_set",
    ):
        assert word in done.stdout
    for number in range(1, 12):
        assert f"\n  {number:2}  " in done.stdout


def test_nothing_heavy_is_imported_before_a_stage_has_work():
    """So that a complete experiment is told in a moment."""
    heavy = "{'torch', 'numpy', 'scipy', 'soundfile', 'espnet2', 'lhotse', 'matplotlib'}"
    code = f"import sys, espnet_plugin.recipe.run; sys.exit(str({heavy} & sys.modules.keys() or ''))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.strip() == ""


@pytest.mark.parametrize(
    "options, said",
    [
        (["--corpse", "mini"], "option '--corpse' is unknown"),
        (["--corpus", "timit"], "--corpus 'timit' is not one of custom, librispeech, mini"),
        (["--stage", "two"], "--stage 'two' must be a whole number from 1 to 12"),
        (["--nj"], "option '--nj' needs a value"),
        (["mini"], "argument 'mini' is not an option"),
        (["--corpus", "custom"], "--corpus custom needs --data_dir"),
        (["--asr_config", "conf/none.yaml"], "configuration 'conf/none.yaml' does not exist"),
        (["--redo", "maybe"], "--redo 'maybe' must be true or false"),
        (["--stage", "5", "--ngpu", "60"], "--ngpu '60' is more than the"),
        (["--ngpu", "-1"], "--ngpu '-1' must be a whole number"),
        (["--train_args", "--optim_conf 'lr=1"], "--train_args '--optim_conf 'lr=1': a quote does not end"),
    ],
)
def test_wrong_options_end_in_one_sentence(options, said):
    done = run(*options)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("error: ") and said in done.stderr and done.stderr.count("\n") == 1


def test_streaming_needs_a_forward_direction_before_anything_is_made(tmp_path):
    refusal = "encoder_conf.search_space.directions in 'conf/train_mini.yaml' must name 'forward'"
    for config, said in (("mini", refusal), ("mini_elastic", "sizes.json' does not exist, run stage 7 first")):
        places = ["--expdir", tmp_path / "exp", "--dumpdir", tmp_path / "dump", "--stage", 12, "--stop_stage", 12]
        done = run("--asr_config", f"conf/train_{config}.yaml", "--streaming", "true", *places)
        assert done.returncode == 1 and said in done.stderr, done.stderr


def test_missing_data_is_named(corpus):
    (corpus / "kaldi" / "valid" / "text").unlink()
    done = stages(corpus, 1, 1)
    assert done.returncode == 1 and f"'{corpus}/kaldi/valid/text' does not exist" in done.stderr
    done = run("--corpus", "librispeech", "--dumpdir", corpus / "d", "--expdir", corpus / "e", "--stop_stage", 1)
    assert done.returncode == 1 and "LIBRISPEECH in db.sh" in done.stderr


def test_complete_stages_are_skipped_and_redone_on_request(corpus):
    done = stages(corpus, 1, 3)
    assert done.returncode == 0, done.stderr
    tokens = corpus / "dump" / "token_list" / "bpe_unigram20" / "tokens.txt"
    assert tokens.is_file() and soundfile.info(corpus / "dump/raw/train/audio/train0.flac").samplerate == 16000
    again = stages(corpus, 1, 3)
    assert again.stdout.count("complete, skipped") == 2 + 3  # formatting counts by set
    assert stages(corpus, 1, 3, "--redo", "true").stdout.count("done in") == 2 + 3
    text = corpus / "kaldi" / "test" / "text"
    text.write_text(text.read_text().replace("TONE", "TUNE"))
    edited = stages(corpus, 1, 2).stdout
    assert "stage 2, formatting test again: files of test has changed\n" in edited
    assert "stage 2, formatting test: done" in edited and "formatting train: complete" in edited
    assert "TUNE" in (corpus / "dump" / "raw" / "test" / "text").read_text()
    other = stages(corpus, "bpe", "bpe", "--nbpe", 21)
    assert "stage 3, bpe: done" in other.stdout and tokens.is_file()


def test_other_audio_of_the_same_length_is_another_corpus_and_moved_audio_is_not(corpus):
    """Statistics stand for all that comes after formatting."""

    def statistics() -> str:
        done = stages(corpus, 1, 4, *SMALL)
        assert done.returncode == 0, done.stderr
        return next(line for line in done.stdout.splitlines() if line.startswith("stage 4"))

    assert statistics() == "stage 4, statistics"
    for name in ("train", "valid", "test"):
        wavs = corpus / "kaldi" / name / "wav.scp"
        (corpus / "kaldi" / name / "moved").mkdir()
        for path in (corpus / "kaldi" / name).glob("*.wav"):
            path.rename(path.parent / "moved" / path.name)
        wavs.write_text(wavs.read_text().replace(f"{name}/", f"{name}/moved/"))
    assert "complete, skipped" in statistics()
    for name in ("train", "valid", "test"):
        wavs = corpus / "kaldi" / name / "wav.scp"
        for path in (corpus / "kaldi" / name / "moved").glob("*.wav"):
            soundfile.write(path.parent.parent / path.name, 0.1 * np.cos(np.arange(8000) / 9), 8000)
        wavs.write_text(wavs.read_text().replace(f"{name}/moved/", f"{name}/"))
    assert statistics() == "stage 4, statistics again: audio of train has changed; audio of valid has changed"


def test_scores_know_who_speaks(tmp_path):
    """utt2spk goes into the scores, set.json into the results; records of before, which lack both, are believed."""
    options = SimpleNamespace(test_sets=("test",), sets=("train", "test"))
    recipe = SimpleNamespace(options=options, decoding_inputs={}, made=lambda pattern: "#1", dump=Dump(tmp_path))
    for name in options.sets:
        recipe.dump.raw(name).mkdir(parents=True)
        (recipe.dump.raw(name) / "set.json").write_text("{}")
    (recipe.dump.raw("test") / "utt2spk").write_text("a a\n")

    def inputs() -> dict:
        recipe.score_inputs = Recipe.score_inputs.fget(recipe)
        return Recipe.result_inputs.fget(recipe)

    before = inputs()
    former = {key: value for key, value in before.items() if not key.startswith(("speakers", "counts"))}
    assert len(former) == len(before) - 3 and differences(former, before) == []
    (recipe.dump.raw("test") / "utt2spk").write_text("a anna\n")
    (recipe.dump.raw("train") / "set.json").write_text('{"speakers": 2}')
    assert differences(before, inputs()) == ["speakers of test has changed", "counts of train has changed"]


def test_a_stage_that_was_cut_short_is_done_again(corpus):
    assert stages(corpus, 1, 2).returncode == 0
    (corpus / "dump" / "raw" / ".test.formatting.done").unlink()  # as after a kill: the set is there, the marker is not
    text = corpus / "dump" / "raw" / "test" / "text"
    text.write_text("test0 LOW")
    assert stages(corpus, 2, 2).returncode == 0
    assert len(text.read_text().splitlines()) == 3


def test_a_stage_that_fails_is_not_complete(corpus):
    for i in range(3):
        (corpus / "kaldi" / "test" / f"{i}.wav").write_bytes(b"")
    done = stages(corpus, 1, 3)
    assert done.returncode != 0 and "no usable utterance" in done.stderr and "Traceback" not in done.stderr
    assert not (corpus / "dump" / "raw" / ".test.formatting.done").exists() and "stage 3" not in done.stdout


DECODING = {
    "decode": "beam: 4\n",
    "beam": "beam_size: 4\n",
    "file": "beam_size: 4\nngram_file: /no/such.arpa\n",
    "many": "beam_size: 4\ntransducer_conf: {search_type: alsd}\n",
    "regular": "beam_size: 4\nhotwords_file: conf/decode.yaml\n",
}


@pytest.mark.parametrize(
    "options, said",
    [
        (["--sizes", "9x64 foo"], "--sizes: 'foo' is not LAYERSxWIDTH"),
        (["--sizes", "6x512 9x64"], "--sizes: '9x64': layers: 9 is not one of [3, 4, 5, 6] of the search space"),
        (["--num_sizes", 1], "--num_sizes '1' must be a whole number from 2"),
        (["--speed_perturb_factors", "1.0 fast"], "--speed_perturb_factors: 'fast' must be a number from 0.5 to 2.0"),
        (["--speed_perturb_factors", "3"], "--speed_perturb_factors: '3' must be a number from 0.5 to 2.0"),
        (["--inference_config", "{tmp}/decode.yaml"], "decode.yaml: beam: unknown key, allowed are beam_size"),
        (["--inference_config", "{tmp}/file.yaml"], "file.yaml: ngram_file: '/no/such.arpa' does not exist"),
        (["--inference_config", "{tmp}/many.yaml"], "search_type: 'alsd' puts several symbols on a frame"),
        (
            ["--inference_config", "{tmp}/regular.yaml", "--asr_config", "conf/train_an4.yaml"],
            "ESPnet's search has none",
        ),
        (
            [*"--inference_config {tmp}/beam.yaml --streaming true --asr_config conf/train_mini_elastic.yaml".split()],
            "beam.yaml: beam_size: 4 must be 1 with --streaming true",
        ),
        (["--data_dir", "{tmp}"], "must come with --corpus custom, not 'mini'"),
        (["--download", "true"], "--download 'true' must come with --corpus librispeech, not 'mini'"),
    ],
)
def test_options_of_late_stages_are_refused_before_the_first(tmp_path, options, said):
    for name, values in DECODING.items():
        (tmp_path / f"{name}.yaml").write_text(values)
    options = [str(word).format(tmp=tmp_path) for word in options]
    done = run("--expdir", tmp_path / "exp", "--dumpdir", tmp_path / "dump", *options)
    assert done.returncode == 1 and done.stdout == "" and not (tmp_path / "dump").exists()
    assert done.stderr.startswith("error: ") and said in done.stderr and done.stderr.count("\n") == 1


def begun(corpus) -> tuple[subprocess.Popen, int]:
    """A run that is formatting the training set, whose first utterance comes from a pipe; and the pipe, where it waits for audio."""
    wavs = corpus / "kaldi" / "train" / "wav.scp"
    wavs.write_text(wavs.read_text().replace(f"{corpus}/kaldi/train/0.wav", f"cat {corpus}/pipe |"))
    os.mkfifo(corpus / "pipe")
    run = subprocess.Popen(**arguments(*on_corpus(corpus, 1, 2)), stdout=subprocess.DEVNULL)
    return run, os.open(corpus / "pipe", os.O_WRONLY)  # returns when the reader is there


def test_one_run_at_a_time_works_in_a_folder(corpus):
    """A process of a stage, here a reader of audio, outlives run.sh and keeps the lock."""
    wavs = corpus / "kaldi" / "train" / "wav.scp"
    plain = wavs.read_text()
    first, writer = begun(corpus)
    first.kill()
    first.wait()
    refused = stages(corpus, 1, 2)
    assert refused.returncode == 1
    said = re.fullmatch(
        r"error: --expdir '.*': a run is at work there \(process group (\d+) on .*\), must end first\n", refused.stderr
    )
    assert said, refused.stderr
    waiting = refused.stderr.removeprefix("error: ").replace("must end first", "waiting up to 10 s for its end")
    assert refused.stdout == waiting
    assert stages(corpus, 1, 1, "--expdir", corpus / "other").returncode == 0
    wavs.write_text(plain)
    next_one = subprocess.Popen(**arguments(*on_corpus(corpus, 1, 2)), stdout=subprocess.PIPE, text=True)
    assert "waiting up to 10 s" in next_one.stdout.readline()
    os.killpg(int(said[1]), signal.SIGKILL)
    os.close(writer)
    assert "stage 2" in next_one.communicate()[0] and next_one.returncode == 0


def test_one_run_at_a_time_makes_data(corpus):
    first, writer = begun(corpus)
    second = [*on_corpus(corpus, 1, 2), "--expdir", corpus / "other"]
    waiting = subprocess.Popen(**arguments(*second), stdout=subprocess.PIPE, text=True)
    lines = [waiting.stdout.readline() for _ in range(2)]
    assert "stage 1, data: complete, skipped" in lines[0]
    said = rf"--dumpdir '{corpus}/dump': a run is at work there \(process .* on .*\), waiting for its end\n"
    assert re.fullmatch(said, lines[1]), lines
    os.write(writer, (corpus / "kaldi" / "train" / "0.wav").read_bytes())
    os.close(writer)
    assert first.wait() == 0
    rest = waiting.communicate()[0]
    assert waiting.returncode == 0 and "stage 2, formatting train: complete, skipped" in rest
    assert len((corpus / "dump" / "raw" / "train" / "text").read_text().splitlines()) == 3


def test_data_that_a_run_reads_are_not_made_anew(corpus):
    assert stages(corpus, 1, 2).returncode == 0
    formatted = corpus / "dump" / "raw" / "train" / "text"
    with (corpus / "dump" / ".read.lock").open("a") as reader:
        fcntl.flock(reader, fcntl.LOCK_SH)
        faster = on_corpus(corpus, 1, 2)
        faster += ["--expdir", corpus / "other", "--speed_perturb_factors", "1.0 1.1"]
        waiting = subprocess.Popen(**arguments(*faster), stdout=subprocess.PIPE, text=True)
        lines = [waiting.stdout.readline() for _ in range(2)]
        assert "waiting for its end" in lines[1] and len(formatted.read_text().splitlines()) == 3
    rest = waiting.communicate()[0]
    assert waiting.returncode == 0 and "stage 2, formatting train again: speeds 1.0 -> 1.0 1.1" in rest
    assert len(formatted.read_text().splitlines()) == 6


def test_a_dry_run_writes_nothing(tmp_path):
    places = ["--expdir", tmp_path / "exp", "--dumpdir", tmp_path / "dump"]
    done = run("--dry_run", "true", *places)
    assert done.returncode == 1 and "run --stop_stage 4 first" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "content, said",
    [
        (None, "does not exist, run stage 7 first"),
        ('{"sizes": [{"name": "ma', "line 1: is not JSON"),
        ('{"sizes": []}', "is not what stage 7 writes"),
    ],
)
def test_broken_sizes_end_in_one_sentence(corpus, content, said):
    sizes = corpus / "exp" / "sizes.json"
    made = corpus / "exp" / "sizes" / "max" / "decode" / "test" / "text"
    made.parent.mkdir(parents=True)
    made.write_text("kept")
    if content is not None:
        sizes.write_text(content)
    for stage in (8, 9, 10):
        done = stages(corpus, stage, stage, "--inference_config", "conf/decode.yaml")
        assert done.returncode == 1 and "done in" not in done.stdout
        assert done.stderr.startswith(f"error: '{sizes}'") and said in done.stderr and done.stderr.count("\n") == 1
    assert made.read_text() == "kept"


def test_a_mistake_in_the_decoding_configuration_is_told_before_training(corpus):
    (corpus / "decode.yaml").write_text("beam_size: 2\n")
    config = ["--inference_config", corpus / "decode.yaml"]
    assert stages(corpus, 9, 9, *config).stderr.endswith("run stage 7 first\n")  # checked, and good
    (corpus / "decode.yaml").write_text("beam_sise: 4\n")
    assert stages(corpus, 1, 1, *config).returncode == 0
    refused = stages(corpus, 1, 9, *config)
    assert refused.returncode == 1 and "beam_sise: unknown key" in refused.stderr and refused.stdout == ""


def test_decoding_is_made_from_the_files_that_its_configuration_names_too(tmp_path):
    names = {key: tmp_path / key for key in ("hotwords_file", "ngram_file", "lm_file", "lm_train_config")}
    (tmp_path / "decode.yaml").write_text("beam_size: 4\n" + "".join(f"{key}: {path}\n" for key, path in names.items()))
    options = SimpleNamespace(inference_config=tmp_path / "decode.yaml")
    recipe = SimpleNamespace(options=options, decoding_inputs={}, exp=Experiment(tmp_path), decode=None)
    before = next(Recipe.decoding(recipe)).inputs
    assert set(before["inference_config"]) == {"beam_size", *names}
    for key, path in names.items():
        path.write_text(key)
        now = next(Recipe.decoding(recipe)).inputs
        assert differences(before, now) == [f"{key} has changed"]
        before = now
    (tmp_path / "decode.yaml").write_text("beam_size: 4\nhotwords_file: null\n")
    assert set(next(Recipe.decoding(recipe)).inputs) == {"inference_config"}


def test_an_average_of_a_training_under_way_is_made_anew(corpus):
    folder = corpus / "exp" / "supernet"
    folder.mkdir(parents=True)
    for epoch in (1, 2):
        torch.save({"w": torch.full((1,), float(epoch))}, folder / f"{epoch}epoch.pth")
    assert "averaged.pth: mean of epochs 1, 2\n" in stages(corpus, 6, 6).stdout
    torch.save({"w": torch.full((1,), 6.0)}, folder / "3epoch.pth")
    again = stages(corpus, 6, 6)
    assert "stage 6, averaging again: checkpoints so far 2 -> 3" in again.stdout, again.stderr
    assert torch.load(folder / "averaged.pth")["w"].item() == 3.0
    (corpus / "exp" / ".supernet.training.done").write_text("{}")
    assert "averaging again: checkpoints so far 3 -> (none)" in stages(corpus, 6, 6).stdout
    assert "complete, skipped" in stages(corpus, 6, 6).stdout


def test_long_utterances_are_left_out_of_training_not_of_tests(corpus):
    for name in ("train", "test"):
        soundfile.write(corpus / "kaldi" / name / "0.wav", 0.1 * np.sin(np.arange(36 * 8000) / 20), 8000)
    assert stages(corpus, 1, 2).returncode == 0
    kept = {name: len((corpus / "dump/raw" / name / "text").read_text().splitlines()) for name in ("train", "test")}
    assert kept == {"train": 2, "test": 3}


@pytest.fixture
def trained(corpus):
    """A supernet after one epoch, averaged."""
    done = stages(corpus, 1, 6, *SMALL, "--train_args", "--max_epoch 1")
    assert done.returncode == 0, done.stdout + done.stderr
    return corpus


def test_a_trained_supernet_outlives_other_options(trained):
    exp = trained / "exp"
    weights = (exp / "supernet" / "averaged.pth").read_bytes()
    (trained / "init.pth").write_bytes(weights)
    plain = (exp / "train.yaml").read_text()

    def train(last: int, *options: str) -> subprocess.CompletedProcess:
        return stages(trained, 5, last, *SMALL, *options)

    # How training runs is no reason to do it again, and a later stage does not change what the model was trained with.
    same = train(6, "--train_args", "--max_epoch 1 --num_workers 1")
    assert same.stdout.count("complete, skipped") == 2, same.stdout
    later = stages(trained, 6, 6, "--asr_config", "conf/train_mini.yaml", "--average", 1)
    assert later.returncode == 0 and "complete, skipped" in later.stdout
    assert (exp / "train.yaml").read_text() == plain
    # Options that training refuses move nothing.
    refused = train(5, "--train_args", "--max_epoch two")
    assert refused.returncode != 0 and "max_epoch" in refused.stderr and refused.stderr.count("\n") == 1
    assert [path.name for path in exp.glob("supernet*")] == ["supernet"]
    # What is put aside is numbered, and comes back with its inputs.
    (exp / "supernet.old").mkdir()
    (exp / "supernet.old" / "1epoch.pth").write_bytes(b"older")
    other = train(5, "--train_args", f"--max_epoch 2 --init_param {exp}/supernet.old/../../init.pth")
    assert other.returncode == 0 and "kept in" in other.stdout, other.stderr
    assert "stage 5, training again: max_epoch 1 -> 2; init_param (none) -> " in other.stdout
    assert (exp / "supernet.old.2" / "averaged.pth").read_bytes() == weights
    back = train(6, "--train_args", "--max_epoch 1")
    assert back.returncode == 0 and f"going on with what was trained with these inputs, from {exp}" in back.stdout
    assert "stage 6, averaging: complete, skipped" in back.stdout
    assert (exp / "supernet" / "averaged.pth").read_bytes() == weights
    assert (exp / "supernet.old" / "1epoch.pth").read_bytes() == b"older"
    assert (exp / "supernet.old.3" / "2epoch.pth").is_file()
