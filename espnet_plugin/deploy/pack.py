"""Model directories as one file in ESPnet's pack format, and back with checks."""

import contextlib
import errno
import io
import lzma
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO

import yaml
from espnet2.main_funcs.pack_funcs import pack as espnet_pack

from espnet_plugin.asr.inference.loading import load_model, model_dir_files
from espnet_plugin.asr.model_dir import beside
from espnet_plugin.common.compose import read_yaml
from espnet_plugin.common.files import check_place, is_plain_name, need_file, write_whole
from espnet_plugin.deploy.folder import SUMS, check_sums, sums_text
from espnet_plugin.errors import UserError

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")
MADE_OF = ("config.yaml", "model.pth", SUMS)  # of an unpacked model
Opening = Callable[[], IO[bytes] | None]  # of a member; None of what is no plain file
LARGEST = 20 * 10**9  # bytes that a pack may unfold to


def pack(model_dir: Path, out: Path) -> None:
    """Write an extracted size or a supernet's training directory as one file that ESPnet's programs and model zoo read.

    Args:
        model_dir: see `model_dir_files`.
        out: .zip, .tar, .tar.gz or .tgz.

    Raises:
        UserError: no model directory, a damaged model (see `load_model`), another suffix, or `out` is a folder or part of the model.
    """
    if not Path(out).name.endswith(SUFFIXES):
        raise UserError(f"--out: '{out}' must end in one of {', '.join(SUFFIXES)}")
    config, checkpoint = (path.absolute() for path in model_dir_files(model_dir))
    out = check_place(Path(out), inputs=(config, checkpoint))
    args = vars(load_model(config, checkpoint).conf)  # what is damaged is not handed on

    def write(path: Path) -> None:
        stage, option = path.with_name("stage"), [SUMS]
        stage.mkdir()
        for conf, key, name in beside(args):
            shutil.copy(conf[key], stage / name)
            conf[key] = name  # ESPnet's unpack turns names of packed files into paths
            option.append(name)
        if (config.parent / "subnet.json").is_file():
            shutil.copy(config.parent / "subnet.json", stage)
            option.append("subnet.json")
        shutil.copy(checkpoint, stage / "model.pth")
        (stage / "config.yaml").write_text(yaml.safe_dump(args, sort_keys=False), encoding="utf-8")
        (stage / SUMS).write_text(sums_text(stage))
        # ESPnet tells the format by the suffix; names in the pack are relative to the working directory.
        with contextlib.chdir(stage), contextlib.redirect_stdout(io.StringIO()):
            espnet_pack({"asr_model_file": "model.pth"}, {"asr_train_config": "config.yaml"}, path, option)

    write_whole(out, write)


def rows(archive: zipfile.ZipFile | tarfile.TarFile) -> Iterator[tuple[str, int, bool, Opening]]:
    """Of each member of a pack: name, bytes, whether it is a plain file, how to open it."""
    if isinstance(archive, zipfile.ZipFile):
        for entry in archive.infolist():
            plain = not entry.is_dir() and (entry.external_attr >> 28) != 0xA
            yield entry.filename, entry.file_size, plain, partial(archive.open, entry)
    else:
        for member in archive.getmembers():
            yield member.name, member.size, member.isfile(), partial(archive.extractfile, member)


def members(archive: zipfile.ZipFile | tarfile.TarFile) -> dict[str, tuple[int, Opening]]:
    """Name -> bytes and how to open it, of the files of a pack.

    Raises:
        UserError: a member that is no plain file beside the others.
    """
    found: dict[str, tuple[int, Opening]] = {}
    for name, size, plain, opening in rows(archive):
        if not plain or not is_plain_name(name) or "\\" in name or name in found:
            raise UserError(f"pack: member '{name}' must be a plain file without a folder, once")
        found[name] = (size, opening)
    return found


@contextlib.contextmanager
def damage(path: Path, told: str) -> Iterator[None]:
    """Tell what Python's readers of archives raise on bytes that are none, or were changed, in a sentence.

    Raises:
        UserError: `told` of `path`; a failure of the file system passes.
    """
    try:
        yield
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, ValueError) as error:
        raise UserError(f"pack '{path}' {told}") from error
    except RuntimeError as error:  # an encrypted member, an unknown compression
        raise UserError(f"pack '{path}' {told}: {error}") from error
    except OSError as error:
        if error.errno not in (None, errno.EINVAL):  # of gzip and bz2, and of an offset before the file's beginning
            raise
        raise UserError(f"pack '{path}' {told}") from error


def unpack(path: Path, out: Path) -> None:
    """Write a model directory from a pack: members must be plain files, sums must hold, and nothing is unpickled.

    Args:
        path: file that `pack` wrote.
        out: model directory, replaced whole if it was unpacked before; paths in its config.yaml are absolute, for ESPnet's own programs.

    Raises:
        UserError: not such a file, a member or sum is wrong, or `out` is something else than an unpacked model; then `out` is not touched.
    """
    path, out = Path(path), Path(out).resolve()
    need_file("pack", path)
    # tar first: a checkpoint is a zip file itself, so that a tar file may end like one
    with damage(path, "is no zip or tar file"):
        archive = (tarfile.open if tarfile.is_tarfile(path) else zipfile.ZipFile)(path)

    def write(folder: Path) -> None:
        folder.mkdir()
        found = members(archive)
        if sum(size for size, _ in found.values()) > LARGEST:
            raise UserError(f"pack '{path}' unfolds to more than {LARGEST:,} bytes")
        for name, (_, opening) in found.items():
            if name == "meta.yaml":
                continue  # ESPnet's own listing
            opened = opening()
            assert opened is not None  # as of every plain file
            with opened as source, (folder / name).open("wb") as target:
                shutil.copyfileobj(source, target)
        listed = check_sums(folder)
        for name in sorted({entry.name for entry in folder.iterdir()} - listed - {SUMS}):
            raise UserError(f"pack '{path}': '{name}' is not listed in {SUMS}")
        config = folder / "config.yaml"
        if not {"config.yaml", "model.pth"} <= listed:
            raise UserError(f"pack '{path}' must hold config.yaml and model.pth")
        try:
            load_model(config, folder / "model.pth")  # sums tell that nothing was changed, not that it is a model
        except UserError as error:
            raise UserError(f"pack '{path}' holds no model: {str(error).replace(f'{folder}/', '')}") from error
        args = read_yaml(config)
        for conf, key, name in beside(args):
            conf[key] = str(out / name)
        config.write_text(yaml.safe_dump(args, sort_keys=False), encoding="utf-8")
        (folder / SUMS).write_text(sums_text(folder))

    with archive, damage(path, "is damaged"):
        write_whole(out, write, MADE_OF, inputs=[path])
