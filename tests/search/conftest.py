"""A tiny supernet and a development set of noise."""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml

sys.path.append(str(Path(__file__).parents[1] / "asr"))
import tiny

SPACE = dict(
    depths=[1, 2, 3],
    ffn_dims=[4, 8, 16],
    heads=[2, 4],
    model_dims=[4, 8],
    prediction_dims=[4, 8],
    joiner_dims=[4, 8],
    directions=["forward", "bidirectional"],
)


def write_supernet(folder: Path, **changes) -> tuple[Path, Path, Path]:
    """config.yaml, checkpoint and a Kaldi directory of six utterances."""
    changes = dict(token_type="char", decoder="stateless_supernet") | changes
    tokens = ["<blank>", "<unk>", "<space>", "A", "B", "C", "<sos/eos>"]
    model = tiny.build(**changes, token_list=tokens)
    torch.save(model.state_dict(), folder / "model.pth")
    conf = vars(tiny.arguments(**changes, token_list=tokens))
    (folder / "config.yaml").write_text(yaml.safe_dump(conf))
    data, rng = folder / "dev", np.random.default_rng(0)
    data.mkdir()
    for i in range(6):
        soundfile.write(data / f"u{i}.wav", 0.1 * rng.standard_normal(6000 + 2000 * i), 16000)
    (data / "wav.scp").write_text("".join(f"u{i} {data}/u{i}.wav\n" for i in range(6)))
    (data / "text").write_text("".join(f"u{i} AB C{'A' * i}\n" for i in range(6)))
    return folder / "config.yaml", folder / "model.pth", data


@pytest.fixture(scope="session")
def supernet(tmp_path_factory) -> tuple[Path, Path, Path]:
    encoder = tiny.CONF["encoder_conf"] | {"search_space": SPACE}
    return write_supernet(tmp_path_factory.mktemp("supernet"), encoder_conf=encoder)


@pytest.fixture(scope="session")
def bidirectional(tmp_path_factory) -> tuple[Path, Path, Path]:
    """A supernet without a choice of directions."""
    return write_supernet(tmp_path_factory.mktemp("bidirectional"))


@pytest.fixture(scope="session")
def conformer(tmp_path_factory) -> tuple[Path, Path, Path]:
    space = dict(depths=[1, 2], ffn_dims=[4, 8], heads=[1, 2])
    encoder = dict(
        output_size=8, attention_heads=2, linear_units=8, num_blocks=2, cnn_module_kernel=3, search_space=space
    )
    return write_supernet(tmp_path_factory.mktemp("conformer"), encoder="conformer_supernet", encoder_conf=encoder)


@pytest.fixture(scope="session")
def loaded(supernet) -> tuple[torch.nn.Module, argparse.Namespace]:
    from espnet_plugin.asr.inference.loading import load_model

    return load_model(*supernet[:2])


@pytest.fixture
def read_json():
    return lambda path: json.loads(path.read_text())
