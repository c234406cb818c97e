"""Packs: there and back, ESPnet's own unpacking, and what is refused."""

import hashlib
import io
import pickle
import shutil
import sys
import tarfile
import zipfile

import pytest
import torch
import yaml
from espnet2.main_funcs.pack_funcs import unpack as espnet_unpack
from espnet2.tasks.asr import ASRTask

from espnet_plugin.asr.inference.loading import load_model
from espnet_plugin.bin.main import dispatch
from espnet_plugin.deploy.folder import sums_text
from espnet_plugin.deploy.pack import pack, unpack
from espnet_plugin.errors import UserError


@pytest.fixture(scope="module")
def model_dir(build, tmp_path_factory):
    model, args = build()
    folder = tmp_path_factory.mktemp("models") / "size"
    folder.mkdir()
    torch.save(model.state_dict(), folder / "model.pth")
    (folder / "config.yaml").write_text(yaml.safe_dump(vars(args)))
    (folder / "subnet.json").write_text('{"subnet": "0x8"}\n')
    return folder


@pytest.mark.parametrize("name", ["m.zip", "m.tar.gz", "m.tar"])
def test_there_and_back(build, model_dir, tmp_path, name, capsys):
    dispatch(["pack", str(model_dir), "--out", str(tmp_path / name)])
    dispatch(["unpack", str(tmp_path / name), "--out", str(tmp_path / "again")])
    assert "sums hold" in capsys.readouterr().out
    assert (tmp_path / "again" / "subnet.json").read_text() == '{"subnet": "0x8"}\n'
    stored = yaml.safe_load((tmp_path / "again" / "config.yaml").read_text())
    assert stored["normalize_conf"]["stats_file"] == str(tmp_path / "again" / "feats_stats.npz")
    (tmp_path / "again").rename(tmp_path / "moved")
    model, _ = load_model(tmp_path / "moved" / "config.yaml", tmp_path / "moved" / "model.pth")
    speech = 0.1 * torch.randn(1, 8000)
    expected, _ = build()[0].encode(speech, torch.tensor([8000]))
    assert torch.equal(model.encode(speech, torch.tensor([8000]))[0], expected)


def test_espnet_unpacks_it_too(model_dir, tmp_path, capsys):
    pack(model_dir, tmp_path / "m.zip")
    paths = espnet_unpack(tmp_path / "m.zip", tmp_path / "theirs")
    model, _ = ASRTask.build_model_from_file(paths["asr_train_config"], paths["asr_model_file"])
    ours, _ = load_model(model_dir / "config.yaml", model_dir / "model.pth")
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in ours.state_dict().items())


def test_unpack_and_pack_leave_other_folders_alone(model_dir, tmp_path, monkeypatch):
    own = shutil.copytree(model_dir, tmp_path / "own")
    (tmp_path / "folder.zip").mkdir()
    (tmp_path / "folder.zip" / "mine").write_text("kept")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"folder\.zip' is a folder, must be the name of a file"):
        dispatch(["pack", "own", "--out", "folder.zip"])
    dispatch(["pack", "own", "--out", "m.zip"])
    dispatch(["unpack", "m.zip", "--out", "again"])
    dispatch(["unpack", "m.zip", "--out", "again"])
    before = sorted(tmp_path.rglob("*"))
    for out, said in (
        (".", "holds the current directory"),
        ("..", "holds the current directory"),
        ("m.zip", "is or holds the input 'm.zip'"),
        ("own", "exists and is not replaced, since it holds no SHA256SUMS"),
        ("own/config.yaml", "is a file, must be the name of a folder"),
    ):
        with pytest.raises(UserError, match=said):
            dispatch(["unpack", "m.zip", "--out", out])
    assert sorted(tmp_path.rglob("*")) == before and (own / "model.pth").stat().st_size


def with_member(source, target, name, content, link=False):
    """Copy of a pack as .tar with one more member."""
    with zipfile.ZipFile(source) as old, tarfile.open(target, "w") as new:
        for info in [*old.namelist(), name]:
            data = content if info == name else old.read(info)
            member = tarfile.TarInfo(info)
            member.size = 0 if link and info == name else len(data)
            if link and info == name:
                member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
            new.addfile(member, io.BytesIO(data))


@pytest.mark.parametrize("name, link", [("../evil", False), ("/tmp/evil", False), ("a/b", False), ("evil", True)])
def test_members_that_leave_the_folder_are_refused(model_dir, tmp_path, name, link):
    pack(model_dir, tmp_path / "m.zip")
    with_member(tmp_path / "m.zip", tmp_path / "bad.tar", name, b"x", link)
    with pytest.raises(UserError, match="must be a plain file without a folder"):
        unpack(tmp_path / "bad.tar", tmp_path / "out" / "model")
    assert not (tmp_path / "out").exists() and not (tmp_path / "evil").exists()


def test_a_member_that_is_not_listed_is_refused(model_dir, tmp_path):
    pack(model_dir, tmp_path / "m.zip")
    with_member(tmp_path / "m.zip", tmp_path / "bad.tar", "extra", b"x")
    with pytest.raises(UserError, match="'extra' is not listed in SHA256SUMS"):
        unpack(tmp_path / "bad.tar", tmp_path / "out")


def test_a_changed_or_cut_pack_is_refused_and_leaves_what_was_there(model_dir, tmp_path):
    pack(model_dir, tmp_path / "m.zip")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("kept")
    changed = tmp_path / "changed.zip"
    with zipfile.ZipFile(tmp_path / "m.zip") as old, zipfile.ZipFile(changed, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name) + (b"0" if name == "model.pth" else b""))
    with pytest.raises(UserError, match=r"model.pth' was changed"):
        unpack(changed, tmp_path / "out")
    pack(model_dir, tmp_path / "m.tar.gz")
    cut = tmp_path / "cut.tar.gz"
    cut.write_bytes((tmp_path / "m.tar.gz").read_bytes()[:2000])
    (tmp_path / "noise.zip").write_bytes(b"not an archive")
    for path in (cut, tmp_path / "noise.zip", tmp_path / "none.zip"):
        with pytest.raises(UserError) as error:
            unpack(path, tmp_path / "out")
        assert path.name in str(error.value) and "\n" not in str(error.value)
    assert (tmp_path / "out" / "mine").read_text() == "kept"
    with pytest.raises(UserError, match=r"must end in one of .zip"):
        pack(model_dir, tmp_path / "m.rar")


def rewritten(source, target, changes):
    """A pack with other contents whose sums hold."""
    with zipfile.ZipFile(source) as old:
        files = {name: old.read(name) for name in old.namelist() if name not in ("meta.yaml", "SHA256SUMS")} | changes
    sums = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in files.items())
    with zipfile.ZipFile(target, "w") as new:
        for name, data in ({"SHA256SUMS": sums.encode()} | files).items():
            new.writestr(name, data)


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"SHA256SUMS": b"\xff\xfe"}, "SHA256SUMS': byte 0 is not UTF-8 text"),
        ({"config.yaml": b"- a\n- b\n"}, "config.yaml': must hold 'key: value' lines"),
        ({"config.yaml": b"a: [\n"}, "config.yaml', line 2: is not YAML"),
        ({"config.yaml": b"\xff"}, "config.yaml': byte 0 is not UTF-8"),
    ],
)
def test_members_of_another_content_are_told_in_one_sentence(model_dir, tmp_path, changes, said):
    pack(model_dir, tmp_path / "m.zip")
    rewritten(tmp_path / "m.zip", tmp_path / "bad.zip", changes)
    with pytest.raises(UserError) as error:
        unpack(tmp_path / "bad.zip", tmp_path / "out")
    assert said in str(error.value) and "\n" not in str(error.value) and not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["m.zip", "deflated.zip", "m.tar", "m.tar.gz", "encrypted.zip", "unknown.zip"])
def test_changed_bytes_are_told_in_one_sentence(model_dir, tmp_path, name):
    pack(model_dir, tmp_path / "m.zip")
    if "tar" in name:
        pack(model_dir, tmp_path / name)
    with (
        zipfile.ZipFile(tmp_path / "m.zip") as old,
        zipfile.ZipFile(tmp_path / "d.zip", "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for member in old.namelist():
            new.writestr(member, old.read(member))
    whole = (tmp_path / (name if (tmp_path / name).exists() else "d.zip")).read_bytes()
    changes = [(place, 0x10) for place in range(0, len(whole), len(whole) // 40)]
    entry = whole.rfind(b"PK\x01\x02")  # of the last member, in the listing at the end
    changes = {"encrypted.zip": [(entry + 8, 1)], "unknown.zip": [(entry + 10, 0x40)]}.get(name, changes)
    refused = 0
    for place, flip in changes:
        changed = bytearray(whole)
        changed[place] ^= flip
        (tmp_path / "bad").write_bytes(changed)
        try:
            unpack(tmp_path / "bad", tmp_path / "out")
        except UserError as error:
            assert "\n" not in str(error)
            refused += 1
    assert refused > 0.5 * len(changes)


class Payload:
    def __reduce__(self):
        return (sys.modules["os"].system, ("touch executed",))


def test_code_in_a_checkpoint_is_not_run(model_dir, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = shutil.copytree(model_dir, tmp_path / "evil")
    (folder / "model.pth").write_bytes(pickle.dumps({"w": Payload()}))
    (folder / "SHA256SUMS").write_text(sums_text(folder))
    with pytest.raises(UserError, match="cannot be read"):
        pack(folder, tmp_path / "evil.zip")
    shutil.make_archive(str(tmp_path / "evil"), "zip", folder)
    with pytest.raises(UserError, match=r"evil\.zip' holds no model: checkpoint 'model.pth' cannot be read"):
        unpack(tmp_path / "evil.zip", tmp_path / "out")
    assert not (tmp_path / "executed").exists()
