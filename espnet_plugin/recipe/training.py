"""Stages 4 and 5: statistics and training, without losing what was trained before with other inputs."""

from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from espnet_plugin.asr.training.cuts import KIND
from espnet_plugin.common.compose import read_yaml
from espnet_plugin.common.files import remove, write_text
from espnet_plugin.errors import UserError
from espnet_plugin.recipe import cuts, legacy
from espnet_plugin.recipe.noticed import training_notes
from espnet_plugin.recipe.progress import Watch
from espnet_plugin.recipe.record import as_before, as_json, differences, read_record, write_record

if TYPE_CHECKING:
    from espnet_plugin.recipe.stages import Recipe

TRAIN = ["espnet-todm", "train"]


def config_of(recipe: "Recipe") -> Path:
    """Training configuration in one piece."""
    return recipe.tokens.config or recipe.exp.composed


def task_words(recipe: "Recipe", config: Path, kind: str) -> list[str]:
    """Options of training. Args: config: training configuration in one piece; kind: of what is read, raw or fbank."""
    options, dump = recipe.options, recipe.dump
    words = ["--config", str(config), *recipe.tokens.task_words(), "--ngpu", str(options.ngpu)]
    streamed = [f"{cuts.source(recipe)},speech,{KIND}"] if options.data_backend == "lhotse" else []
    for phase, name in (("train", options.train_set), ("valid", options.valid_set)):
        speech = dump.raw(name) / "wav.scp" if kind == "raw" else dump.features(name) / "feats.scp"
        tables = [f"{speech},speech,{'sound' if kind == 'raw' else 'kaldi_ark'}", f"{dump.raw(name)}/text,text,text"]
        for file in streamed if streamed and phase == "train" else tables:
            words += [f"--{phase}_data_path_and_name_and_type", file]
    return words


def train_words(recipe: "Recipe", config: Path) -> list[str]:
    """`task_words` and what stage 4 has found."""
    stats = recipe.stats_folder
    words = task_words(recipe, config, recipe.options.feats_type)
    words += recipe.tokens.start_words(stats)
    for phase in ("valid",) if recipe.options.data_backend == "lhotse" else ("train", "valid"):
        for shape in ("speech_shape", "text_shape"):
            words += [f"--{phase}_shape_file", f"{stats}/{phase}/{shape}"]
    return words


def collect(recipe: "Recipe") -> None:
    """Stage 4. Of audio, whatever training reads: lengths in samples make the same batches for both."""
    stats = recipe.stats_folder
    new = stats.with_name(f"{stats.name}.new")
    remove(new)
    words = task_words(recipe, config_of(recipe), "raw")
    words += ["--collect_stats", "true", "--output_dir", str(new), "--ngpu", "0", *recipe.conf.feature_words]
    words += cuts.stats_words(recipe) if recipe.options.data_backend == "lhotse" else []
    recipe.machines.train(recipe.exp.log / "stats.log", [*TRAIN, *words])
    remove(stats)
    new.rename(stats)


def has_weights(folder: Path) -> bool:
    return any(folder.glob("*.pth"))


def inputs_file(folder: Path) -> Path:
    return folder / ".inputs"


def recorded(folder: Path) -> dict | str | None:
    """What the model in a folder was trained with; a text from an earlier version."""
    return read_record(inputs_file(folder))


def is_of(recipe: "Recipe", folder: Path, inputs: dict) -> bool:
    """Whether the model in a folder was trained with these inputs. A record of an earlier version that says so is written anew."""
    found = recorded(folder)
    if isinstance(found, str) and as_before(as_json(inputs)) and legacy.matches(recipe, "training", found):
        write_record(inputs_file(folder), inputs)
        return True
    return isinstance(found, dict) and not differences(found, as_json(inputs))


def change(recipe: "Recipe", inputs: dict) -> None:
    """Put a folder for training with other inputs in the place of the supernet: one that was put aside when they changed, or a new one.

    Weights are never deleted.
    """
    folder = recipe.exp.supernet
    olds = sorted(folder.parent.glob(f"{folder.name}.old*"))
    back = (
        None
        if recipe.options.redo
        else next((old for old in olds if has_weights(old) and is_of(recipe, old, inputs)), None)
    )
    if has_weights(folder):
        if back is None:
            check(recipe)
        number, aside = 1, folder.with_name(f"{folder.name}.old")
        while aside.exists():
            number += 1
            aside = folder.with_name(f"{folder.name}.old.{number}")
        folder.rename(aside)
        print(f"what was trained before with other inputs is kept in {aside}", flush=True)
    remove(folder)
    if back is not None:
        back.rename(folder)
        print(f"going on with what was trained with these inputs, from {back}", flush=True)
    else:
        folder.mkdir(parents=True)
        write_record(inputs_file(folder), inputs)
        print("beginning anew", flush=True)


def check(recipe: "Recipe") -> None:
    """Let training refuse its options: that must not cost what is there."""
    folder = recipe.exp.supernet
    trial = folder.with_name(f"{folder.name}.check")
    words = [*train_words(recipe, config_of(recipe)), "--output_dir", str(trial), *recipe.options.train_words]
    try:
        recipe.machines.train(recipe.exp.log / "check.log", [*TRAIN, *words, "--ngpu", "0", "--dry_run", "true"])
    finally:
        remove(trial)


def train(recipe: "Recipe", inputs: dict) -> None:
    """Stage 5."""
    exp, stats = recipe.exp, recipe.stats_folder / "train" / "feats_stats.npz"
    if not stats.is_file():
        raise UserError(f"'{stats}' does not exist, run stage 4 with the same options first")
    if recipe.options.redo or not is_of(recipe, exp.supernet, inputs):
        change(recipe, inputs)
    else:
        print("resuming from the last finished epoch, if there is one", flush=True)
    conf = read_yaml(config_of(recipe))
    if recipe.tokens.text_conf is not None:
        conf["model_conf"] = {**(conf.get("model_conf") or {}), "text_conf": recipe.tokens.text_conf}
    text = yaml.safe_dump(conf, sort_keys=False, allow_unicode=True)
    write_text(exp.train_config, text)
    log = exp.log / "train.log"
    log.unlink(missing_ok=True)
    words = [*train_words(recipe, exp.train_config), "--output_dir", str(exp.supernet), "--resume", "true"]
    watch = Watch(exp.supernet / "progress.jsonl")
    command = [*TRAIN, *words, *recipe.options.train_words]
    recipe.machines.launch(log, exp.supernet / ".dist_init_", command, watch)
    watch()
    for note in training_notes(exp):
        print(f"  {note.removeprefix('- ')}", flush=True)
