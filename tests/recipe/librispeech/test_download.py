"""Downloading, against a server of this machine that has a small archive in LibriSpeech's layout."""

import hashlib
import http.server
import io
import re
import tarfile
import threading

import numpy as np
import pytest
import soundfile
from torchaudio.datasets import librispeech

from espnet_plugin.common.tables import read_table
from espnet_plugin.recipe.librispeech.parts import PARTS


def archive() -> bytes:
    """dev-clean with two utterances of noise, which does not compress."""
    found = io.BytesIO()
    rng = np.random.default_rng(0)
    with tarfile.open(fileobj=found, mode="w:gz") as tar:
        files = {"84-1.trans.txt": b"84-1-0000 GOOD MORNING\n84-1-0001 GOOD NIGHT\n"}
        for name in ("84-1-0000", "84-1-0001"):
            audio = io.BytesIO()
            soundfile.write(audio, rng.uniform(-0.5, 0.5, 16000), 16000, format="FLAC")
            files[f"{name}.flac"] = audio.getvalue()
        for name, content in files.items():
            info = tarfile.TarInfo(f"LibriSpeech/dev-clean/84/1/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return found.getvalue()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves `content` with ranges; the first `breaks` answers end in the middle of what they promised."""

    content, breaks, asked = b"", 0, []

    def do_GET(self):
        if not self.path.endswith("/dev-clean.tar.gz"):
            self.send_error(404)
            return
        start = int(re.match(r"bytes=(\d+)-", self.headers.get("Range", "bytes=0-"))[1])
        type(self).asked.append(start)
        if start >= len(self.content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(self.content)}")
            self.end_headers()
            return
        self.send_response(206)
        self.send_header("Content-Length", str(len(self.content) - start))
        self.end_headers()
        part = self.content[start:]
        if type(self).breaks:
            type(self).breaks -= 1
            part = part[: len(part) // 2]
        self.wfile.write(part)

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    Handler.content, Handler.breaks, Handler.asked = archive(), 0, []
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    yield running
    running.shutdown()
    thread.join()
    running.server_close()


@pytest.fixture
def options(server, tmp_path):
    total = hashlib.sha256(Handler.content).hexdigest()
    url = f"http://127.0.0.1:{server.server_address[1]}/12"
    return ["--out", tmp_path / "in", "--parts", "dev-clean", "--url", url, "--sha256", f"dev-clean={total}"]


def test_a_part_is_downloaded_checked_unpacked_and_prepared(options, tmp_path, run_script):
    done = run_script("librispeech.download", *options)
    assert done.returncode == 0, done.stderr
    corpus = tmp_path / "in" / "LibriSpeech"
    assert [path.name for path in (tmp_path / "in").glob("[!.]*")] == ["LibriSpeech"]
    assert (corpus / "dev-clean" / ".completed").is_file() and Handler.asked == [0]
    again = run_script("librispeech.download", *options)
    assert "there already" in again.stdout and Handler.asked == [0]
    done = run_script("librispeech.prepare", "--corpus", corpus, "--sets", "dev-clean", "--out", tmp_path / "data")
    assert done.returncode == 0, done.stderr
    assert len(read_table(tmp_path / "data/dev-clean/text")) == 2


def test_a_download_goes_on_where_it_broke(options, tmp_path, run_script):
    size = len(Handler.content)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "dev-clean.tar.gz").write_bytes(Handler.content[: size // 3])
    Handler.breaks = 1
    done = run_script("librispeech.download", *options)
    assert done.returncode == 0, done.stderr
    assert Handler.asked[0] == size // 3 and Handler.asked[1] == size // 3 + (size - size // 3) // 2
    assert (tmp_path / "in/LibriSpeech/dev-clean/84/1/84-1-0001.flac").is_file()


def test_a_part_that_was_wrong_is_downloaded_anew(options, tmp_path, run_script):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "dev-clean.tar.gz").write_bytes(b"x" * len(Handler.content))
    done = run_script("librispeech.download", *options)
    assert done.returncode == 0, done.stderr
    assert Handler.asked[-1] == 0


def test_mistakes_are_told_in_one_sentence(options, tmp_path, refused):
    wrong = [*options[:-1], f"dev-clean={'0' * 64}"]
    assert "SHA-256 is wrong" in refused("librispeech.download", *wrong)
    assert not (tmp_path / "in/LibriSpeech/dev-clean").exists() and not list((tmp_path / "in").glob("*.gz"))
    assert "404" in refused("librispeech.download", *options[:2], "--parts", "dev-other", *options[4:6])
    assert "'dev-dirty' is not one of" in refused("librispeech.download", "--out", tmp_path, "--parts", "dev-dirty")


def test_checksums_are_those_that_torchaudio_has():
    known = {url.rsplit("/", 1)[1].removesuffix(".tar.gz"): total for url, total in librispeech._CHECKSUMS.items()}
    assert {name: part.sha256 for name, part in PARTS.items()} == known
    assert sum(part.utterances for name, part in PARTS.items() if name.startswith("train")) == 281_241
