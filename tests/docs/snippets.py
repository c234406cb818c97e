"""Blocks of code in Markdown, as a reader would type them."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

# <!-- not run: REASON --> before a block: it is read and checked, but not run.
BLOCK = re.compile(
    r"(?:<!-- not run: (?P<why>[^>]*?) -->\n)?^```(?P<language>\w+)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Snippet:
    """Args: language: python, sh, yaml ...; code; why_not: the reason why it is not run, or None."""

    language: str
    code: str
    why_not: str | None


def snippets(path: Path) -> list[Snippet]:
    """Blocks of a page in their order."""
    return [Snippet(m["language"], m["code"], m["why"]) for m in BLOCK.finditer(path.read_text(encoding="utf-8"))]


def commands(code: str) -> list[str]:
    """Commands of a shell block: lines without comments, continued lines joined."""
    lines = code.replace("\\\n", " ").splitlines()
    return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]


def words(command: str) -> list[str]:
    """Words of a command without its comment; variables and substitutions stay as they are."""
    return shlex.split(command, comments=True)
