"""Model directories that are damaged, or are something else, told in a sentence."""

import re

import pytest
import torch
import yaml
from tiny import arguments, build

from espnet_plugin.asr.inference.loading import load_model
from espnet_plugin.bin.average import average_states
from espnet_plugin.errors import UserError


@pytest.fixture
def folder(tmp_path):
    torch.save(build().state_dict(), tmp_path / "model.pth")
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(vars(arguments())))
    return tmp_path


def refusal(function, *args):
    with pytest.raises(UserError) as error:
        function(*args)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    "content, said",
    [
        (b"", "model is 'None', must be 'todm'"),
        (b"- a\n", "must hold 'key: value' lines"),
        (b"a: [\n", "is not (YAML|UTF-8)"),
        (b"\xff\xfe", "is not (YAML|UTF-8)"),
        (b"model: todm\n", "key '.*' is missing"),
        (b"model: [todm]\n", "must be 'todm'"),
    ],
)
def test_damaged_configurations(folder, content, said):
    (folder / "config.yaml").write_bytes(content)
    message = refusal(load_model, folder / "config.yaml", folder / "model.pth")
    assert str(folder / "config.yaml") in message and re.search(said, message)


def damaged(path, content):
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)


CHECKPOINTS = [
    (b"", "is empty"),
    (b"noise", "cannot be read"),
    (None, "is not that of a model"),
    ([torch.zeros(2)], "is not that of a model"),
    ({"model": {"w": torch.zeros(2)}, "epoch": 3}, "is not that of a model"),
    ({3: torch.zeros(2)}, "is not that of a model"),
]


@pytest.mark.parametrize("content, said", CHECKPOINTS)
def test_damaged_checkpoints(folder, content, said):
    damaged(folder / "model.pth", content)
    message = refusal(load_model, folder / "config.yaml", folder / "model.pth")
    assert f"checkpoint '{folder / 'model.pth'}' {said}" in message


@pytest.mark.parametrize(
    "content, said",
    [
        *CHECKPOINTS,
        ({"w": torch.zeros(3)}, r"'w' is \[3\], must be \[2\] as in"),
        ({"v": torch.zeros(2)}, r"'v' is \[2\], must be nothing as in"),
        ({}, r"'w' is nothing, must be \[2\] as in"),
    ],
)
def test_epochs_that_cannot_be_averaged(tmp_path, content, said):
    paths = [tmp_path / "1epoch.pth", tmp_path / "2epoch.pth"]
    torch.save({"w": torch.zeros(2)}, paths[0])
    damaged(paths[1], content)
    assert re.search(f"2epoch.pth'.* {said}", refusal(average_states, paths))
