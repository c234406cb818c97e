"""The recipe's folder as the demonstration leaves it, but with a tiny supernet that nobody trained and seven real utterances."""

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

sys.path.append(str(Path(__file__).parents[1] / "asr"))
import tiny

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "egs2" / "librispeech_todm"

SPACE = dict(depths=[1, 2, 3], ffn_dims=[4, 8, 16], directions=["forward", "bidirectional"])


def write_data(folder: Path, wavs: list[Path]) -> None:
    folder.mkdir(parents=True)
    (folder / "wav.scp").write_text("".join(f"{wav.stem} {wav}\n" for wav in wavs))
    (folder / "text").write_text("".join(f"{wav.stem} {'ABCD'[i % 4]} AD\n" for i, wav in enumerate(wavs)))


def write_supernet(folder: Path) -> None:
    import sentencepiece

    folder.mkdir(parents=True)
    text = folder / "text"
    text.write_text("\n".join(["A BC D", "AB CD", "D C B A", "DA BA"] * 20))
    sentencepiece.SentencePieceTrainer.train(
        input=str(text), model_prefix=str(folder / "bpe"), vocab_size=10, character_coverage=1.0, minloglevel=2
    )
    pieces = sentencepiece.SentencePieceProcessor(str(folder / "bpe.model"))
    names = [pieces.id_to_piece(i) for i in range(pieces.get_piece_size())]
    tokens = ["<blank>", "<unk>", *(n for n in names if not n.startswith("<")), "<sos/eos>"]
    generator = np.random.default_rng(0)
    x = generator.normal(-9, 3, (1000, 80))
    np.savez(folder / "feats_stats.npz", count=len(x), sum=x.sum(0), sum_square=(x**2).sum(0))
    changes = dict(
        token_list=tokens,
        bpemodel=str(folder / "bpe.model"),
        normalize="global_mvn",
        normalize_conf=dict(stats_file=str(folder / "feats_stats.npz")),
        encoder_conf=tiny.CONF["encoder_conf"] | {"search_space": SPACE},
    )
    model = tiny.build(**changes)
    torch.save(model.state_dict(), folder / "averaged.pth")
    (folder / "config.yaml").write_text(yaml.safe_dump(vars(tiny.arguments(**changes))))


@pytest.fixture(scope="session")
def demonstrated(tmp_path_factory, an4_wavs) -> Path:
    """Project folder whose recipe has exp/mini and dump/mini; made once, to be copied."""
    from espnet_plugin.bin.main import dispatch

    project = tmp_path_factory.mktemp("project")
    recipe = project / "egs2" / "librispeech_todm"
    recipe.mkdir(parents=True)
    for name in ("README.md", "conf", "docs", "benchmarks"):
        (project / name).symlink_to(ROOT / name)
    for path in RECIPE.iterdir():
        if path.name not in ("exp", "dump", "data", "downloads"):
            (recipe / path.name).symlink_to(path.resolve())
    exp, raw = recipe / "exp" / "mini", recipe / "dump" / "mini" / "raw"
    for name in ("dev-mini", "test-clean", "test-other"):
        write_data(raw / name, an4_wavs)
    write_supernet(exp / "supernet")
    here = os.getcwd()
    os.chdir(recipe)
    try:
        model = ["--train_config", "exp/mini/supernet/config.yaml", "--model_file", "exp/mini/supernet/averaged.pth"]
        search = ["--num_sizes", "2", "--evaluations", "6", "--num_candidates", "1"]
        dispatch(["choose", *model, "--data", f"{raw}/dev-mini", *search, "--out", "exp/mini/sizes.json"])
        dispatch(["extract", *model, "--sizes", "exp/mini/sizes.json", "--out", "exp/mini/sizes"])
    finally:
        os.chdir(here)
    return project


@pytest.fixture
def recipe(demonstrated, tmp_path, monkeypatch) -> Path:
    """A copy of the recipe's folder, which is the current directory."""
    shutil.copytree(demonstrated, tmp_path / "project", symlinks=True)
    folder = tmp_path / "project" / "egs2" / "librispeech_todm"
    monkeypatch.chdir(folder)
    return folder
