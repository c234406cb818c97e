"""What a corpus is to the recipe: ``--corpus NAME`` finds the class `Corpus` in ``local/corpora/NAME.py``."""

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import ClassVar

from espnet_plugin.errors import UserError
from espnet_plugin.recipe.options import Options, converted

FOLDER = Path("local/corpora")


@dataclass(frozen=True)
class Corpus:
    """A corpus. Subclasses are frozen dataclasses, whose fields are options (`option`) that only this corpus has.

    A subclass gives `prepare` and what else differs from here; the first line of its docstring is shown by ``--help``.
    """

    defaults: ClassVar[dict] = {}  # of options of `Options`: name -> value
    hours: ClassVar[float | None] = (
        None  # of the training set, for --dry_run before stage 4; None where only that tells
    )

    def own_defaults(self) -> dict:
        """Defaults of options that depend on the corpus' own options."""
        return self.defaults

    def check(self) -> None:
        """Refuse values of its own options, before anything is made. Raises `UserError`."""

    def inputs(self) -> dict:
        """What its data depend on, beside its name: label -> value. Another value prepares and formats them again."""
        return {}

    def checks(self) -> dict:
        """What is demanded of its data: label -> value. Another value does stage 1 again, and nothing else."""
        return {}

    def sounds(self) -> dict:
        """What its audio depends on where names, words and lengths may stay the same: then a model is trained again."""
        return {}

    def source(self, data: Path) -> Path:
        """Folder that holds a Kaldi directory of each set after `prepare`. Args: data: the recipe's own place for it."""
        return data

    def prepare(self, job: "Preparation") -> None:
        """Stage 1: make `source`, or check it. Raises `UserError`."""
        raise NotImplementedError


@dataclass(frozen=True)
class Preparation:
    """What `Corpus.prepare` is given.

    Args:
        sets: names, training set first.
        data: folder to write Kaldi directories to.
        nj: processes.
        redo: make again what is there.
        run: takes the name of a log and words of a command, which runs where ``cmd.sh`` says; returns the log's path.
    """

    sets: tuple[str, ...]
    data: Path
    nj: int
    redo: bool
    run: Callable[[str, list[str]], Path]


def load(path: Path) -> type[Corpus]:
    """The class `Corpus` of a file.

    Raises:
        UserError: the file has none, or cannot be imported.
    """
    name = f"espnet_plugin.recipe.corpora.{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None  # a name that ends in .py has a loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look types up there
    try:
        spec.loader.exec_module(module)
    except (ImportError, SyntaxError) as error:
        raise UserError(f"'{path}' cannot be imported: {error}") from error
    found = getattr(module, "Corpus", None)
    if not (isinstance(found, type) and issubclass(found, Corpus)) or found is Corpus:
        raise UserError(f"'{path}' must hold a class Corpus, derived from espnet_plugin.recipe.corpus.Corpus")
    return found


def corpora(folder: Path = FOLDER) -> dict[str, type[Corpus]]:
    """All corpora by name."""
    return {path.stem: load(path) for path in sorted(folder.glob("*.py"))}


def choose(given: dict[str, str], known: dict[str, type[Corpus]]) -> tuple[Corpus, Options]:
    """The corpus and the options that a command line asks for.

    Args:
        given: name of an option -> text.
        known: corpora by name.

    Raises:
        UserError: a value that an option does not take, or an option of another corpus.
    """
    values = converted(Options, given)
    own = {name: converted(cls, given) for name, cls in known.items()}
    name = values.get("corpus", Options.corpus)
    if name not in known:
        raise UserError(f"--corpus '{name}' is not one of {', '.join(known)}")
    for other, theirs in own.items():
        for key, value in theirs.items():
            default = next(field.default for field in fields(known[other]) if field.name == key)
            if key not in own[name] and value != default:
                owners = " or ".join(who for who in own if key in own[who])
                raise UserError(f"--{key} '{given[key]}' must come with --corpus {owners}, not '{name}'")
    corpus = known[name](**own[name])
    folders = {"expdir": f"exp/{name}", "dumpdir": f"dump/{name}"}
    options = Options(**folders | corpus.own_defaults() | values)
    corpus.check()
    return corpus, options
