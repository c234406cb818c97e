"""The program behind ``run.sh``: options, checks, then the stages."""

import os
import sys
from dataclasses import fields
from functools import partial
from pathlib import Path

from espnet_plugin.common.compose import write_conf
from espnet_plugin.errors import UserError, run_main
from espnet_plugin.recipe import cuts, legacy, training
from espnet_plugin.recipe.configured import Configuration, check_decoding, check_speeds
from espnet_plugin.recipe.corpus import Corpus, choose, corpora
from espnet_plugin.recipe.engine import Engine
from espnet_plugin.recipe.launch import Machines
from espnet_plugin.recipe.locks import DumpLocks, Lock
from espnet_plugin.recipe.options import Options, option_lines, quoted, read_words
from espnet_plugin.recipe.record import sum_of
from espnet_plugin.recipe.stages import Recipe


def names_of(cls: type) -> list[str]:
    return [field.name for field in fields(cls)]


def usage(known: dict[str, type[Corpus]]) -> str:
    """Text of ``--help``."""
    stages = [f"  {spec.number:2}  {spec.name:<14}{spec.about}" for spec in Recipe.stages]
    about = [f"  {name:<16}{(cls.__doc__ or '').strip().splitlines()[0]}" for name, cls in known.items()]
    own = [
        line
        for name, cls in known.items()
        if names_of(cls)
        for line in (f"\noptions of corpus {name}", *option_lines(cls))
    ]
    parts = ["usage: ./run.sh [--option value] ...", "\nstages", *stages, "\ncorpora (files in local/corpora)", *about]
    parts += ["\nrelative paths are relative to the folder of this script", "\noptions (default)"]
    parts += [*option_lines(Options, {name: cls.defaults for name, cls in known.items()}), *own]
    return "\n".join(parts)


def plan(recipe: Recipe) -> None:
    """``--dry_run true``: become the program that says what training would cost."""
    options, stats = recipe.options, recipe.stats_folder
    command = ["espnet-todm", "plan", "--config", options.asr_config, "--vocabulary", str(options.nbpe)]
    command += ["--individual", *map(str, sorted(Path(options.asr_config).parent.glob("individual/*.yaml")))]
    if options.data_backend == "lhotse":  # of a stream the hours are known, not each length
        command += ["--hours", str(cuts.facts(recipe)["hours"]), "--speeds", "1.0"]
    elif (stats / "train" / "speech_shape").is_file():
        command += ["--stats", str(stats)]
    elif recipe.corpus.hours is not None:
        command += ["--hours", str(recipe.corpus.hours), "--speeds", " ".join(options.speed_perturb_factors)]
    else:
        raise UserError(f"--dry_run: corpus '{options.corpus}' is as long as stage 4 finds, run --stop_stage 4 first")
    command += ["--gpu", options.gpu, "--num_gpus", str(options.num_nodes * max(options.ngpu, 1))]
    command += ["--utilisation", options.utilisation] if options.utilisation else []
    os.execvp(command[0], command)


def checked_files(options: Options) -> None:
    for file in (options.asr_config, options.inference_config):
        if not Path(file).is_file():
            raise UserError(f"configuration '{file}' does not exist")


def check_inference_config(recipe: Recipe) -> None:
    """Decoding comes last, and its configuration takes seconds to check: once."""
    path, options = Path(recipe.options.inference_config), recipe.options
    modified = None if options.init_from else recipe.conf.modified  # a model that is grown gets another lattice
    known = recipe.exp.root / ".inference_config.checked"
    now = f"{sum_of(path)} streaming {options.streaming} modified {modified}"
    before = known.read_text().strip() if known.is_file() else ""
    if options.stage <= 9 <= options.stop_stage and before != now:
        check_decoding(path, options.streaming, modified)
        known.write_text(f"{now}\n")


def main(argv: list[str] | None = None) -> None:
    program, *words = sys.argv[1:] if argv is None else argv
    known = corpora()
    classes: list[type] = [Options, *known.values()]
    names = [name for cls in classes for name in names_of(cls)]
    if any(word in ("-h", "--help") for word in words):
        print(usage(known))
        return
    asked = read_words(words, names, Path(program).name)
    numbers = {spec.name: str(spec.number) for spec in Recipe.stages}
    asked |= {name: numbers[asked[name]] for name in ("stage", "stop_stage") if asked.get(name) in numbers}
    corpus, options = choose(asked, known)
    checked_files(options)
    check_speeds(options.speed_perturb_factors)
    machines = Machines.from_environment(1 if options.dry_run else options.num_nodes, options.ngpu)
    model = Path(options.init_from) / "config.yaml" if options.init_from else None
    if model is not None and not model.is_file():
        raise UserError(f"--init_from: '{options.init_from}' must be a model directory, with config.yaml")
    conf = Configuration.read(model or Path(options.asr_config), options.train_words, options.sizes)
    if options.streaming and not conf.streams:
        where = f"encoder_conf.search_space.directions in '{conf.path}'"
        raise UserError(f"--streaming 'true': {where} must name 'forward' (or bidirectional be false)")
    given = Path(options.asr_config) if model and asked.get("asr_config") else None
    recipe = Recipe(options, corpus, conf, machines, quoted([program, *words]), given)
    cuts.check(recipe)
    if options.dry_run:
        plan(recipe)
    if options.stage <= 5 <= options.stop_stage and not recipe.exp.trained.is_file():
        machines.check_gpus()
    work(recipe)


def work(recipe: Recipe) -> None:
    """Run the stages in a folder that nobody else works in."""
    options, exp = recipe.options, recipe.exp
    exp.root.mkdir(parents=True, exist_ok=True)
    lock = Lock(exp.lock, "--expdir")
    check_inference_config(recipe)
    write_conf(recipe.conf.conf, exp.composed, recipe.conf.path)
    exp.log.mkdir(exist_ok=True)
    if not exp.supernet.exists():
        exp.train_config.write_bytes(exp.composed.read_bytes())
    if isinstance(
        training.recorded(exp.supernet), str
    ):  # of an earlier version: taken up, if it stands for these inputs
        training.is_of(recipe, exp.supernet, recipe.training_inputs)
    taken_up = partial(legacy.matches, recipe)
    data = DumpLocks(recipe.dump, exp.root)
    engine = Engine(options.stage, options.stop_stage, options.redo, lock, data, taken_up)
    engine.stages(recipe.stages, recipe)


if __name__ == "__main__":
    run_main(main)
