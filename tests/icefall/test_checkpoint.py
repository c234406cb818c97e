"""From one world to the other: the same outputs."""

import argparse
import copy
import json
import pathlib

import pytest
import torch
import yaml

import espnet_plugin  # noqa: F401
from espnet_plugin.asr.inference.loading import load_model
from espnet_plugin.asr.training.task import TODMTask
from espnet_plugin.bin.main import dispatch
from espnet_plugin.encoder.mhssm.supernet import MHSSMSupernetEncoder
from espnet_plugin.errors import UserError
from espnet_plugin.icefall.checkpoint import (
    as_params,
    averaged,
    grouped,
    icefall_options,
    read_checkpoint,
    read_tokens,
    to_espnet,
    to_icefall,
    training_conf,
)

WIDTHS = (
    "--todm-model-dims 8,16 --todm-prediction-dims 8,16 --todm-joiner-dims 8,16 --todm-directions forward,bidirectional"
)
TOKENS = "<blk> 0\n<sos/eos> 1\n<unk> 2\n▁A 3\nB 4\nC 5\nD 6\nE 7\nF 8\n#0 9\n"


@pytest.fixture(scope="module")
def exp(tmp_path_factory):
    """A folder as icefall leaves it, and the model."""
    from train import get_model, get_params

    torch.manual_seed(0)
    params = get_params(*WIDTHS.split())
    model = get_model(params).eval()
    folder = tmp_path_factory.mktemp("exp")
    options = vars(params) | {"exp_dir": pathlib.Path("x"), "dtype": torch.float32}
    for name, batches, shift in (("epoch-1.pt", 10, 0.0), ("epoch-2.pt", 30, 1.0)):
        mean = {k: v + shift if v.is_floating_point() else v for k, v in model.state_dict().items()}
        saved = {"model": model.state_dict(), "model_avg": mean} | options | {"batch_idx_train": batches}
        saved |= {"max_duration": 20, "num_epochs": 3, "use_fp16": True}
        torch.save(saved, folder / name)
    torch.save({key: value for key, value in saved.items() if key != "todm_seed"}, folder / "old.pt")
    (folder / "tokens.txt").write_text(TOKENS, encoding="utf-8")
    return folder, model


def test_every_size_computes_the_same_in_espnet(exp):
    folder, model = exp
    saved = read_checkpoint(folder / "epoch-1.pt")
    conf, state = to_espnet(saved, saved["model"], [*"0123456", "7", "<sos/eos>"], None)
    there = TODMTask.build_model(argparse.Namespace(**conf | {"token_list": ["<blk>", *conf["token_list"][1:]]})).eval()
    there.load_state_dict(state)
    x, lengths, labels = torch.randn(2, 60, 80), torch.tensor([60, 44]), torch.tensor([[0, 3, 4], [0, 5, 1]])
    for name in ("max", "min", "max_forward", "0x8_2x16_d8_p16_j8_bidirectional"):
        subnet = model.search_space.resolve(name)
        decoder, joiner = model.parts_at(subnet)
        out = model.encoder.net(x, lengths, subnet=subnet)[0]
        same = there.search_space.resolve(name)
        other_decoder, other_joiner = there.parts_at(same)
        other = there.encoder(x, lengths, subnet=same)[0]
        assert torch.equal(out, other)
        ours, theirs = other_joiner(other[:, :3], other_decoder(labels)), joiner(out[:, :3], decoder(labels))
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)
    back = to_icefall(there.state_dict())
    assert back.keys() == model.state_dict().keys()
    assert all(torch.equal(value, back[key]) for key, value in model.state_dict().items())


def test_normalisation_goes_into_the_first_convolution(exp):
    _, model = exp
    _, state = to_espnet(vars_of(model), model.state_dict(), ["<blk>", *map(str, range(7)), "<sos/eos>"], None)
    mean, std = torch.randn(80), torch.rand(80) + 0.5
    moved = copy.deepcopy(model)
    moved.load_state_dict(to_icefall(state, mean, std))
    x, lengths = torch.randn(2, 60, 80), torch.tensor([60, 44])
    out, _ = moved.forward_encoder(x, lengths)
    expected, _ = model.forward_encoder((x - mean) / std, lengths)
    torch.testing.assert_close(out[0], expected[0], rtol=1e-4, atol=1e-4)


def vars_of(model):
    from train import get_params

    return vars(get_params(*WIDTHS.split()))


def test_a_depthwise_convolution_as_one_over_groups():
    x, narrow = torch.randn(2, 8, 5), torch.randn(8, 1, 2)
    wide = torch.nn.functional.conv1d(x, grouped(narrow), groups=2)
    torch.testing.assert_close(wide, torch.nn.functional.conv1d(x, narrow, groups=8))


def test_mean_of_weights_between_two_checkpoints(exp):
    """Means over the first 10 batches m, over the first 30 m + 1: over batches 11 to 30 it is m + 1.5."""
    folder, model = exp
    mean = averaged(*(read_checkpoint(folder / f"epoch-{i}.pt") for i in (1, 2)))
    name = "joiner.output_linear.weight"
    torch.testing.assert_close(mean[name], model.state_dict()[name] + 1.5)
    with pytest.raises(UserError, match="earlier"):
        averaged(*(read_checkpoint(folder / f"epoch-{i}.pt") for i in (2, 1)))
    of_another = {"model_avg": {"x": torch.zeros(2)}, "batch_idx_train": 10}
    for weights in ({"x": torch.zeros(2), "y": torch.zeros(2)}, {"x": torch.zeros(3)}, {"y": torch.zeros(2)}):
        with pytest.raises(UserError, match="must be an earlier checkpoint of the same training"):
            averaged(of_another, {"model_avg": weights, "batch_idx_train": 20})


def test_verbs_read_icefalls_files(exp, tmp_path, capsys):
    folder, model = exp
    given = ["--icefall_checkpoint", str(folder / "epoch-1.pt"), "--tokens", str(folder / "tokens.txt")]
    dispatch(["extract", *given, "--subnet", "min", "--out", str(tmp_path / "min")])
    alone = load_model(tmp_path / "min" / "config.yaml", tmp_path / "min" / "model.pth").model
    x, lengths = torch.randn(1, 60, 80), torch.tensor([60])
    expected = model.encoder.net(x, lengths, subnet=model.search_space.min)[0]
    torch.testing.assert_close(alone.encoder(x, lengths)[0], expected)
    assert alone.token_list[:4] == ["<blk>", "<sos/eos>", "<unk>", "▁A"] and len(alone.token_list) == 9
    dispatch(["export", *given, "--subnet", "min", "--out", str(tmp_path / "onnx")])
    assert (tmp_path / "onnx" / "tokens.txt").read_text(encoding="utf-8").splitlines()[3] == "▁A 3"
    dispatch(["convert", *given, "--out", str(tmp_path / "espnet")])
    files = ["--train_config", f"{tmp_path}/espnet/config.yaml", "--model_file", f"{tmp_path}/espnet/averaged.pth"]
    capsys.readouterr()
    dispatch(["convert", *files, "--out", str(tmp_path / "icefall")])
    printed = capsys.readouterr().out
    saved = torch.load(tmp_path / "icefall" / "epoch-1.pt")
    assert all(torch.equal(value, saved["model"][key]) for key, value in model.state_dict().items())
    back = ["--icefall_checkpoint", f"{tmp_path}/icefall/epoch-1.pt", "--tokens", f"{tmp_path}/icefall/tokens.txt"]
    dispatch(["extract", *back, "--subnet", "min", "--out", str(tmp_path / "again")])
    again = torch.load(tmp_path / "again" / "model.pth")
    assert all(torch.equal(value, again[key]) for key, value in torch.load(tmp_path / "min" / "model.pth").items())
    conf = load_model(*map(pathlib.Path, files[1::2])).conf
    assert all(f"{key} {value}" in printed for key, value in icefall_options(vars(conf)).items())


def test_options_of_a_configuration_that_leaves_its_widths_at_their_defaults():
    """icefall's are others."""
    options = icefall_options(dict(encoder_conf=dict(d_model=8, num_layers=2), decoder_conf={}, model_conf={}))
    space = MHSSMSupernetEncoder(80, d_model=8, num_layers=2).search_space
    assert tuple(as_params(options)["todm_ffn_dims"]) == tuple(space["ffn"]) == (256, 512, 1024)


def test_a_plan_of_a_training_in_icefall(exp, tmp_path):
    """With icefall's batches and epochs; a checkpoint that `convert` made knows of none."""
    folder, model = exp
    given = ["--icefall_checkpoint", str(folder / "epoch-1.pt"), "--tokens", str(folder / "tokens.txt")]
    how = [
        "--hours",
        "1",
        "--speeds",
        "1.0",
        "--num_gpus",
        "2",
        "--utilisation",
        "0.5",
        "--out",
        f"{tmp_path}/plan.json",
    ]
    dispatch(["plan", *given, *how])
    (job,) = json.loads((tmp_path / "plan.json").read_text())
    assert (job["updates_per_epoch"], job["epochs"]) == (3600 // (2 * 20), 3)
    assert job["params"] == sum(p.numel() for p in model.parameters())
    saved = read_checkpoint(folder / "epoch-1.pt")
    conf, _ = to_espnet(saved, saved["model"], read_tokens(folder / "tokens.txt"), None)
    assert (
        conf["model_conf"]["sampling_conf"]["num_random"] == 2 and conf["model_conf"]["distill_conf"]["weight"] == 0.2
    )
    assert yaml.safe_load(yaml.safe_dump(conf)) == conf
    for words, said in ((given[:2], "--tokens: is needed"), ([], "plan needs --config, or --icefall_checkpoint")):
        with pytest.raises(UserError, match=said):
            dispatch(["plan", *words, *how])
    with pytest.raises(UserError, match="says no max_duration"):
        training_conf(saved | {"max_duration": None}, 1)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--icefall_checkpoint", "{exp}/none.pt", "--tokens", "{exp}/tokens.txt"], "none.pt' does not exist"),
        (["--icefall_checkpoint", "{exp}/epoch-1.pt"], "--tokens: is needed"),
        (["--icefall_checkpoint", "{exp}/tokens.txt", "--tokens", "{exp}/tokens.txt"], "cannot be read"),
        (["--icefall_checkpoint", "{exp}/old.pt", "--tokens", "{exp}/tokens.txt"], "lacks the option 'todm_seed'"),
        ([], "--train_config: is missing, or --icefall_checkpoint"),
        (["--icefall_checkpoint", "{exp}/epoch-1.pt", "--model_file", "x"], "one or the other"),
    ],
)
def test_wrong_files_are_refused(exp, given, said, tmp_path):
    given = [part.format(exp=exp[0]) for part in given]
    with pytest.raises(UserError, match=said):
        dispatch(["extract", *given, "--subnet", "min", "--out", str(tmp_path / "out")])


def test_lhotses_features_are_those_of_the_frontend():
    """Audio in [-1, 1] on both sides, so that neither a scale nor a mean is to be moved."""
    from lhotse import Fbank, FbankConfig

    from espnet_plugin.frontend.kaldi_fbank import KaldiFbank

    audio = 0.3 * torch.randn(1, 16000)
    theirs = torch.as_tensor(Fbank(FbankConfig(num_mel_bins=80)).extract(audio.numpy()[0], 16000))
    ours, _ = KaldiFbank()(audio, torch.tensor([16000]))
    torch.testing.assert_close(ours[0], theirs, rtol=1e-3, atol=2e-3)
