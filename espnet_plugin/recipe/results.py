"""The table and the pictures of an experiment: RESULTS.md, results.json, pareto.png, and device.png once sizes are exported."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from matplotlib.transforms import Bbox

from espnet_plugin.common.files import read_json, write_json, write_text, write_whole
from espnet_plugin.errors import UserError, run_main
from espnet_plugin.recipe.environment import facts
from espnet_plugin.recipe.layout import Experiment
from espnet_plugin.recipe.noticed import sections

KINDS = ("float", "int8")


def collect(experiment: Experiment, test_sets: list[str]) -> list[dict]:
    """One row for each size and test set, largest size first; figures are None where a run is missing.

    Raises:
        UserError: no sizes were chosen yet.
    """
    chosen = read_json(experiment.sizes_json)
    if chosen is None:
        raise UserError(f"--expdir: '{experiment.sizes_json}' does not exist, run the stage that chooses sizes first")
    cost = read_json(experiment.cost) or {}
    rows = []
    for size in chosen["sizes"]:
        name = size["name"]
        facts = read_json(experiment.facts(name)) or {}
        device = read_json(experiment.device(name))
        for test_set in test_sets:
            score = read_json(experiment.score(name, test_set) / "score.json") or {}
            row = {"name": name, "subnet": size["subnet"], "params": facts.get("params", size["params"])}
            row |= {"test_set": test_set} | {
                key: score.get(key) for key in ("words", "wer", "cer", "ins", "del", "sub", "tokens", "loss")
            }
            row |= {"train_seconds": cost.get("train_seconds"), "device": device}
            rows.append(row | {"latency": read_json(experiment.decoded(name, test_set) / "latency.json")})
    return rows


def figure(value: float | None, digits: int) -> str:
    return "missing" if value is None else f"{value:.{digits}f}"


def table(rows: list[dict], test_sets: list[str]) -> str:
    """Markdown table, one line a size; with the held-out loss where it was computed."""
    largest = max(row["params"] for row in rows)
    measures = {"wer": "WER", "cer": "CER"} | ({"loss": "loss"} if any(row["loss"] is not None for row in rows) else {})
    header = ["size", "subnet", "parameters", "of max"] + [
        f"{s} {what}" for s in test_sets for what in measures.values()
    ]
    lines = ["| " + " | ".join(header) + " |", "|---|---|" + "---:|" * (len(header) - 2)]
    for name in dict.fromkeys(row["name"] for row in rows):
        group = {row["test_set"]: row for row in rows if row["name"] == name}
        first = next(iter(group.values()))
        cells = [name, f"`{first['subnet']}`", f"{first['params']:,}", f"{first['params'] / largest:.0%}"]
        cells += [figure(group[s][what], 3 if what == "loss" else 2) for s in test_sets for what in measures]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def device_table(rows: list[dict]) -> list[str]:
    """Sections of RESULTS.md on what each exported size costs; none when no size was exported."""
    sizes = {row["name"]: row["device"] for row in rows if row["device"]}
    if not sizes:
        return []
    first = next(iter(sizes.values()))
    lines = [
        "| size | numbers | bytes | threads | real-time factor | first token (ms) | memory (MB) |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for name, device in sizes.items():
        for kind in KINDS:
            for threads, speed in device[kind]["threads"].items():
                cells = [name, kind, f"{device[kind]['bytes']:,}", threads, f"{speed['rtf']:.4f}"]
                cells += ["unknown" if speed[key] is None else str(speed[key]) for key in ("first_token_ms", "peak_mb")]
                lines.append("| " + " | ".join(cells) + " |")
    since = "the utterance's end, when the client gets it, to its first token"
    if first.get("streaming"):
        since = "the arrival of the 0.1 s of a stream that completes it"
    what = (
        f"Exported to sherpa-onnx; {first['utterances']} utterances of {first['data']} on this machine. Real-time factor: seconds of "
        f"computing a second of audio. First token: median time from {since}. "
        "Memory: growth of the client's over that before loading."
    )
    return ["## On the device", what, "\n".join(lines), "![bytes, speed and memory of each size](device.png)"]


def latency_line(rows: list[dict]) -> list[str]:
    """How the test sets were fed, where they were decoded as streams."""
    return [
        f"Decoded as streams, in chunks of {chunk:g} ms: a word waits for at most {most:g} ms of audio after its frame, "
        f"{mean:g} ms on average, beside computing."
        for chunk, most, mean in sorted(
            {
                (row["latency"]["chunk_ms"], row["latency"]["most_ms"], row["latency"]["mean_ms"])
                for row in rows
                if row["latency"]
            }
        )
    ]


def report(rows: list[dict], test_sets: list[str], command: str, noticed: Sequence[str] = ()) -> str:
    """Text of RESULTS.md. Args: noticed: further sections."""
    seconds = rows[0]["train_seconds"]
    time = "missing" if seconds is None else f"{seconds / 60:.1f} minutes for all sizes together"
    counts = ["| size | test set | words | ins | del | sub |", "|---|---|---:|---:|---:|---:|"]
    for row in rows:
        edits = (("missing" if row[k] is None else row[k]) for k in ("words", "ins", "del", "sub"))
        counts.append(f"| {row['name']} | {row['test_set']} | " + " | ".join(map(str, edits)) + " |")
    command_line, *made_with = facts(command)
    lines = [command_line, f"- training time: {time}", *made_with]
    parts = [
        "# Results",
        "\n".join(lines),
        "Error rates in percent; losses in nats a token, summed over all alignments of the full lattice.",
        *latency_line(rows),
        table(rows, test_sets),
        "![error rate against size](pareto.png)",
    ]
    return "\n\n".join([*parts, *device_table(rows), *noticed, "## Edits", "\n".join(counts)]) + "\n"


def label(axes, taken: list, text: str, xy: tuple, offsets: list[int], **style) -> None:
    """Write `text` above or below the point `xy`, at the first of `offsets` (points) where it covers none of the boxes `taken`."""
    for offset in offsets:
        note = axes.annotate(
            text,
            xy,
            xytext=(0, offset),
            textcoords="offset points",
            ha="center",
            va="bottom" if offset > 0 else "top",
            **style,
        )
        box = note.get_window_extent()
        if offset == offsets[-1] or not any(box.overlaps(other) for other in taken):
            taken.append(box)
            return
        note.remove()


def plot(rows: list[dict], test_sets: list[str], path: Path) -> None:
    """Parameters (log scale) against word error rate, one line a test set, each size named once at the top."""
    figure, axes = plt.subplots(figsize=(8, 5), dpi=150)
    figure.subplots_adjust(left=0.09, right=0.97, top=0.8, bottom=0.1)
    top = max((row["wer"] for row in rows if row["wer"] is not None), default=1.0) or 1.0
    axes.set_xscale("log")
    axes.set_ylim(0, 1.15 * top)
    axes.set_xlabel("parameters (millions, log scale)")
    axes.set_ylabel("word error rate (%)")
    sizes = {row["name"]: row["params"] / 1e6 for row in rows}
    for x in sizes.values():
        axes.axvline(x, color="0.9", zorder=0)
    points = []
    for test_set, marker in zip(test_sets, "osD^vP*X" * len(test_sets)):
        found = sorted(
            (r["params"] / 1e6, r["wer"]) for r in rows if r["test_set"] == test_set and r["wer"] is not None
        )
        (line,) = axes.plot(*(zip(*found) if found else ([], [])), marker=marker, label=test_set)
        points += [(y, x, line.get_color()) for x, y in found]
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    # Boxes are asked for only now that limits and scales stand. Points count as taken: no label hides one.
    figure.draw_without_rendering()
    taken = [
        Bbox.from_bounds(x - 6, y - 6, 12, 12) for x, y in (axes.transData.transform((x, y)) for y, x, _ in points)
    ]
    for y, x, colour in sorted(points, reverse=True):
        label(axes, taken, f"{y:.1f}", (x, y), [5, -5, 17, -17, 29, -29], fontsize=8, color=colour)
    for name, x in sizes.items():
        spot = {"xycoords": axes.get_xaxis_transform(), "fontsize": 8, "linespacing": 1.1}
        label(axes, taken, f"{name}\n{x:.3g} M", (x, 1), [3, 27], **spot)
    figure.text(0.015, 0.955, "One supernet, many sizes", fontsize=12)
    figure.legend(loc="upper right", ncols=min(len(test_sets), 4), frameon=False, fontsize=9)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.savefig(path, format="png")
    plt.close(figure)


def plot_device(rows: list[dict], path: Path) -> None:
    """Bytes, real-time factor, first token and memory of each exported size, float beside int8, one thread."""
    sizes = {row["name"]: row["device"] for row in rows if row["device"]}
    panels = {
        "on disk (MB)": lambda cost: cost["bytes"] / 1e6,
        "computing a second of audio (ms)": lambda cost: 1000 * cost["threads"]["1"]["rtf"],
        "first token (ms)": lambda cost: cost["threads"]["1"]["first_token_ms"],
        "memory (MB)": lambda cost: cost["threads"]["1"]["peak_mb"],
    }
    figure, grid = plt.subplots(2, 2, figsize=(8, 5), dpi=150, layout="constrained")
    for axes, (title, value) in zip(grid.flat, panels.items()):
        for turn, kind in enumerate(KINDS):
            heights = [value(device[kind]) or 0 for device in sizes.values()]  # unknown: no bar
            bars = axes.bar([i + 0.4 * turn - 0.2 for i in range(len(sizes))], heights, 0.38, label=kind)
            axes.bar_label(bars, fmt="%.3g", fontsize=7)
        axes.set_title(title, fontsize=10)
        axes.set_xticks(range(len(sizes)), sizes)
        axes.margins(y=0.15)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    grid.flat[0].legend(frameon=False, fontsize=9)
    figure.suptitle("In sherpa-onnx on this machine, one thread", fontsize=12)
    figure.savefig(path, format="png")
    plt.close(figure)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--expdir", type=Path, required=True)
    parser.add_argument("--test_sets", nargs="+", required=True)
    parser.add_argument("--command", required=True, help="the command that made the experiment, for the record")
    parser.add_argument("--data", type=Path, nargs="*", default=[], help="formatted sets, to say what they hold")
    args = parser.parse_args(argv)
    experiment = Experiment(args.expdir)
    rows = collect(experiment, args.test_sets)
    write_json(args.expdir / "results.json", rows, indent=2)
    write_whole(args.expdir / "pareto.png", lambda path: plot(rows, args.test_sets, path))
    pictures = "pareto.png"
    if any(row["device"] for row in rows):
        write_whole(args.expdir / "device.png", lambda path: plot_device(rows, path))
        pictures += ", device.png"
    names = list(dict.fromkeys(row["name"] for row in rows))
    text = report(rows, args.test_sets, args.command, sections(experiment, args.data, names, args.test_sets))
    write_text(args.expdir / "RESULTS.md", text)
    print(table(rows, args.test_sets))
    print(f"\nwritten: {args.expdir}/RESULTS.md, results.json, {pictures}")


if __name__ == "__main__":
    run_main(main)
