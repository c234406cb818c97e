"""An encoder of another kind, put in from outside: all that the package does with its own encoders, and what this one cannot do.

Its layers are depthwise-separable convolutions, in two stacks at 50 and 25 frames a second. Beside depth and width it has a dimension of
its own, the taps of a convolution. Nothing in the package knows of it.

Shapes: B batch, S input frames (10 ms), T encoder frames (40 ms), F features, D model dimension, C inner channels, K taps.
"""

import json
import multiprocessing
import random
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint

import pytest
import torch
import torch.nn.functional as F
import yaml

from espnet_plugin import register_encoder, registry
from espnet_plugin.asr.inference.extract import cost, extract
from espnet_plugin.asr.inference.loading import load_model
from espnet_plugin.bin.main import dispatch
from espnet_plugin.encoder import interface
from espnet_plugin.errors import UserError
from espnet_plugin.supernet.configured import search_space
from espnet_plugin.supernet.cost import Cost
from espnet_plugin.supernet.dimensions import FFN, Dimension
from espnet_plugin.supernet.layers import ElasticLinear

TAPS = Dimension("taps", "taps", "k", "taps", per_layer=True, largest=("encoder_conf.taps",))


@dataclass(frozen=True)
class Stem(interface.Stem):
    """Args: x (B, 2 T, D), masks (B, 2 T, 1), (B, T, 1), lengths (B,)."""

    x: torch.Tensor
    masks: tuple[torch.Tensor, torch.Tensor]
    lengths: torch.Tensor

    def select(self, rows):
        return replace(self, x=self.x[rows], masks=tuple(m[rows] for m in self.masks), lengths=self.lengths[rows])


class Layer(torch.nn.Module):
    """Norm, linear layer, causal depthwise convolution whose first tap is the present frame, linear layer."""

    def __init__(self, d: int, width: int, taps: int):
        super().__init__()
        self.norm, self.up, self.down = torch.nn.LayerNorm(d), ElasticLinear(d, width), ElasticLinear(width, d)
        self.taps = torch.nn.Parameter(torch.randn(width, 1, taps) / taps)

    def forward(self, x, mask, width=None, taps=None):
        y = F.silu(self.up(self.norm(x), out_features=width)) * mask
        kernel = self.taps[:width, :, :taps].flip(-1)
        y = F.conv1d(F.pad(y.transpose(1, 2), (kernel.shape[-1] - 1, 0)), kernel, groups=y.shape[-1])
        return x + self.down(F.silu(y).transpose(1, 2))


class SeparableEncoder(interface.Encoder):
    """Of one size. Args: output_size: D; linear_units, taps: C and K of each layer of each stack."""

    frame_rate, shortest = 25, 4

    def __init__(self, input_size: int, output_size: int, linear_units: list, taps: list):
        super().__init__()
        self.d_model, self.join = output_size, torch.nn.Linear(2 * input_size, output_size)
        sizes = (zip(*stack, strict=True) for stack in zip(linear_units, taps, strict=True))
        self.stacks = torch.nn.ModuleList(torch.nn.ModuleList(Layer(output_size, *s) for s in each) for each in sizes)

    def output_size(self):
        return self.d_model

    def stem(self, xs_pad, ilens, subnet=None):
        frames, lengths = xs_pad.shape[1] // 4, ilens // 4
        x = self.join(xs_pad[:, : 4 * frames].reshape(len(xs_pad), 2 * frames, -1))
        masks = (torch.arange(k * frames) < k * lengths.unsqueeze(1) for k in (2, 1))
        return Stem(x, tuple(mask.unsqueeze(-1).to(x.dtype) for mask in masks), lengths)

    def run(self, stem, subnet=None):
        x, each = stem.x, lambda number, layers: ((layer,) for layer in layers)
        if subnet is not None:
            kept = list(subnet.per_layer("ffn", "taps"))
            each = lambda n, layers: ((layers[at.index], *sizes) for at, *sizes in kept if at.stack == n)  # noqa: E731
        for number, (layers, mask) in enumerate(zip(self.stacks, stem.masks)):
            if number:
                x = x.unflatten(1, (-1, 2)).mean(2)
            for layer, *sizes in each(number, layers):
                x = layer(x, mask, *sizes)
        return x


class ElasticSeparableEncoder(interface.ElasticEncoder, SeparableEncoder):
    """At any depth of both stacks, any width and any number of taps."""

    plain_class, layer_prefixes = SeparableEncoder, ("stacks.0", "stacks.1")

    def __init__(
        self, input_size: int, output_size: int, num_layers: list, linear_units: int, taps: int, search_space: dict
    ):
        super().__init__(input_size, output_size, *([[size] * n for n in num_layers] for size in (linear_units, taps)))
        self.input_size = input_size
        self.search_space = space(num_layers, search_space, dict(linear_units=linear_units, taps=taps))

    def extracted_conf(self, subnet):
        stacks = [[sizes for at, *sizes in subnet.per_layer("ffn", "taps") if at.stack == n] for n in (0, 1)]
        widths, taps = ([[s[i] for s in stack] for stack in stacks] for i in (0, 1))
        return dict(output_size=self.d_model, linear_units=widths, taps=taps)

    def cost(self, subnet):
        d = self.d_model
        total = Cost(2 * self.input_size * d + d, 50 * 2 * self.input_size * d)
        for at, width, taps in subnet.per_layer("ffn", "taps"):
            weights = width * (2 * d + taps)
            total += Cost(weights + width + 3 * d, (50, 25)[at.stack] * weights)
        return total


def space(num_layers, conf, sizes):
    return search_space(num_layers, conf, (FFN, TAPS), sizes)


# That is all of it. What follows uses it.
CONF = dict(output_size=16, num_layers=[2, 2], linear_units=32, taps=5)
CONF |= dict(search_space=dict(depths=[[1, 2], [1, 2]], ffn_dims=[8, 16, 32], taps=[3, 5]))
TRAIN = dict(frontend="kaldi_fbank", encoder="separable_supernet", encoder_conf=CONF, decoder="stateless", model="todm")
TRAIN |= dict(decoder_conf=dict(embed_dim=16), token_type="char", max_epoch=2, optim="scaledadam", num_workers=0)
TRAIN |= dict(batch_type="unsorted", batch_size=3, num_att_plot=0, use_matplotlib=False, keep_nbest_models=1)
TRAIN |= dict(best_model_criterion=[["valid", "loss", "min"]], grad_clip=1e5, seed=1)
SAMPLING = dict(num_random=1, student_share=0.5)
TRAIN |= dict(model_conf=dict(joint_space_size=16, transducer_conf=dict(warmup_steps=2), sampling_conf=SAMPLING))
register_encoder("separable", ElasticSeparableEncoder, SeparableEncoder)


def run(*argv) -> None:
    """A verb, in a process of its own as a user has it; forked, so that the encoder is there."""
    process = multiprocessing.get_context("fork").Process(target=dispatch, args=([str(arg) for arg in argv],))
    process.start()
    process.join()
    assert process.exitcode == 0


@pytest.fixture(scope="module")
def data(an4_dir, tmp_path_factory):
    """Kaldi directory of AN4 utterances."""
    folder = tmp_path_factory.mktemp("an4_data")
    lines = [line for path in an4_dir.rglob("*.transcription") for line in path.read_text().splitlines()]
    texts = {line.rsplit("(", 1)[1].rstrip(")\n"): line.rsplit("(", 1)[0] for line in lines}
    texts = {key: " ".join(word for word in text.split() if not word.startswith("<")) for key, text in texts.items()}
    wavs = {path.stem: path for path in sorted(an4_dir.rglob("*.sph")) if path.stem in texts}
    assert len(wavs) >= 5
    (folder / "wav.scp").write_text("".join(f"{key} {path}\n" for key, path in wavs.items()))
    (folder / "text").write_text("".join(f"{key} {texts[key]}\n" for key in wavs))
    (folder / "shape").write_text("".join(f"{key} 16000\n" for key in wavs))
    letters = sorted({letter for key in wavs for letter in texts[key]} - {" "})
    (folder / "tokens").write_text("\n".join(["<blank>", "<unk>", "<space>", *letters, "<sos/eos>"]) + "\n")
    return folder


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """config.yaml and checkpoint of a training by the sandwich rule, in which the nets after the max net see half of a batch."""
    folder = tmp_path_factory.mktemp("foreign")
    conf = TRAIN | dict(token_list=str(data / "tokens"), output_dir=str(folder / "supernet"))
    for phase in ("train", "valid"):
        names = [[str(data / "wav.scp"), "speech", "sound"], [str(data / "text"), "text", "text"]]
        conf |= {f"{phase}_data_path_and_name_and_type": names, f"{phase}_shape_file": [str(data / "shape")]}
    (folder / "train.yaml").write_text(yaml.safe_dump(conf))
    run("train", "--config", folder / "train.yaml")
    return folder / "supernet" / "config.yaml", folder / "supernet" / "valid.loss.ave.pth"


def options(trained):
    return "--train_config", trained[0], "--model_file", trained[1]


@pytest.mark.parametrize("seed", range(6))
def test_a_subnet_is_cut_out_exactly(trained, seed):
    whole = load_model(*trained)
    subnet = whole.model.search_space.sample(random.Random(seed))
    alone = extract(whole, subnet)
    assert alone.conf.encoder == "separable" and whole.model.search_space.parse(str(subnet)) == subnet
    speech, lengths = 0.1 * torch.randn(2, 9000), torch.tensor([9000, 5000])
    with torch.no_grad():
        inside, outside = whole.model.encode(speech, lengths, subnet), alone.model.encode(speech, lengths)
    torch.testing.assert_close(inside, outside, atol=1e-6, rtol=1e-5)
    assert cost(whole.model, subnet).params == sum(p.numel() for p in alone.model.parameters())


def test_it_is_searched_cut_out_decoded_and_packed(trained, data, tmp_path, capsys):
    dims = (
        "--data",
        data,
        "--evaluations",
        12,
        "--num_sizes",
        3,
        "--num_candidates",
        1,
        "--out",
        tmp_path / "sizes.json",
    )
    run("choose", *options(trained), *dims)
    sizes = json.loads((tmp_path / "sizes.json").read_text())["sizes"]
    assert [size["name"] for size in sizes][::2] == ["max", "min"]
    assert sizes[0]["subnet"] == "0.0-1x32k5_1.0-1x32k5" and sizes[2]["subnet"] == "0.0x8k3_1.0x8k3"
    run("extract", *options(trained), "--sizes", tmp_path / "sizes.json", "--out", tmp_path / "sizes")
    run("decode", "--model_dir", tmp_path / "sizes" / "min", "--data", data)
    assert len(list((tmp_path / "sizes" / "min" / "decode").rglob("text"))) == 1
    run("pack", tmp_path / "sizes" / "max", "--out", tmp_path / "max.zip")
    run("unpack", tmp_path / "max.zip", "--out", tmp_path / "again")
    again = load_model(tmp_path / "again" / "config.yaml", tmp_path / "again" / "model.pth").model
    assert type(again.encoder) is SeparableEncoder


def test_its_training_is_planned(tmp_path, capsys):
    conf = {key: TRAIN[key] for key in TRAIN if key not in ("batch_type", "batch_size")}
    pruned = TRAIN["model_conf"] | dict(transducer_conf=dict(loss="pruned"))
    conf |= dict(batch_type="numel", batch_bins=800000, model_conf=pruned)
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(conf))
    dispatch(["plan", "--config", str(tmp_path / "plan.yaml"), "--vocabulary", "30", "--utilisation", "0.3"])
    assert "| supernet | " in capsys.readouterr().out


def test_what_it_cannot_do_is_refused_in_a_sentence_that_names_it(trained, data, tmp_path):
    run("extract", *options(trained), "--subnet", "min", "--out", tmp_path / "min")
    for argv, said in (
        (["export", tmp_path / "min", "--out", tmp_path / "o"], "encoder: 'separable' cannot be exported"),
        (
            ["decode", "--model_dir", tmp_path / "min", "--data", data, "--streaming", "true"],
            "streaming: encoder 'separable' cannot run on a stream",
        ),
        (
            ["latency", "--train_config", trained[0], "--out", tmp_path / "t.json"],
            "latency: encoder 'separable_supernet' has no blocks",
        ),
        (
            ["choose", *options(trained), "--data", data, "--max-size", "1MB", "--int8"],
            "--int8: sizes of encoder 'separable_supernet' cannot be exported",
        ),
    ):
        with pytest.raises(UserError, match=said):
            dispatch([str(arg) for arg in argv])


def test_a_package_puts_its_encoder_in_by_an_entry_point(monkeypatch):
    point = EntryPoint("separable", "test_foreign_encoder:register", registry.ENTRY_POINTS)
    called = []
    monkeypatch.setattr(EntryPoint, "load", lambda self: lambda: called.append(self.name))
    monkeypatch.setattr(registry, "entry_points", lambda group: [point])
    registry.load_entry_points()
    assert called == ["separable"]

    def missing(self):
        raise ModuleNotFoundError("No module named 'x'")

    monkeypatch.setattr(EntryPoint, "load", missing)
    with pytest.raises(UserError, match=r"entry point 'separable' .* cannot be loaded: No module named 'x'"):
        registry.load_entry_points()


def test_what_is_no_encoder_or_has_a_taken_name_is_refused():
    with pytest.raises(UserError, match="'conv': its classes must be subclasses of ElasticEncoder and of Encoder"):
        register_encoder("conv", torch.nn.Linear, SeparableEncoder)
    with pytest.raises(UserError, match="name 'conformer_supernet' is taken"):
        register_encoder("conformer", ElasticSeparableEncoder, SeparableEncoder)
    assert SeparableEncoder.name == "separable"
