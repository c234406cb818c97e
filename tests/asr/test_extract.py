"""The verbs that cut a supernet and average its checkpoints: what they write, and what they leave alone."""

import json

import pytest
import torch
import yaml
from tiny import arguments, build

from espnet_plugin.bin.main import dispatch
from espnet_plugin.errors import UserError


@pytest.fixture
def trained(tmp_path):
    """What a run leaves."""
    folder = tmp_path / "supernet"
    folder.mkdir()
    (folder / "config.yaml").write_text(yaml.safe_dump(vars(arguments())))
    for name in ("1epoch.pth", "2epoch.pth", "averaged.pth"):
        torch.save(build().state_dict(), folder / name)
    return folder


def extract(folder, out, *which):
    model = ["--train_config", folder / "config.yaml", "--model_file", folder / "averaged.pth"]
    dispatch(["extract", *map(str, [*model, *which, "--out", out])])


def listing(folder):
    return sorted(path.relative_to(folder) for path in folder.rglob("*"))


def test_a_size_is_replaced_by_another(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("max", "min"):
        extract(trained, "size", "--subnet", name)
    assert yaml.safe_load((tmp_path / "size" / "config.yaml").read_text())["encoder"] == "mhssm"
    assert json.loads((tmp_path / "size" / "subnet.json").read_text())["share"] < 1


@pytest.mark.parametrize("out", ["supernet", "supernet/.", ".", "..", "/", "supernet/averaged.pth"])
def test_extract_leaves_other_folders_alone(trained, tmp_path, monkeypatch, out):
    (trained / "subnet.json").write_text("{}")
    torch.save({}, trained / "model.pth")  # as if it were a size
    monkeypatch.chdir(tmp_path)
    before = listing(tmp_path)
    with pytest.raises(UserError, match="is not replaced, since it is or holds the"):
        extract(trained, out, "--subnet", "min")
    assert listing(tmp_path) == before


def test_average_leaves_folders_and_inputs_alone(trained):
    before = listing(trained)
    for out, said in ((trained, "holds the input"), (trained / "2epoch.pth", "2epoch.pth' is not replaced")):
        with pytest.raises(UserError, match=said):
            dispatch(["average", "--dir", str(trained), "--out", str(out)])
    (trained / "logs").mkdir()
    with pytest.raises(UserError, match="logs' is a folder, must be the name of a file"):
        dispatch(["average", "--dir", str(trained), "--out", str(trained / "logs")])
    (trained / "logs").rmdir()
    assert listing(trained) == before


@pytest.mark.parametrize("name", ["../up", "/tmp/x-of-todm", "", ".", "..", "a/b", None])
def test_names_of_sizes_that_lead_out_of_the_folder_are_refused(trained, tmp_path, name):
    (tmp_path / "sizes.json").write_text(json.dumps({"sizes": [{"name": name, "subnet": "min"}]}))
    before = listing(tmp_path)
    with pytest.raises(UserError, match="must be the name of a folder in --out"):
        extract(trained, tmp_path / "sizes", "--sizes", tmp_path / "sizes.json")
    assert listing(tmp_path) == before


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff", b"[]", b'{"sizes": 3}', b'{"sizes": [{"name": "a"}]}', b'{"sizes": [3]}']
)
def test_damaged_sizes_are_told_in_one_sentence(trained, tmp_path, content):
    (tmp_path / "sizes.json").write_bytes(content)
    with pytest.raises(UserError, match=r"sizes.json'.* is not ") as error:
        extract(trained, tmp_path / "sizes", "--sizes", tmp_path / "sizes.json")
    assert "\n" not in str(error.value)
