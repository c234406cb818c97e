"""The command line: help, refusals, full disks."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile
import torch
import yaml

from espnet_plugin.bin.average import average_states
from espnet_plugin.bin.choose import name_of
from espnet_plugin.bin.main import VERBS, dispatch
from espnet_plugin.common.compose import merge
from espnet_plugin.common.files import write_whole
from espnet_plugin.errors import UserError, run_main

CONF = Path(__file__).parents[2] / "conf"
PROGRAM = Path(sys.executable).with_name("espnet-todm")


def run(*options):
    return subprocess.run([PROGRAM, *map(str, options)], capture_output=True, text=True)


def test_help_names_every_verb_and_imports_no_torch():
    done = run("--help")
    assert done.returncode == 0 and all(verb in done.stdout for verb in VERBS)
    code = "import sys\nfrom espnet_plugin.bin.main import dispatch\ndispatch(['--help'])\nassert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_every_verb_has_a_main():
    from importlib import import_module

    for verb in VERBS:
        assert callable(import_module(f"espnet_plugin.bin.{verb}").main)


def test_an_unknown_verb_is_refused():
    done = run("trian")
    assert done.returncode == 1 and done.stderr.startswith("error: verb 'trian' is not one of compose,")


@pytest.mark.parametrize(
    "argv, said",
    [
        (["train", "--config", "none.yaml"], "configuration 'none.yaml' does not exist"),
        (["train", "--max_epochs", "3"], "unrecognized arguments: --max_epochs"),
        (["train", "--encoder", "mhsm"], "invalid choice: 'mhsm'"),
        (["train", "--optim", "scaledadam", "--optim_conf", "rate=1"], "optim_conf.rate: unknown key of ScaledAdam"),
        (["train", "--token_list", "none.txt"], "--token_list: 'none.txt' does not exist"),
        (
            ["extract", "--train_config", "none.yaml", "--model_file", "m", "--subnet", "max", "--out", "o"],
            "'none.yaml' does not exist",
        ),
        (
            ["extract", "--train_config", "c", "--model_file", "m", "--sizes", "none.json", "--out", "o"],
            "--sizes: 'none.json'",
        ),
        (["average", "--dir", "none", "--out", "o"], "--dir: 'none' has no checkpoint"),
        (["choose", "--train_config", "c", "--model_file", "m", "--data", "d", "--out", "."], "is not replaced"),
        (["latency", "--train_config", "c", "--out", "/usr"], "'/usr' is a folder, must be the name of a file"),
        (["latency", "--train_config", "c", "--kit", "/usr"], "is not replaced"),
        (["average", "--dir", "none", "--out", "o", "--last", "0"], "--last: 0 must be at least 1"),
        (
            ["choose", "--train_config", "c", "--model_file", "m", "--data", "d", "--out", "o", "--num_sizes", "1"],
            "--num_sizes: 1",
        ),
        (["decode", "--model_dir", "none", "--data", "d"], "model directory 'none' has no config.yaml"),
        (
            ["decode", "--model_dir", "none", "--data", "d", "--config", "none.yaml"],
            "configuration 'none.yaml' does not exist",
        ),
        (["decode", "--model_dir", "none", "--data", "d", "--nj", "0"], "--nj: 0 must be from 1"),
        (["transcribe", "none", "a.wav"], "model directory 'none' has no config.yaml"),
        (["export", "none", "--out", "o"], "model directory 'none' has no config.yaml"),
        (["pack", "none", "--out", "o.zip"], "model directory 'none' has no config.yaml"),
        (["unpack", "none.zip", "--out", "o"], "pack 'none.zip' does not exist"),
    ],
)
def test_wrong_input_is_told_in_one_sentence(argv, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        run_main(lambda: dispatch(argv))
    assert said in stop.value.code and stop.value.code.startswith("error: ") and "\n" not in stop.value.code
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    "conf, said",
    [
        ("optim: adamm", "configuration 'c.yaml': optim: 'adamm' is not one of adam, adamw,"),
        ("frontend: fbankk", "configuration 'c.yaml': frontend: 'fbankk' is not one of default,"),
        ("batch_type: weird", "configuration 'c.yaml': batch_type: 'weird' is not one of unsorted,"),
        ("model: null", "configuration 'c.yaml': model: None is not one of espnet,"),
        ("encoder_conf: null", "configuration 'c.yaml': encoder_conf: None must be a dictionary"),
        ("optim_conf: 5", "configuration 'c.yaml': optim_conf: 5 must be a dictionary"),
        ("frontend_conf: {n_mels: '80'}", "frontend_conf.n_mels: '80' must be an integer"),
        ("encoder_conf: {d_model: '32'}", "encoder_conf.d_model: '32' must be an integer"),
        ("encoder_conf: {num_modes: 0}", "encoder_conf.num_modes: 0 must be from 1 to 65,536"),
        ("encoder_conf: {dropout: 2.0}", "encoder_conf.dropout: 2.0 must be at least 0 and below 1"),
        ("encoder_conf: {dt_min: -1}", "encoder_conf.dt_min: -1 must be above 0"),
        ("encoder_conf: {dt_min: 0.9}", "encoder_conf.dt_min: 0.9 must be above 0 and at most dt_max, 0.8"),
        ("model_conf: {joint_space_size: 0}", "model_conf.joint_space_size: 0 must be from 1 to 65,536"),
        ("model_conf: {sampling_conf: 3}", "model_conf.sampling_conf: 3 must be a dictionary"),
        ("model_conf: {distill_conf: {weight: much}}", "distill_conf.weight: 'much' must be a number"),
        ("model_conf: {transducer_conf: {prune_range: x}}", "transducer_conf.prune_range: 'x' must be an integer"),
        ("normalize: global_mvn", "normalize_conf.stats_file: is missing, GlobalMVN needs it"),
        ("batch_size: 0", "configuration 'c.yaml': batch_size: 0 must be at least 1"),
        ("accum_grad: 0", "configuration 'c.yaml': accum_grad: 0 must be at least 1"),
        ("max_epoch: 2.5", "configuration 'c.yaml': max_epoch: 2.5 must be an integer"),
        ("use_amp: 3", "configuration 'c.yaml': use_amp: 3 must be true or false"),
        ("keep_nbest_models: [1, x]", "configuration 'c.yaml': keep_nbest_models: 'x' must be an integer"),
        ("sharded_ddp: true", "configuration 'c.yaml': sharded_ddp: True is not possible"),
        ("ngpu: 999", "configuration 'c.yaml': ngpu: 999 must be at most"),
        ("token_list: 5", "configuration 'c.yaml': token_list: 5 must be the name of a file, or a list"),
        ("token_list: latin1.txt", "'latin1.txt': byte 3 is not UTF-8 text"),
        ("optim: sgd\noptim_conf: {lr: -1}", "configuration 'c.yaml': optim_conf.lr: -1 must be above 0"),
        (
            "normalize: global_mvn\nnormalize_conf: {stats_file: latin1.txt}",
            "stats_file: 'latin1.txt' is damaged",
        ),
        (
            "token_type: bpe\nbpemodel: latin1.txt",
            "configuration 'c.yaml': bpemodel: 'latin1.txt' is not a model of sentencepiece",
        ),
    ],
)
def test_wrong_values_of_a_configuration_are_told_in_one_sentence(conf, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "latin1.txt").write_bytes("CAFÉ".encode("latin-1"))
    soundfile.write(tmp_path / "a.wav", [0.0] * 1600, 16000)
    (tmp_path / "audio.scp").write_text("a a.wav\n")
    base = (CONF / "train_an4.yaml").read_text() + "token_list: [<blank>, <unk>, A, <sos/eos>]\ntoken_type: char\n"
    data = ["audio.scp", "speech", "sound"]
    base += f"train_data_path_and_name_and_type: [{data}]\nvalid_data_path_and_name_and_type: [{data}]\n"
    changed = merge(yaml.safe_load(base), yaml.safe_load(conf))
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(changed))
    with pytest.raises(SystemExit) as stop:
        run_main(lambda: dispatch(["train", "--config", "c.yaml", "--output_dir", "exp"]))
    assert said in stop.value.code and stop.value.code.startswith("error: ") and "\n" not in stop.value.code


def test_a_half_written_checkpoint_is_told_before_training(tmp_path):
    torch.save({"w": torch.zeros(100)}, tmp_path / "whole.pth")
    half = (tmp_path / "whole.pth").read_bytes()[:600]
    (tmp_path / "checkpoint.pth").write_bytes(half)
    with pytest.raises(UserError, match="is incomplete, the run was killed while it was written"):
        dispatch(["train", "--output_dir", str(tmp_path), "--resume", "true"])
    assert (tmp_path / "checkpoint.pth").read_bytes() == half


def test_average_is_the_mean_and_counters_are_the_last(tmp_path):
    states = [
        {"w": torch.tensor([1.0, 2.0]), "n": torch.tensor(3)},
        {"w": torch.tensor([3.0, 6.0]), "n": torch.tensor(5)},
    ]
    for epoch, state in zip((9, 10), states):
        torch.save(state, tmp_path / f"{epoch}epoch.pth")
    mean = average_states([tmp_path / "9epoch.pth", tmp_path / "10epoch.pth"])
    assert mean["w"].tolist() == [2.0, 4.0] and mean["n"] == 5
    dispatch(["average", "--dir", str(tmp_path), "--last", "1", "--out", str(tmp_path / "a.pth")])
    assert torch.load(tmp_path / "a.pth")["w"].tolist() == [3.0, 6.0]  # 10 comes after 9


def test_sizes_are_named_by_their_share():
    assert [name_of(n, 1000, 250) for n in (1000, 708, 250)] == ["max", "p71", "min"]


def test_a_write_that_fails_leaves_what_was_there(tmp_path):
    target = tmp_path / "out.txt"
    target.write_text("before")

    def fail(path):
        path.write_text("half")
        raise OSError(28, "No space left on device", str(path))

    with pytest.raises(OSError):
        write_whole(target, fail)
    assert target.read_text() == "before" and list(tmp_path.iterdir()) == [target]


@pytest.mark.skipif(not Path("/dev/full").exists() or os.name != "posix", reason="needs /dev/full")
def test_a_full_disk_is_told_in_a_sentence(tmp_path):
    def write_to_full_disk(_path):
        with open("/dev/full", "wb", buffering=0) as full:
            torch.save({"w": torch.zeros(1000)}, full)

    with pytest.raises((UserError, OSError)) as error:
        write_whole(tmp_path / "m.pth", write_to_full_disk)
    assert "\n" not in str(error.value) and not any(tmp_path.iterdir())


def test_run_main_prints_no_traceback(capsys):
    def missing():
        Path("/no/such/file").read_text()

    with pytest.raises(SystemExit, match="error: /no/such/file: No such file or directory"):
        run_main(missing)
