"""Experiments of earlier versions: their records are those that run.sh wrote when it was a shell script, computed here by cksum itself."""

import subprocess
from pathlib import Path

import pytest

from espnet_plugin.recipe import legacy, training
from espnet_plugin.recipe.configured import Configuration
from espnet_plugin.recipe.corpus import choose, corpora
from espnet_plugin.recipe.launch import Machines
from espnet_plugin.recipe.record import read_record
from espnet_plugin.recipe.stages import Recipe

ROOT = Path(__file__).parents[2]
YAML = "frontend_conf: {fs: 8000}\noptim_conf: {lr: 0.03}\nnum_workers: 2\n"
# The expressions of that script. Sums of the configuration came from Python; they are given.
SCRIPT = """
checksum() { { cat "$@" 2>/dev/null || true; } | cksum | cut -d" " -f1; }
set_sum() { checksum "dump/raw/$1"/{text,utt2num_samples}; }
data_inputs="custom kaldi"
echo "data|$data_inputs train valid test"
echo "formatting|$data_inputs 8000 0.9 1.0 $(checksum kaldi/train/{wav.scp,segments,text,utt2spk})"
echo "features|$frontend $(set_sum train)"
echo "bpe|30 $(set_sum train)"
trained_on="8000 30 $(set_sum train) $(set_sum valid) $(checksum dump/token_list/bpe_unigram30/bpe.model)"
echo "statistics|$trained_on"
train_inputs="$trained_on $shaping $(sed -E "s/--(num_workers|log_level)[ =]+[^ ]+ *//g; s/ +$//" <<<"$train_args")"
echo "training|$train_inputs"
echo "training|$trained_on $config $train_args"
echo "averaging|$train_inputs 4"
model_inputs="$(checksum exp/supernet/averaged.pth) 5 6 false"
echo "sizes|$model_inputs $(set_sum valid)"
model_inputs+=" $(checksum exp/sizes.json)"
echo "extraction|$model_inputs"
for set in test; do model_inputs+=" $set $(set_sum "$set")"; done
echo "decoding|$model_inputs $(checksum decode.yaml)"
score_inputs="$model_inputs $(checksum exp/sizes/*/decode/*/text)"
echo "scoring|$score_inputs"
echo "results|$score_inputs $(checksum exp/sizes/*/score/*/score.json)"
echo "export|$score_inputs $(checksum exp/sizes/*/score/*/score.json)"
echo "folder|dump/stats/train-bpe30-$(cksum <<<"$features --seed_of_mine 3" | cut -d" " -f1)"
"""


@pytest.fixture
def recipe(tmp_path, monkeypatch) -> Recipe:
    """An experiment with something in each of its files, seen from its folder."""
    monkeypatch.chdir(tmp_path)
    files = [f"kaldi/{name}/{file}" for name in ("train", "valid", "test") for file in ("wav.scp", "text", "utt2spk")]
    files += [f"dump/raw/{name}/{file}" for name in ("train", "valid", "test") for file in ("text", "utt2num_samples")]
    files += ["dump/token_list/bpe_unigram30/bpe.model", "exp/supernet/averaged.pth", "exp/sizes.json"]
    files += [
        f"exp/sizes/{name}/{file}" for name in ("max", "min") for file in ("decode/test/text", "score/test/score.json")
    ]
    for file in files:
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).write_text(f"what {file} holds, ü\n")
    Path("train.yaml").write_text(YAML)
    Path("decode.yaml").write_text("# nothing\n")
    given = {"corpus": "custom", "data_dir": "kaldi", "dumpdir": "dump", "expdir": "exp", "nbpe": "30", "average": "4"}
    given |= {"speed_perturb_factors": "0.9 1.0", "inference_config": "decode.yaml", "asr_config": "train.yaml"}
    given |= {"train_args": "--num_workers 3 --max_epoch 2 --seed_of_mine 3"}
    corpus, options = choose(given, corpora(ROOT / "local" / "corpora"))
    conf = Configuration.read(Path("train.yaml"), options.train_words, ())
    return Recipe(options, corpus, conf, Machines.from_environment(1, 0), "./run.sh")


def written_before(recipe: Recipe) -> list[list[str]]:
    """Kind and text of each record, from the shell."""
    from zlib import crc32

    conf = {"frontend_conf": {"fs": 8000}, "optim_conf": {"lr": 0.03}, "num_workers": 2}
    shaping = {key: conf[key] for key in ("frontend_conf", "optim_conf")}
    features = {key: conf[key] for key in ("frontend_conf", "num_workers")}
    numbers = {"shaping": shaping, "config": conf, "features": features, "frontend": [None, {"fs": 8000}]}
    variables = {key: str(crc32(repr(value).encode())) for key, value in numbers.items()}
    variables["train_args"] = recipe.options.train_args
    done = subprocess.run(
        ["bash", "-c", SCRIPT], capture_output=True, text=True, check=True, env={"PATH": "/usr/bin:/bin"} | variables
    )
    return [line.split("|") for line in done.stdout.splitlines()]


def test_records_are_those_of_the_script(recipe):
    *records, (_, folder) = written_before(recipe)
    for kind, text in records:
        assert legacy.matches(recipe, kind, text, "train"), kind
        assert not legacy.matches(recipe, kind, text.replace(" ", " 9", 1), "train")
    # The folder of statistics had a name of more arguments; it is taken if it is there.
    assert str(recipe.stats_folder) == folder  # the arguments that count are the same today
    trial = Configuration(recipe.conf.path, recipe.conf.conf, recipe.conf.arguments | {"init_param": "a.pth"})
    assert trial.feature_words == recipe.conf.feature_words  # no reason to compute statistics again


def test_a_model_is_taken_up_and_its_record_gets_labels(recipe):
    records = dict(reversed(written_before(recipe)))  # the first of each kind
    inputs, folder = recipe.training_inputs, recipe.exp.supernet
    assert not training.is_of(recipe, folder, inputs)
    training.inputs_file(folder).write_text(records["training"] + "\n")
    assert training.is_of(recipe, folder, inputs)
    assert read_record(training.inputs_file(folder))["asr_config"]["optim_conf"] == {"lr": 0.03}
    assert training.is_of(recipe, folder, inputs)
    assert not training.is_of(recipe, folder, inputs | {"nbpe": 31})
    training.inputs_file(folder).write_text("16000 of another model\n")
    assert not training.is_of(recipe, folder, inputs)
    assert training.recorded(folder) == "16000 of another model"
