"""Verb ``page``: what ``choose`` has found as a page to hover and click, and as a picture."""

import argparse
from functools import partial
from pathlib import Path

from espnet_plugin.common.files import write_whole
from espnet_plugin.search.page import collect, html, picture


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="espnet-todm page", description="Write front.html, front.png and front.svg of what 'choose' has found."
    )
    parser.add_argument(
        "--expdir", type=Path, required=True, help="folder with search.json; sizes and scores are shown too"
    )
    args = parser.parse_args(argv)
    found = collect(args.expdir)
    contents = {"html": html(found).encode()} | {kind: picture(found, kind) for kind in ("png", "svg")}
    for kind, content in contents.items():  # all are made before one is written
        write_whole(args.expdir / f"front.{kind}", partial(Path.write_bytes, data=content))
    print(f"written: {args.expdir}/front.html, front.png, front.svg")
