"""Finished runs of an experiment, below the folders that ./tables.sh fills: errors and losses of each utterance, cost, parameters."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from espnet_plugin.common.conf import is_of
from espnet_plugin.common.files import read_json, read_text
from espnet_plugin.common.word_errors import edits, units
from espnet_plugin.errors import UserError
from espnet_plugin.recipe.bootstrap import Counts
from espnet_plugin.recipe.layout import Experiment
from espnet_plugin.recipe.score import LOSS, read_losses


@dataclass(frozen=True)
class Experiments:
    """Runs below a folder.

    Args:
        roots: folders that hold seed0, seed1 ...; several are folds whose utterances are pooled.
        sizes: names, largest first.
        test_sets: names.
    """

    roots: tuple[Path, ...]
    sizes: tuple[str, ...]
    test_sets: tuple[str, ...]

    def seeds(self, beside: str = ".", root: Path | None = None) -> list[Path]:
        """Folders of the seeds that hold a folder of that name, of one root or of all."""
        roots = self.roots if root is None else (root,)
        return [path for one in roots for path in seeds_of(one) if (path / beside).is_dir()]

    def counts(self, measure: str, run: str, size: str, test_set: str, beside: str = ".") -> Counts | None:
        """Of all seeds that are finished, and hold `beside`; None where none is, or where a fold has none. Args: measure: of `MEASURES`.

        Raises:
            UserError: seeds that were scored on different references.
        """
        folds = []
        for root in self.roots:
            folders = [Experiment(seed / run).score(size, test_set) for seed in self.seeds(beside, root)]
            scores = [MEASURES[measure].read(folder) for folder in folders if (folder / "score.json").is_file()]
            found = [one for one in scores if one is not None]
            if not found:
                return None
            seeds = of_seeds(found, f"{run}, {size}, {test_set}")
            keys = tuple(f"{root.name}/{key}" for key in seeds.keys) if len(self.roots) > 1 else seeds.keys
            folds.append(replace(seeds, keys=keys))
        return pooled(folds)

    def costs(self, run: str) -> list[dict]:
        """Of each seed whose training is finished: one that is under way has a record too, of the epochs so far.

        Raises:
            UserError: a damaged record.
        """
        experiments = [Experiment(seed / run) for seed in self.seeds()]
        files = [experiment.cost for experiment in experiments if experiment.trained.is_file()]
        found = [(file, values) for file in files if (values := read_json(file)) is not None]
        for file, values in found:
            for keys in (("updates",), ("audio_hours",), ("gpu_hours", "cpu_hours")):
                if not any(is_of(values.get(key), float) for key in keys):
                    raise UserError(f"'{file}': holds no number '{' or '.join(keys)}'")
        return [values for _, values in found]

    def params(self, size: str) -> int | None:
        """Parameters of a size, from the supernet's or the individual model's directory."""
        runs = [seed / run for run in ("supernet", f"individual/{size}") for seed in self.seeds()]
        found = [facts for run in runs if (facts := read_json(Experiment(run).facts(size))) is not None]
        return found[0]["params"] if found else None


def seeds_of(root: Path) -> list[Path]:
    """Folders seed0, seed1 ... by their numbers; not what lies beside them, as seed1.old."""
    found = {path: re.fullmatch(r"seed(\d+)", path.name) for path in root.glob("seed*")}
    return sorted((path for path, name in found.items() if name), key=lambda path: int(path.name[4:]))


def read_errors(folder: Path, metric: str) -> Counts:
    """Edits of each utterance, from the trn files beside score.json. Args: metric: of `METRICS`.

    Raises:
        UserError: a damaged or missing file.
    """
    read_json(folder / "score.json")
    pairs = read_pairs(folder)
    found = [edits(units(reference, metric), units(hypothesis, metric)) for reference, hypothesis in pairs.values()]
    return Counts(
        tuple(pairs), np.array([[one.edits for one in found]], float), np.array([one.total for one in found], float)
    )


def read_loss(folder: Path) -> Counts | None:
    """Held-out loss of each utterance; None for a score that was made without. Raises `UserError` for a damaged file."""
    if not (folder / LOSS).is_file():
        return None
    found = read_losses(folder / LOSS)
    keys = tuple(sorted(found))
    return Counts(keys, np.array([[found[key][0] for key in keys]]), np.array([found[key][1] for key in keys], float))


def of_seeds(trainings: list[Counts], where: str) -> Counts:
    """Trainings of one system with different seeds. Args: where: for the message.

    Raises:
        UserError: they were scored on different references.
    """
    for other in trainings[1:]:
        check_same(trainings[0], other, where)
    return replace(trainings[0], above=np.concatenate([one.above for one in trainings]))


def pooled(folds: list[Counts]) -> Counts:
    """Folds as one test set. Run r of it is run r of each fold; runs that not every fold has are left out."""
    runs = min(fold.runs for fold in folds)
    above = np.concatenate([fold.above[:runs] for fold in folds], axis=1)
    return Counts(sum((fold.keys for fold in folds), ()), above, np.concatenate([fold.below for fold in folds]))


@dataclass(frozen=True)
class Measure:
    """What systems are compared by. Args: title; read: of a score's folder; scale: of the ratio; digits: shown behind the point."""

    title: str
    read: Callable[[Path], Counts | None]
    scale: float
    digits: int


MEASURES = {
    "wer": Measure("Word error rates, %", partial(read_errors, metric="wer"), 100.0, 2),
    "cer": Measure("Character error rates, %", partial(read_errors, metric="cer"), 100.0, 2),
    "loss": Measure("Held-out transducer loss of the full lattice, nats a token", read_loss, 1.0, 3),
}


def read_pairs(folder: Path) -> dict[str, tuple[str, str]]:
    """Reference and hypothesis of each utterance of a score, sorted by name; what was not recognised is empty.

    Raises:
        UserError: as `read_trn`.
    """
    references, hypotheses = (read_trn(folder / f"{name}.trn") for name in ("ref", "hyp"))
    return {key: (references[key], hypotheses.get(key, "")) for key in sorted(references)}


def read_trn(path: Path) -> dict[str, str]:
    """Text by utterance.

    Raises:
        UserError: the file is not there or no text; or an utterance stands twice, as 1 of speaker s-a and a-1 of speaker s do.
    """
    if not path.is_file():
        raise UserError(f"'{path}' does not exist, score the run again with --stage 10 --stop_stage 10 --redo true")
    lines = (line.rpartition(" (") for line in filter(None, read_text(path).split("\n")))
    found: dict[str, str] = {}
    for text, _, end in lines:
        key = end.removesuffix(")")
        if key in found:
            raise UserError(
                f"'{path}': '{key}' stands twice, SPEAKER-UTTERANCE must be another text for each utterance"
            )
        found[key] = text
    return found


def check_same(one: Counts, other: Counts, where: str) -> None:
    if one.keys != other.keys or (one.below != other.below).any():
        raise UserError(f"--root: {where}: runs were scored on different references")


def size_order(name: str) -> tuple[int, int]:
    """Layers times width, for sizes that have no run yet."""
    depth, _, width = name.partition("x")
    if not (depth.isdigit() and width.isdigit()):
        raise UserError(f"--conf: individual/{name}.yaml must be named LAYERSxWIDTH, as 12x384.yaml")
    return int(depth) * int(width), int(depth)
