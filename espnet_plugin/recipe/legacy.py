"""Experiments of earlier versions, whose records are a line of checksums without labels: they are taken up, not made again.

Nothing else knows of them. Once taken up, a record is written anew with labels.
"""

import re
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from espnet_plugin.common.text import TextConf
from espnet_plugin.recipe.configured import HARMLESS
from espnet_plugin.recipe.record import UNTOLD, sum_of

if TYPE_CHECKING:
    from espnet_plugin.recipe.stages import Recipe


def number(*paths: Path) -> str:
    return sum_of(*paths)[1:]


def data(recipe: "Recipe") -> str:
    """What stages 1 and 2 depended on; for the mini corpus the sum of the programs that made it, which are others today."""
    corpus = recipe.corpus
    return " ".join([recipe.options.corpus, *map(str, (corpus.inputs() | corpus.sounds()).values())])


def training(recipe: "Recipe") -> list[str]:
    """What stage 5 depended on; the oldest records held all keys."""
    text = recipe.options.train_args
    kept = re.sub(f"--({'|'.join(HARMLESS)})[ =]+[^ ]+ *", "", text).rstrip(" ")
    begin = statistics(recipe)
    crc = [zlib.crc32(repr(conf).encode()) for conf in (recipe.conf.shaping, recipe.conf.conf)]
    end = f" {data(recipe)}" if recipe.corpus.sounds() else ""
    return [f"{begin} {crc[0]} {kept}{end}", f"{begin} {crc[1]} {text}{end}"]


def formatted(recipe: "Recipe", *names: str) -> str:
    told = recipe.formatted(*names)
    return " ".join(value[1:] for label, value in told.items() if not label.startswith(UNTOLD))


def statistics(recipe: "Recipe") -> str:
    options = recipe.options
    sets = formatted(recipe, options.train_set), formatted(recipe, options.valid_set)
    return " ".join([str(recipe.conf.fs), str(options.nbpe), *sets, number(recipe.tokens.folder / "bpe.model")])


def speeds(recipe: "Recipe", name: str) -> str:
    return " ".join(recipe.options.speed_perturb_factors) if name == recipe.options.train_set else "1.0"


def texts(recipe: "Recipe", kind: str, of: str) -> list[str]:
    """The records that an earlier version would have written."""
    options, exp = recipe.options, recipe.exp
    if kind == "data":
        return [f"{data(recipe)} {' '.join(options.sets)}"]
    if kind == "formatting" and recipe.tokens.text != TextConf():
        return []  # there was no choice
    if kind in ("statistics", "training", "averaging") and (options.init_from or options.token_type != "bpe"):
        return []
    if kind == "sizes" and options.metric != "wer":
        return []
    if kind == "formatting":
        files = number(*(recipe.source / of / name for name in ("wav.scp", "segments", "text", "utt2spk")))
        return [f"{data(recipe)} {recipe.conf.fs} {speeds(recipe, of)} {files}"]
    if kind == "features":
        return [f"{zlib.crc32(repr(list(recipe.conf.frontend.values())).encode())} {formatted(recipe, of)}"]
    if kind == "bpe":
        return [f"{options.nbpe} {formatted(recipe, options.train_set)}"]
    if kind == "statistics":
        return [statistics(recipe)]
    if kind == "training":
        return training(recipe)
    if kind == "averaging":
        return [f"{text} {options.average}" for text in training(recipe)]
    asked = " ".join(options.sizes) or f"{options.num_sizes} {options.num_candidates}"
    model = f"{number(exp.averaged)} {asked} {str(options.streaming).lower()}"
    if kind == "sizes":
        return [f"{model} {formatted(recipe, options.valid_set)}"]
    model += f" {number(exp.sizes_json)}"
    if kind == "extraction":
        return [model]
    for name in options.test_sets:
        model += f" {name} {formatted(recipe, name)}"
    if kind == "decoding":
        return [f"{model} {number(Path(options.inference_config))}"]
    model += f" {recipe.made('*/decode/*/text')[1:]}"
    return [model if kind == "scoring" else f"{model} {recipe.made('*/score/*/score.json')[1:]}"]


def matches(recipe: "Recipe", kind: str, text: str, of: str = "") -> bool:
    """Whether the record of an earlier version stands for the inputs of today."""
    return text in texts(recipe, kind, of)


def stats_arguments(recipe: "Recipe") -> str:
    """What of ``--train_args`` the name of the folder of statistics stood for."""
    return re.sub(r"--(seed|max_epoch|num_iters_per_epoch)[ =]+[^ ]+ *", "", recipe.options.train_args)
