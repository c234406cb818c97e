"""What a table of results says of how it was made."""

import datetime
import subprocess
from importlib.metadata import version
from pathlib import Path


def git_revision() -> str:
    """Short hash of the project's commit."""
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=Path(__file__).parent
    )
    return done.stdout.strip() if done.returncode == 0 else "not under git"


def facts(command: str) -> list[str]:
    """Lines of a Markdown list: command, date, commit, versions."""
    return [
        f"- command: `{command}`",
        f"- date: {datetime.date.today().isoformat()}, git {git_revision()}",
        f"- espnet {version('espnet')}, torch {version('torch')}",
    ]
