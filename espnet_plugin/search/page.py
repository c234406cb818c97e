"""What a search has found, as one HTML page that needs no network and as a picture."""

import io
import json
import shlex
from importlib.resources import files
from pathlib import Path
from typing import Any

from espnet_plugin.common.bounds import shown
from espnet_plugin.common.conf import is_of, need_kind, words_for
from espnet_plugin.common.files import read_json
from espnet_plugin.errors import UserError

AXES = {  # of what a search may trade the loss against: factor, label
    "params": (1e-6, "parameters (millions)"),
    "macs": (1e-6, "multiply-adds (millions a second)"),
    "size": (1e-6, "weights (MB)"),
    "latency": (1e3, "latency (ms)"),
}
LARGEST = 1e300  # of numbers that are drawn


def collect(expdir: Path) -> dict:
    """Content of search.json, with the names of the sizes and, as far as they are there, their word error rates on test sets.

    Args:
        expdir: folder with what ``choose`` wrote (search.json, sizes.json) and the recipe's ``sizes/NAME/score/SET/score.json``.

    Returns:
        as search.json, with ``name`` and ``sets`` (set -> {wer, cer}) in points, and ``extract``, the beginning of a command.

    Raises:
        UserError: no search.json, or one of the files is damaged, see `check_points`.
    """
    found = read_json(expdir / "search.json")
    if found is None:
        raise UserError(
            f"'{expdir}/search.json' does not exist, run 'espnet-todm choose' with --out in that folder first"
        )
    check_points(expdir / "search.json", found)
    sizes = read_json(expdir / "sizes.json")
    try:
        names = {size["subnet"]: size["name"] for size in ({"sizes": []} if sizes is None else sizes)["sizes"]}
        for point in found["points"]:
            if name := names.get(point["subnet"]):
                scores = sorted((expdir / "sizes" / name / "score").glob("*/score.json"))
                found_scores: dict[str, Any] = {path.parent.name: read_json(path) for path in scores}
                sets = {key: {k: float(s[k]) for k in ("wer", "cer")} for key, s in found_scores.items()}
                point |= {"name": name, "sets": sets}
        model = ["--train_config", from_here(found["train_config"]), "--model_file", from_here(found["model_file"])]
        return found | {"extract": shlex.join(["espnet-todm", "extract", *model])}
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise UserError(f"'{expdir}': sizes.json or a score.json is damaged ({error}), do its stage again") from error


def check_points(path: Path, found: dict) -> None:
    """Whether what a page shows is there and of its kind, before anything is written.

    Raises:
        UserError: naming the file, the key and the value.
    """
    by, points = found.get("by"), found.get("points")
    if not isinstance(by, str) or by not in AXES:
        raise UserError(f"'{path}': by: {shown(by)} is not one of {', '.join(AXES)}")
    if not isinstance(points, list) or not points:
        raise UserError(f"'{path}': points: must be a list of at least one evaluated subnet")
    kinds = {"subnet": str, "loss": float, "front": bool, by: float}
    for number, point in enumerate(points):
        where = f"'{path}': points[{number}]"
        if not isinstance(point, dict):
            raise UserError(f"{where}: {shown(point)} must be a dictionary")
        for key, kind in (kinds | {key: float for key in point if key not in kinds}).items():
            value: Any = point.get(key)
            if not is_of(value, kind) or (kind is float and not abs(value) < LARGEST):
                raise UserError(
                    f"{where}.{key}: {shown(value)} must be {'a finite number' if kind is float else words_for(kind)}"
                )
    for key in ("train_config", "model_file"):
        need_kind(f"'{path}': {key}", found.get(key), (str,))


def from_here(path: str) -> str:
    """A path as one types it in the current directory; one outside of it stays whole."""
    here = Path.cwd()
    return str(Path(path).relative_to(here)) if Path(path).is_relative_to(here) else path


def html(found: dict) -> str:
    """The page. Args: found: from `collect`."""
    template = files("espnet_plugin.search").joinpath("page.html").read_text(encoding="utf-8")
    return template.replace("@DATA@", json.dumps(found).replace("<", "\\u003c"))


def picture(found: dict, kind: str) -> bytes:
    """Loss against cost of all evaluated subnets, the front and the chosen sizes marked. Args: kind: ``png`` or ``svg``."""
    import matplotlib  # an extra: only the recipe needs it

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "0"  # the same picture from the same search
    import matplotlib.pyplot as plt

    by, points = found["by"], sorted(found["points"], key=lambda point: point[found["by"]])
    scale, label = AXES[by]
    figure, axes = plt.subplots(figsize=(8, 5), dpi=150, layout="constrained")
    axes.scatter([scale * p[by] for p in points], [p["loss"] for p in points], s=14, color="0.7", label="evaluated")
    best = [point for point in points if point["front"]]
    axes.plot(
        [scale * p[by] for p in best], [p["loss"] for p in best], "o-", color="tab:red", ms=4, lw=1, label="front"
    )
    for point in points:
        if "name" in point:
            spot = (scale * point[by], point["loss"])
            axes.plot(*spot, "D", mfc="none", color="black", ms=8)
            axes.annotate(point["name"], spot, xytext=(0, 8), textcoords="offset points", ha="center", fontsize=8)
    axes.set_xlabel(label)
    axes.set_ylabel("loss on a part of the development set (nats a symbol)")
    axes.legend(frameon=False)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    drawn = io.BytesIO()
    figure.savefig(drawn, format=kind, metadata={"Date": None} if kind == "svg" else None)
    plt.close(figure)
    return drawn.getvalue()
