"""What the recipe does otherwise with ``--data_backend lhotse``: training reads cuts, of the formatted set or of a user's own."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from espnet_plugin.common.files import read_json
from espnet_plugin.errors import UserError
from espnet_plugin.recipe.engine import Work
from espnet_plugin.recipe.launch import own_program
from espnet_plugin.recipe.record import sum_of
from espnet_plugin.recipe.transcripts import text_words

if TYPE_CHECKING:
    from espnet_plugin.recipe.stages import Recipe

SENTENCES = 50_000  # of a user's cuts, out of which sentencepiece makes its units
STATISTICS = 10_000  # cuts, whose features give mean and variance


def source(recipe: "Recipe") -> Path:
    """Manifest or folder that training reads."""
    options = recipe.options
    return Path(options.train_cuts) if options.train_cuts else recipe.dump.cuts(options.train_set)


def check(recipe: "Recipe") -> None:
    """Before anything is made.

    Raises:
        UserError: no such cuts, or several workers that would read shards of different length to their ends.
    """
    options, conf = recipe.options, recipe.conf
    if not options.train_cuts:
        return
    path = Path(options.train_cuts)
    if not path.exists():
        raise UserError(f"--train_cuts: '{path}' does not exist")
    workers = options.num_nodes * max(options.ngpu, 1)
    number = conf.arguments.get("num_iters_per_epoch") or conf.conf.get("num_iters_per_epoch")
    if path.is_dir() and workers > 1 and number is None:
        raise UserError(
            f"--train_cuts: '{path}' has shards, which {workers} workers share: num_iters_per_epoch must be given, updates of an epoch, as "
            '--train_args "--num_iters_per_epoch 5000"'
        )


def made(recipe: "Recipe") -> Work:
    """Cuts of the formatted training set."""
    name = recipe.options.train_set
    folder, out = recipe.dump.raw(name), recipe.dump.cuts(name)
    words = ["--data", str(folder), "--out", str(out), "--fs", str(recipe.conf.fs)]
    inputs = {"fs": recipe.conf.fs, **recipe.formatted(name), "audio": sum_of(folder / "wav.scp")}
    return Work(out, inputs, partial(own_program, "tables_to_cuts", words), kind="cuts", of=name)


def looked_through(recipe: "Recipe") -> Work:
    """Transcripts and lengths of a user's own cuts, which training reads where they are."""
    options, path = recipe.options, Path(recipe.options.train_cuts)
    out, text = recipe.dump.raw(options.train_set), recipe.tokens.text
    files = sorted(path.glob("cuts.*")) if path.is_dir() else [path]
    facts = [(file.name, stat.st_size, stat.st_mtime_ns) for file in files for stat in [file.stat()]]
    inputs = {"train_cuts": str(path), "files": facts, "fs": recipe.conf.fs, "transcripts": text.as_dict()}
    words = ["--cuts", str(path), "--out", str(out), "--fs", str(recipe.conf.fs), *text_words(text)]

    def run() -> None:
        if options.speed_perturb_factors != ("1.0",):
            print(f"--speed_perturb_factors has no effect: cuts of '{path}' are trained on as they are", flush=True)
        own_program("format_cuts", words)

    return Work(out, inputs, run, of=options.train_set)


def facts(recipe: "Recipe") -> dict:
    """Of the training set.

    Raises:
        UserError: stage 2 has not been there.
    """
    path = recipe.dump.raw(recipe.options.train_set) / "set.json"
    found = read_json(path)
    if found is None:
        raise UserError(f"'{path}' does not exist, run stage 2 with the same options first")
    return found


def stats_words(recipe: "Recipe") -> list[str]:
    """Options of stage 4: of a large set every n-th cut, since mean and variance need no more."""
    return ["--stats_every", str(max(1, facts(recipe)["utterances"] // STATISTICS))]
