"""Rows of the tables: what a program is given, and what its answer must name.

A table is a module of ``tables/`` with ``REFUSED``, inputs that must end in one sentence, or ``ACCEPTED``, unusual ones that must work.
Each case runs in a fresh copy of the prepared workspace (`workspace.prepare`), which is the current folder.
"""

import contextlib
import importlib.util
import io
import json
import shlex
import signal
import tempfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
import yaml

from espnet_plugin.bin.main import VERBS, dispatch
from espnet_plugin.errors import run_main

SECONDS = 30  # in which any answer must be there
LONGEST = 600  # characters of a sentence
NEVER = ("Traceback", ".tmp", "[Errno", "\x1b", "object has no attribute", "weights_only", "Namespace")
Change = Callable[[], object]  # makes the input, in the current folder


@dataclass(frozen=True)
class Case:
    """One input.

    Args:
        kind: of mistake, as ``weights`` or ``option``.
        name: of the case within its kind.
        command: words after ``espnet-todm``; or ``recipe.NAME ...`` for a program of the recipe.
        said: what the sentence must name; of an accepted input, what the program must print.
        make: changes to the workspace.
        leaves: names of files that it may write or change although it fails, as globs.
    """

    kind: str
    name: str
    command: str
    said: tuple[str, ...]
    make: Change = lambda: None
    leaves: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        return f"{self.kind}: {self.name}"


@dataclass(frozen=True)
class Answer:
    """What a program did. Args: status: exit status; sentence: that it ended with; out, err: what it printed."""

    status: int
    sentence: str
    out: str
    err: str


def tables(name: str) -> list[Case]:
    """The cases of all tables, ``REFUSED`` or ``ACCEPTED``."""
    found: list[Case] = []
    for path in sorted((Path(__file__).parent / "tables").glob("*.py")):
        spec = importlib.util.spec_from_file_location(f"robustness_{path.stem}", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found += getattr(module, name, [])
    return found


def run(command: str) -> Answer:
    """Run a program in this process as its script does."""
    name, *words = shlex.split(command)
    main = (lambda: dispatch([name, *words])) if name in VERBS else module_main(name, words)
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), in_time():
        try:
            run_main(main)
        except SystemExit as end:
            code = end.code
    if isinstance(code, str):
        return Answer(1, code, out.getvalue(), err.getvalue())
    lines = err.getvalue().strip().splitlines()
    sentence = lines[-1][lines[-1].find("error: ") :] if code and lines and "error: " in lines[-1] else ""
    return Answer(code or 0, sentence, out.getvalue(), err.getvalue())


def module_main(name: str, words: list[str]) -> Callable[[], None]:
    return lambda: import_module(f"espnet_plugin.{name}").main(words)


@contextlib.contextmanager
def in_time() -> Iterator[None]:
    def late(_number, _frame):
        raise TimeoutError(f"no answer within {SECONDS} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def digest(folder: Path) -> dict[str, object]:
    """Every file, link and folder below a folder, by its content."""
    found: dict[str, object] = {}
    for path in folder.rglob("*"):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = str(path.readlink())
        else:
            found[name] = "folder" if path.is_dir() else zlib.crc32(path.read_bytes())
    return found


@contextlib.contextmanager
def temporary_files_in(folder: Path) -> Iterator[None]:
    """Let temporary files be made where `digest` sees what is left of them."""
    folder.mkdir()
    before, tempfile.tempdir = tempfile.tempdir, str(folder.absolute())
    try:
        yield
    finally:
        tempfile.tempdir = before


# How inputs are made.


def all_of(*changes: Change) -> Change:
    return lambda: [change() for change in changes]


def text(path: str, content: str) -> Change:
    def make() -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(content, encoding="utf-8")

    return make


def data(path: str, content: bytes) -> Change:
    return lambda: Path(path).write_bytes(content)


def folder(path: str) -> Change:
    """A folder with a file in it, where there may be a file."""

    def make() -> None:
        Path(path).unlink(missing_ok=True)
        Path(path).mkdir(parents=True)
        Path(path, "kept.txt").write_text("years of work\n")

    return make


def gone(path: str) -> Change:
    return lambda: Path(path).unlink()


def replaced(path: str, old: str, new: str) -> Change:
    def make() -> None:
        before = Path(path).read_text(encoding="utf-8")
        assert old in before, f"{path} has no {old!r}"
        Path(path).write_text(before.replace(old, new), encoding="utf-8")

    return make


def truncated(path: str, share: float = 0.5) -> Change:
    def make() -> None:
        content = Path(path).read_bytes()
        Path(path).write_bytes(content[: int(share * len(content))])

    return make


def flipped(path: str, share: float = 0.5, count: int = 8) -> Change:
    """Some bytes with other bits, as after a bad copy."""

    def make() -> None:
        content = bytearray(Path(path).read_bytes())
        at = int(share * len(content))
        content[at : at + count] = bytes(byte ^ 0xFF for byte in content[at : at + count])
        Path(path).write_bytes(content)

    return make


def yaml_with(path: str, **changes: Any) -> Change:
    """A YAML file with other values; ``a__b`` is key b in dictionary a."""

    def make() -> None:
        conf = yaml.load(Path(path).read_text(encoding="utf-8"), yaml.CSafeLoader) or {}
        for name, value in changes.items():
            *above, key = name.split("__")
            inner = conf
            for part in above:
                inner = inner.setdefault(part, {})
            inner[key] = value
        Path(path).write_text(yaml.dump(conf, Dumper=yaml.CSafeDumper), encoding="utf-8")

    return make


def yaml_without(path: str, *keys: str) -> Change:
    def make() -> None:
        conf = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        Path(path).write_text(yaml.safe_dump({key: conf[key] for key in conf if key not in keys}), encoding="utf-8")

    return make


def json_with(path: str, change: Callable[[Any], object]) -> Change:
    """A JSON file whose content `change` has changed in place."""

    def make() -> None:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        change(content)
        Path(path).write_text(json.dumps(content), encoding="utf-8")

    return make


def weights(path: str, value: float, name: str = "joint_network.lin_out.bias") -> Change:
    """A checkpoint with one number changed."""

    def make() -> None:
        state = torch.load(path)
        state[name].view(-1)[0] = value
        torch.save(state, path)

    return make
