"""Download parts of LibriSpeech, check their SHA-256, and unpack them.

Can be stopped at any moment and started again: a download goes on where it ended, a part that is unpacked is left alone. An archive is
removed once it is unpacked.
"""

import argparse
import hashlib
import http.client
import io
import shutil
import sys
import tarfile
import urllib.error
from contextlib import nullcontext, redirect_stderr
from pathlib import Path

from tqdm import tqdm

from espnet_plugin.errors import UserError, run_main
from espnet_plugin.recipe.librispeech.parts import PARTS
from espnet_plugin.recipe.locks import alone_in

URL = "https://www.openslr.org/resources/12"
MARKER = ".completed"  # lhotse's name, so that either finds what the other has unpacked
ATTEMPTS = 3


def sha256(path: Path) -> str:
    """Of a file, with progress on a terminal."""
    found = hashlib.sha256()
    with (
        path.open("rb") as file,
        tqdm(total=path.stat().st_size, desc="checking", unit="B", unit_scale=True, disable=None) as bar,
    ):
        while block := file.read(1 << 20):
            found.update(block)
            bar.update(len(block))
    return found.hexdigest()


def fetch(url: str, archive: Path, expected: str) -> None:
    """Download a file, going on with what is there, until its SHA-256 is right.

    Raises:
        UserError: the server refuses, the connection breaks again and again, or the checksum is wrong after a download from the start.
    """
    from lhotse.utils import resumable_download

    problem = ""
    for _ in range(ATTEMPTS):
        before = archive.stat().st_size if archive.exists() else 0
        try:
            with nullcontext() if sys.stderr.isatty() else redirect_stderr(io.StringIO()):  # its progress has no switch
                resumable_download(url, archive)
        except urllib.error.HTTPError as error:
            raise UserError(f"--url: '{url}' cannot be downloaded: {error}") from error
        except (http.client.HTTPException, OSError) as error:  # urllib's are among them
            problem = f"the connection broke ({error}), start again to go on"
            continue
        if sha256(archive) == expected:
            return
        # An early end of a connection is not always an error: what came is kept and the rest asked for. When nothing more comes, what
        # is there is wrong and goes.
        problem = f"its SHA-256 is wrong, expected is {expected}"
        if archive.stat().st_size == before or not before:
            archive.unlink()
    raise UserError(f"'{archive}': {problem}")


def unpack(archive: Path, part: str, corpus: Path) -> None:
    """Unpack LibriSpeech/PART of an archive into the corpus, whole, and the texts beside it.

    Raises:
        UserError: no such folder in the archive.
    """
    temporary = corpus / f".{part}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    with tarfile.open(archive) as tar:
        for member in tqdm(tar, desc=f"unpacking {part}", unit="file", disable=None):
            tar.extract(member, temporary, filter="data")
    inner = temporary / "LibriSpeech"
    if not (inner / part).is_dir():
        raise UserError(f"'{archive}' holds no LibriSpeech/{part}")
    (inner / part / MARKER).touch()
    shutil.rmtree(corpus / part, ignore_errors=True)
    (inner / part).rename(corpus / part)
    for text in inner.glob("*.TXT"):
        text.replace(corpus / text.name)
    shutil.rmtree(temporary)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for LibriSpeech/")
    parser.add_argument("--parts", nargs="+", required=True, help=f"of {', '.join(PARTS)}")
    parser.add_argument("--url", default=URL, help=f"folder of the archives, for a mirror (default: {URL})")
    parser.add_argument(
        "--sha256", nargs="*", default=[], metavar="PART=SUM", help="other checksums, for a mirror that cuts down"
    )
    args = parser.parse_args(argv)
    sums = {name: part.sha256 for name, part in PARTS.items()}
    for text in args.sha256:
        name, equals, value = text.partition("=")
        if name not in sums or not equals:
            raise UserError(f"--sha256: '{text}' must be PART=SUM")
        sums[name] = value
    for part in args.parts:
        if part not in sums:
            raise UserError(f"--parts: '{part}' is not one of {', '.join(sums)}")
    corpus = args.out / "LibriSpeech"
    corpus.mkdir(parents=True, exist_ok=True)
    for part in args.parts:
        with alone_in(args.out):
            if (corpus / part / MARKER).is_file():
                print(f"{corpus / part}: there already")
                continue
            archive = args.out / f"{part}.tar.gz"
            fetch(f"{args.url.rstrip('/')}/{part}.tar.gz", archive, sums[part])
            unpack(archive, part, corpus)
            archive.unlink()
            print(f"{corpus / part}: downloaded and checked")


if __name__ == "__main__":
    run_main(main)
