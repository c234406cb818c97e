"""A small workspace with every kind of file that a program reads, made once; all names in it are relative to it."""

import argparse
import shutil
from pathlib import Path

import numpy as np
import soundfile
import tiny
import torch
import yaml
from cases import run

from espnet_plugin.common.tokens import bpe_tokens, train_bpe
from espnet_plugin.icefall.checkpoint import icefall_options
from espnet_plugin.icefall.options import add_arguments

SENTENCES = ["A BC D", "AB CD", "D C B A", "DA BA"]
SPACE = dict(depths=[1, 2, 3], ffn_dims=[4, 8, 16], heads=[2, 4])
SUPERNET = "--train_config supernet/config.yaml --model_file supernet/averaged.pth"


def write_supernet(folder: Path, **space) -> None:
    """A training directory as training leaves it, of a model that nobody trained."""
    folder.mkdir()
    (folder / "bpe.model").write_bytes(train_bpe(SENTENCES * 20, 12))
    x = np.random.default_rng(0).normal(-9, 3, (1000, 80))
    np.savez(folder / "feats_stats.npz", count=len(x), sum=x.sum(0), sum_square=(x**2).sum(0))
    changes = dict(
        token_list=bpe_tokens(folder / "bpe.model"),
        bpemodel=str(folder / "bpe.model"),
        normalize="global_mvn",
        normalize_conf=dict(stats_file=str(folder / "feats_stats.npz")),
        encoder_conf=tiny.CONF["encoder_conf"] | {"search_space": SPACE | space},
    )
    model = tiny.build(**changes)
    for name in ("1epoch.pth", "2epoch.pth", "averaged.pth"):
        torch.save(model.state_dict(), folder / name)
    (folder / "config.yaml").write_text(yaml.safe_dump(vars(tiny.arguments(**changes))))


def write_data(folder: Path, seconds: tuple[float, ...] = (0.5, 0.6, 0.7, 0.8)) -> None:
    """A Kaldi directory of noise."""
    folder.mkdir()
    rng, names = np.random.default_rng(0), [f"u{i}" for i in range(len(seconds))]
    for name, length in zip(names, seconds):
        soundfile.write(folder / f"{name}.wav", 0.1 * rng.standard_normal(int(16000 * length)), 16000)
    (folder / "wav.scp").write_text("".join(f"{name} {folder}/{name}.wav\n" for name in names))
    (folder / "text").write_text("".join(f"{name} {words}\n" for name, words in zip(names, SENTENCES)))


def write_training(config: Path) -> None:
    """A training configuration with all that it names: the data and tokens that are here, and shape files."""
    tokens = bpe_tokens(Path("supernet/bpe.model"))
    Path("tokens.txt").write_text("\n".join(tokens) + "\n")
    Path("shapes").mkdir()
    seconds = (0.5, 0.6, 0.7, 0.8)
    Path("shapes/speech_shape").write_text("".join(f"u{i} {int(16000 * s)}\n" for i, s in enumerate(seconds)))
    Path("shapes/text_shape").write_text("".join(f"u{i} 4,{len(tokens)}\n" for i in range(len(seconds))))
    files = [["data/wav.scp", "speech", "sound"], ["data/text", "text", "text"]]
    conf = {key: tiny.CONF[key] for key in ("frontend", "encoder", "encoder_conf", "decoder", "decoder_conf", "model")}
    conf |= dict(
        model_conf=tiny.CONF["model_conf"] | dict(sampling_conf=dict(num_random=1), distill_conf=dict(weight=0.2))
    )
    conf |= dict(
        frontend_conf=dict(fs=16000), specaug="specaug", specaug_conf=dict(apply_time_warp=False, num_freq_mask=1)
    )
    conf["specaug_conf"] |= dict(freq_mask_width_range=[0, 10], time_mask_width_ratio_range=[0.0, 0.05])
    conf |= dict(token_list="tokens.txt", token_type="bpe", bpemodel="supernet/bpe.model")
    conf |= dict(normalize="global_mvn", normalize_conf=dict(stats_file="supernet/feats_stats.npz"))
    conf |= dict(optim="scaledadam", optim_conf=dict(lr=0.02, clipping_scale=2.0), grad_clip=1e5)
    conf |= dict(scheduler="eden", scheduler_conf=dict(lr_batches=10, lr_epochs=2, warmup_batches=3))
    conf |= dict(max_epoch=1, batch_type="unsorted", batch_size=2, num_workers=0, num_att_plot=0, use_matplotlib=False)
    conf |= dict(best_model_criterion=[["valid", "loss", "min"]], use_tensorboard=False, seed=1)
    for phase in ("train", "valid"):
        conf[f"{phase}_data_path_and_name_and_type"] = files
        conf[f"{phase}_shape_file"] = ["shapes/speech_shape", "shapes/text_shape"]
    config.write_text(yaml.safe_dump(conf, sort_keys=False))


def prepare() -> None:
    """Fill the current folder.

    supernet/ (both directions at once), forward/ (with a choice of directions), size/ (extracted), data/, exp/ (what choose has found),
    train.yaml with tokens.txt and shapes/, table.json (times of a device), pack.zip, pack.tar.gz, icefall/, decode.yaml, hotwords.txt.
    """
    write_supernet(Path("supernet"))
    write_supernet(Path("forward"), directions=["forward", "bidirectional"])
    write_data(Path("data"))
    plan = tiny.CONF | dict(batch_type="numel", batch_bins=160_000, max_epoch=3)
    Path("plan.yaml").write_text(
        yaml.safe_dump({key: plan[key] for key in plan if key not in ("token_list", "bpemodel")})
    )
    write_training(Path("train.yaml"))
    Path("decode.yaml").write_text("beam_size: 2\n")
    Path("hotwords.txt").write_text("AB CD\n")
    Path("exp").mkdir()
    for command in (
        f"choose {SUPERNET} --data data --num_sizes 3 --evaluations 6 --num_candidates 1 --out exp/sizes.json",
        f"extract {SUPERNET} --subnet min --out size",
        "latency --train_config supernet/config.yaml --rounds 1 --seconds 0.5 --out table.json",
        "pack size --out pack.zip",
        "pack size --out pack.tar.gz",
        f"convert {SUPERNET} --out icefall",
    ):
        answer = run(command)
        assert answer.status == 0, (command, answer)
    write_icefall_checkpoint(Path("icefall/epoch-1.pt"), Path("icefall/trained.pt"))


def write_icefall_checkpoint(converted: Path, path: Path) -> None:
    """What training in icefall would have saved: weights and options."""
    parser = argparse.ArgumentParser()
    for name in ("encoder-dim", "decoder-dim", "joiner-dim", "context-size"):
        parser.add_argument(f"--{name}", type=int)
    add_arguments(parser)
    options = icefall_options(yaml.safe_load(Path("supernet/config.yaml").read_text()))
    given = parser.parse_args([word for pair in options.items() for word in pair])
    torch.save(torch.load(converted) | vars(given), path)


def copy_of(prepared: Path, folder: Path) -> None:
    shutil.copytree(prepared, folder, symlinks=True, dirs_exist_ok=True)
