"""Rows of `recipe.tables` as Markdown."""

from collections.abc import Iterable

from espnet_plugin.recipe.runs import MEASURES

MISSING = "missing"


def show(row: dict, name: str, sign: str = "", digits: int = 2) -> str:
    """``4.20 [4.01, 4.40]``."""
    if row.get(name) is None:
        return MISSING
    ends = [row[f"{name}_low"], row[f"{name}_high"]]
    spread = "" if None in ends else f" [{', '.join(f'{end:{sign}.{digits}f}' for end in ends)}]"
    return f"{row[name]:{sign}.{digits}f}{spread}"


def markdown(header: list[str], lines: Iterable[list[str]], texts: int) -> str:
    """A table whose first `texts` columns are text, the others figures."""
    rows = ["| " + " | ".join(map(str, cells)) + " |" for cells in [header, *lines]]
    rows.insert(1, "|" + "---|" * texts + "---:|" * (len(header) - texts))
    return "\n".join(rows)


def comparison_text(rows: list[dict]) -> str:
    lines = []
    for row in rows:
        if row["size"] == "mean":
            title = f"mean over {row['sizes']} {'rows' if row['test_set'] == 'all' else 'sizes'}"
            lines.append([row["test_set"], title, "", "", "", show(row, "relative", "+"), ""])
            continue
        params = MISSING if row["params"] is None else f"{row['params'] / 1e6:.2f} M"
        values = [show(row, kind, digits=MEASURES[row["measure"]].digits) for kind in ("supernet", "individual")]
        cells = [row["test_set"], row["size"], params, *values]
        lines.append([*cells, show(row, "relative", "+"), f"{row['supernet_seeds']} / {row['individual_seeds']}"])
    header = ["test set", "size", "parameters", "supernet", "individually trained", "relative difference", "seeds"]
    return markdown(header, lines, 2)


def ablation_text(rows: list[dict]) -> str:
    by_cell = {(row["line"], row["size"], row["test_set"]): row for row in rows}
    digits = MEASURES[rows[0]["measure"]].digits
    titles, sizes, test_sets = (list(dict.fromkeys(row[key] for row in rows)) for key in ("line", "size", "test_set"))
    lines = [
        [title, test_set, *(show(by_cell[title, size, test_set], "value", digits=digits) for size in sizes)]
        for test_set in test_sets
        for title in titles
    ]
    return markdown(["supernet", "test set", *sizes], lines, 2)


def cost_text(rows: list[dict]) -> str:
    lines = []
    for row in rows:
        hours = row.get("ratio") if "ratio" in row else row["hours"]
        cells = [MISSING if hours is None else f"{hours:.3g}"]
        cells += [f"{row[key]:,.0f}" if row.get(key) is not None else "" for key in ("updates", "audio_hours", "seeds")]
        lines.append([row["model"], *cells])
    unit = next((row["unit"] for row in rows if row.get("unit")), "gpu_hours").replace("_", " ").replace("pu", "PU")
    unit = unit[0].upper() + unit[1:]
    return markdown(["model", unit, "updates", "hours of audio seen", "seeds"], lines, 1)
