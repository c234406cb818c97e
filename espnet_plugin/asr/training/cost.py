"""What a training run has cost, kept in ``cost.json`` beside the model and continued when the run is resumed."""

import resource
import time
from collections import Counter
from pathlib import Path

from espnet_plugin.common.files import read_json, write_json


def cpu_seconds() -> float:
    """CPU time of this process and its ended children, all threads."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


class CostRecord:
    """Costs by epoch. An epoch that was begun and is done again, after a kill, counts as lost.

    The file holds ``train_seconds`` (wall time of training and validation of the epochs that count), ``lost_seconds`` (of those done
    again), ``cpu_hours`` or ``gpu_hours`` (of both, all workers), ``audio_hours`` (seen in training), ``utterances``
    (seen in training by the first worker), ``left_out`` (of them, those that the loss has no path for), ``updates``, ``skipped_updates``,
    ``epochs`` and the figures of each epoch.

    Args:
        folder: the model's; None on workers that keep no record.
        workers: data-parallel workers.
        gpu: count GPUs rather than CPU time.
        resume: go on from the file, if there is one.

    Raises:
        UserError: the file to go on from is not JSON.
    """

    def __init__(self, folder: Path | None, workers: int, gpu: bool, resume: bool):
        self.folder = folder
        self.path = None if folder is None else folder / "cost.json"
        self.workers, self.gpu = workers, gpu
        self.epochs: dict[int, Counter] = {}
        self.lost: Counter = Counter()
        known = read_json(self.path) if resume and self.path is not None else None
        if known is not None:
            self.lost = Counter(known["lost"])
            self.epochs = {int(epoch): Counter(entry) for epoch, entry in known["by_epoch"].items()}

    def begin(self, epoch: int) -> None:
        """Start an epoch: what was recorded of it and of later ones is lost."""
        for number in [number for number in self.epochs if number >= epoch]:
            self.lost += self.epochs.pop(number)
        self.epochs[epoch] = Counter()
        self.epoch, self.wall, self.cpu = epoch, time.perf_counter(), cpu_seconds()

    def add(self, **amounts: float) -> None:
        """Add to the epoch's ``audio_seconds``, ``utterances``, ``left_out``, ``updates`` or ``skipped_updates``."""
        self.epochs[self.epoch].update(amounts)

    def save(self) -> None:
        """Count the time since the last call, and write the file whole."""
        wall, cpu = time.perf_counter(), cpu_seconds()
        self.add(wall_seconds=wall - self.wall, cpu_seconds=cpu - self.cpu)
        self.wall, self.cpu = wall, cpu
        if self.path is not None:
            write_json(self.path, self.summary())

    def summary(self) -> dict:
        counted = sum(self.epochs.values(), Counter())
        paid = "wall_seconds" if self.gpu else "cpu_seconds"
        hours = self.workers * (counted[paid] + self.lost[paid]) / 3600
        return {
            "train_seconds": round(counted["wall_seconds"], 1),
            "lost_seconds": round(self.lost["wall_seconds"], 1),
            "gpu_hours" if self.gpu else "cpu_hours": round(hours, 5),
            "audio_hours": round(counted["audio_seconds"] / 3600, 5),
            "utterances": counted["utterances"],
            "left_out": counted["left_out"],
            "updates": counted["updates"],
            "skipped_updates": counted["skipped_updates"],
            "epochs": len(self.epochs),
            "workers": self.workers,
            "lost": rounded(self.lost),
            "by_epoch": {epoch: rounded(entry) for epoch, entry in self.epochs.items()},
        }


def rounded(entry: Counter) -> dict:
    return {key: round(value, 3) for key, value in entry.items()}
