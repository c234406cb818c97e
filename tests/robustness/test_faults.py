"""A disk that is full, and SIGTERM, under every verb that writes: the output is named, inputs stay, nothing temporary is left.

A full disk is a limit to the size of files (``RLIMIT_FSIZE``), which an ordinary user may set and which holds for Python, torch and all
other libraries alike; where a small file system can be mounted, also that. ``plan`` is not among the verbs: it writes with the same
function, after half a minute. Nor is ``train``, see tests/asr/test_resume.py.
"""

import errno
import multiprocessing
import os
import resource
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cases import NEVER, digest, run
from workspace import SUPERNET

from espnet_plugin.common import files
from espnet_plugin.common.files import TEMPORARY

SEARCH = "--num_sizes 2 --evaluations 2 --num_candidates 1"
VERBS = {  # what is written -> command; {out} is where
    "average.pth": "average --dir supernet --out {out}/average.pth",
    "search.jsonl": f"choose {SUPERNET} --data data {SEARCH} --out {{out}}/sizes.json",
    "search.json": f"choose {SUPERNET} --data data {SEARCH} --cache cache.jsonl --out {{out}}/sizes.json",
    "size": f"extract {SUPERNET} --subnet min --out {{out}}/size",
    "best": f"choose {SUPERNET} --data data --max-params 1M --evaluations 2 --num_candidates 1 --extract {{out}}/best",
    "table.json": "latency --train_config supernet/config.yaml --rounds 1 --seconds 0.5 --out {out}/table.json",
    "icefall": f"convert {SUPERNET} --out {{out}}/icefall",
    "espnet": "convert --icefall_checkpoint icefall/trained.pt --tokens icefall/tokens.txt --out {out}/espnet",
    "data": "decode --model_dir size --data data --out {out}",
    "u0.txt": "transcribe size data/u0.wav --out {out}",
    "onnx": "export size --out {out}/onnx",
    "family": "export size half --out {out}/family",
    "pack.zip": "pack size --out {out}/pack.zip",
    "pack.tar.gz": "pack size --out {out}/pack.tar.gz",
    "unpacked": "unpack pack.zip --out {out}/unpacked",
    "front.html": "page --expdir {out}",
    "composed.yaml": "compose --config plan.yaml --out {out}/composed.yaml",
}

PROGRESS = ("out/data", "out/data/unfinished.jsonl", "out/search.jsonl")


@pytest.fixture
def place(workspace) -> Path:
    """Where outputs go: a folder in which search.json and a second size are there."""
    Path("out").mkdir()
    Path("out/search.json").write_bytes(Path("exp/search.json").read_bytes())
    assert run(f"extract {SUPERNET} --subnet max --out half").status == 0
    run(f"choose {SUPERNET} --data data {SEARCH} --out cached/sizes.json")
    Path("cached/search.jsonl").replace("cache.jsonl")
    return Path("out")


@contextmanager
def small_files(most: int) -> Iterator[None]:
    """Let no file grow beyond so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def kept(after: dict[str, object]) -> dict[str, object]:
    """What must not change: all but what decoding and a search keep of their progress, so that they go on."""
    return {name: content for name, content in after.items() if name not in PROGRESS}


def check_told(answer, before: dict[str, object], name: str, folder: Path) -> None:
    assert answer.status == 1 and answer.sentence.startswith("error: ") and "\n" not in answer.sentence, answer
    assert f"out/{name}" in answer.sentence, answer.sentence
    assert not any(word in answer.sentence + answer.err for word in NEVER), answer
    assert kept(digest(folder)) == before


@pytest.mark.parametrize("most", [64, 700])
@pytest.mark.parametrize("name", VERBS)
def test_a_full_disk_is_told_by_the_name_of_the_output(name, most, place, workspace):
    before = kept(digest(workspace))
    with small_files(most):
        answer = run(VERBS[name].format(out=place))
    if answer.status == 0 and most:  # what it writes is smaller
        assert Path(place, name).exists()
        return
    check_told(answer, before, name, workspace)


def test_a_full_file_system(place, workspace):
    """A real one of 64 kB, which only some users may mount."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)]
    for path in place.iterdir():
        path.unlink()
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here: RLIMIT_FSIZE alone stands for a full disk")
    try:
        (place / "filler").write_bytes(b"0" * 4096 * 15)
        before = digest(workspace)
        for name in ("average.pth", "size", "onnx", "pack.zip", "unpacked", "icefall"):
            answer = run(VERBS[name].format(out=place))
            check_told(answer, before, name, workspace)
            assert os.strerror(errno.ENOSPC) in answer.sentence or "bytes are free" in answer.sentence
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def killed_while_it_writes(command: str) -> None:
    """Run a command in this process, which is sent SIGTERM as soon as a temporary folder is there."""
    program, mkdir = os.getpid(), Path.mkdir

    def mkdir_and_kill(path, *args, **more):
        mkdir(path, *args, **more)
        if path.name.endswith(TEMPORARY):
            os.kill(program, signal.SIGTERM)
            if os.getpid() != program:  # a process of its own writes: it is stopped by the program
                signal.pause()

    files.Path.mkdir = mkdir_and_kill
    os._exit(run(command).status)


@pytest.mark.parametrize("name", VERBS)
def test_sigterm_leaves_nothing_half_written(name, place, workspace):
    if name == "search.jsonl":
        pytest.skip("the cache is appended to line by line, see test_cache")
    before = kept(digest(workspace))
    child = multiprocessing.get_context("fork").Process(
        target=killed_while_it_writes, args=(VERBS[name].format(out=place),)
    )
    child.start()
    child.join(60)
    assert child.exitcode == 128 + signal.SIGTERM
    assert kept(digest(workspace)) == before
