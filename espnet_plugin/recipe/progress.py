"""Shows how far a training is, from the ``progress.jsonl`` that the trainer writes."""

import json
import time
from pathlib import Path


def remaining(seconds: float) -> str:
    """A duration as people say it."""
    minutes = round(seconds / 60)
    if minutes >= 120:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes} min" if minutes else f"{seconds:.0f} s"


def line_of(epoch: dict) -> str | None:
    """Error rates of an epoch's validation, largest and smallest net; of one net where there is no smallest."""
    valid = epoch.get("valid") or {}
    names = [name for name in ("max", "min") if f"loss_{name}" in valid]
    if not names:
        return f"    valid: loss {valid['loss']:.3f}" if "loss" in valid else None
    told = []
    for title, key in (("loss", "loss"), ("WER", "wer")):
        figures = [(name, valid.get(f"{key}_{name}")) for name in names]
        known = [(name, figure) for name, figure in figures if figure is not None]
        if known:
            alone = len(names) == 1
            told.append(
                f"{title} " + " ".join(f"{figure:.3f}" if alone else f"{name} {figure:.3f}" for name, figure in known)
            )
    return f"    valid: {', '.join(told)}"


class Watch:
    """Prints what a training adds to its file from now on. Each call prints what is new.

    Args:
        path: the file, which may not exist yet.
    """

    def __init__(self, path: Path):
        self.path = path
        self.at = path.stat().st_size if path.is_file() else 0
        self.rest = b""
        self.began: float | None = None
        self.first = 0

    def __call__(self) -> None:
        if not self.path.is_file():
            return
        with self.path.open("rb") as file:
            file.seek(self.at)
            new = file.read()
        self.at += len(new)
        *lines, self.rest = (self.rest + new).split(b"\n")
        for line in lines:
            self.show(json.loads(line))

    def show(self, event: dict) -> None:
        if "valid" in event:
            line = line_of(event)
            if line:
                print(line, flush=True)
        elif "begun" in event:
            epoch, of = event["begun"], event["of"]
            left = ""
            if self.began is None:
                self.began, self.first = time.monotonic(), epoch
            else:
                took = (time.monotonic() - self.began) / (epoch - self.first)
                left = f", about {remaining(took * (of - epoch + 1))} left"
            print(f"  epoch {epoch}/{of}{left}", flush=True)
