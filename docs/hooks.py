"""mkdocs hook: puts the --help of every verb into verbs.md, so that the page cannot differ from the program."""

import io
import os
from contextlib import redirect_stdout, suppress
from importlib import import_module

from espnet_plugin.bin.main import VERBS


def help_of(verb: str) -> str:
    """What ``espnet-todm VERB --help`` prints, at a fixed width."""
    os.environ["COLUMNS"] = "110"
    printed = io.StringIO()
    with redirect_stdout(printed), suppress(SystemExit):
        import_module(f"espnet_plugin.bin.{verb}").main(["--help"])
    return printed.getvalue()


def on_page_markdown(markdown: str, page, **_) -> str:
    if page.file.src_path != "verbs.md":
        return markdown
    # ESPnet's own options, some 250, are in ESPnet's documentation.
    sections = [
        f"## {verb}\n\n{what[0].upper()}{what[1:]}.\n"
        + ("" if verb == "train" else f"\n```text\n{help_of(verb).rstrip()}\n```\n")
        for verb, what in VERBS.items()
    ]
    return markdown + "\n" + "\n".join(sections)
