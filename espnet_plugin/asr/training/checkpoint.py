"""Checkpoints that a kill at any moment leaves whole, and a training folder that is put in order before a run goes on.

ESPnet seeds every generator anew at the start of an epoch and shuffles by epoch, so its checkpoint of an epoch determines the rest of the
run: no state of a generator has to be kept.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from unittest.mock import patch

import torch
from espnet2.main_funcs.average_nbest_models import average_nbest_models
from espnet2.tasks import abs_task
from espnet2.torch_utils.safe_torch_load import safe_torch_load
from espnet2.train import trainer
from espnet2.train.reporter import Reporter

from espnet_plugin.common.files import remove, write_text, write_whole


@contextmanager
def whole_saves() -> Iterator[None]:
    """Let ``torch.save`` to a path write beside it, flush to disk and rename.

    ESPnet saves in the midst of one long method and in its averaging, so its calls are met here and not repeated.
    """
    save = torch.save

    def save_whole(obj, f, *args, **kwargs):
        if not isinstance(f, str | os.PathLike):
            return save(obj, f, *args, **kwargs)

        def write(path: Path) -> None:
            save(obj, path, *args, **kwargs)
            with open(path, "rb") as file:
                os.fsync(file.fileno())

        write_whole(Path(f), write)

    with patch.object(torch, "save", save_whole):
        yield


@contextmanager
def whole_config() -> Iterator[None]:
    """Let ESPnet write a run's ``config.yaml`` at once, after it has emptied the file.

    It writes for up to a second otherwise. A kill then left the first lines, which another program would take for all of them.
    """
    dump = abs_task.yaml_no_alias_safe_dump

    def dump_whole(data, stream, **options) -> None:
        write_text(Path(stream.name), dump(data, **options))

    with patch.object(abs_task, "yaml_no_alias_safe_dump", dump_whole):
        yield


def average_saved(output_dir: Path, reporter: Reporter, best_model_criterion, nbest, suffix: str | None = None) -> None:
    """ESPnet's average of the best models, of those whose file is there.

    A resumed run that keeps more models than before, or goes by another criterion, asks for some that were removed.

    Args: as ESPnet's.
    """
    counts = [nbest] if isinstance(nbest, int) else list(nbest) or [1]
    for phase, key, mode in best_model_criterion:
        if not reporter.has(phase, key):
            continue
        epochs = reporter.sort_epochs(phase, key, mode)
        saved = [epoch for epoch in epochs if (output_dir / f"{epoch}epoch.pth").exists()]
        asked = epochs[: max(counts)]
        there = [epoch for epoch in asked if epoch in saved]
        seen, several = reporter, counts
        if len(there) < len(asked):
            logging.warning(
                f"of the {len(asked)} best models by {phase}.{key} {len(there)} are there to be averaged, "
                "the others were removed when this run kept fewer or went by another criterion"
            )
            there = there or saved[:1]
            seen, several = Reporter(there[0]), sorted({min(count, len(there)) for count in counts})
            seen.stats = {epoch: reporter.stats[epoch] for epoch in there}
        average_nbest_models(output_dir, seen, [(phase, key, mode)], nbest=several, suffix=suffix)


def averages_of_saved() -> AbstractContextManager:
    """Let ESPnet's trainer average with `average_saved`."""
    return patch.object(trainer, "average_nbest_models", average_saved)


def link(path: Path, target: str) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def finish_epoch(folder: Path, options) -> None:
    """Do what ESPnet does after it has written a checkpoint, for a run that was killed in between.

    That is: the epoch's model, links to the latest and best ones, averages in between, removal of what is no longer among the best.
    Temporary files of killed runs are removed.

    Args:
        folder: of the run.
        options: ESPnet's TrainerOptions.
    """
    for leftover in folder.glob(".*.tmp"):
        remove(leftover)
    if not (folder / "checkpoint.pth").exists():
        return
    states = safe_torch_load(folder / "checkpoint.pth", map_location="cpu")
    reporter = Reporter()
    reporter.load_state_dict(states["reporter"])
    epoch = reporter.get_epoch()
    latest = f"{epoch}epoch.pth"
    if not (folder / latest).exists():
        torch.save(states["model"], folder / latest)
    link(folder / "latest.pth", latest)
    nbest = options.keep_nbest_models
    nbest = [nbest] if isinstance(nbest, int) else list(nbest) or [1]
    kept = set()
    for phase, key, mode in options.best_model_criterion:
        if reporter.has(phase, key):
            best = reporter.sort_epochs(phase, key, mode)
            kept.update(best[: max(nbest)])
            if (folder / f"{best[0]}epoch.pth").exists():
                link(folder / f"{phase}.{key}.best.pth", f"{best[0]}epoch.pth")
    if options.nbest_averaging_interval > 0 and epoch % options.nbest_averaging_interval == 0:
        average_saved(folder, reporter, options.best_model_criterion, nbest=nbest, suffix=f"till{epoch}epoch")
    for earlier in set(range(1, epoch)) - kept:
        (folder / f"{earlier}epoch.pth").unlink(missing_ok=True)
