"""Every snippet and every command of README and docs is what a reader can type."""

import ast
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import yaml

from espnet_plugin.bin.main import VERBS, dispatch

sys.path.append(str(Path(__file__).parent))
from snippets import Snippet, commands, snippets, words

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "CONTRIBUTING.md"]
SCRIPTS = {"./run.sh": "run.sh", "./tables.sh": "tables.sh"}
HELP: dict[str, str] = {}


def help_of(*command: str) -> str:
    """What a program of the recipe says of itself."""
    if command[0] not in HELP:
        recipe = ROOT / "egs2" / "librispeech_todm"
        HELP[command[0]] = subprocess.run(
            [*command, "--help"], capture_output=True, text=True, cwd=recipe, check=True
        ).stdout
    return HELP[command[0]]


def verb_options(verb: str, capsys) -> str:
    if verb not in HELP:
        with pytest.raises(SystemExit):
            import_module(f"espnet_plugin.bin.{verb}").main(["--help"])
        HELP[verb] = capsys.readouterr().out
    return HELP[verb]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_option_exists(page, capsys):
    for snippet in snippets(page):
        if snippet.language not in ("sh", "text"):
            continue
        for command in commands(snippet.code) if snippet.language == "sh" else ():
            typed = words(command)
            program = Path(typed[0]).name
            if program == "espnet-todm" and len(typed) > 1 and not typed[1].startswith("-"):
                assert typed[1] in VERBS, command
                known = verb_options(typed[1], capsys)
            elif typed[0] in SCRIPTS:
                known = help_of(typed[0]) + help_of("./run.sh")  # tables.sh passes options on
            elif program.startswith("python") and len(typed) > 1 and typed[1].endswith(".py"):
                recipe = ROOT / "egs2" / "librispeech_todm"
                assert typed[1] == "kit/time_blocks.py" or (recipe / typed[1]).exists(), command
                continue
            else:
                continue
            for option in (
                word.split("=")[0] for word in typed if re.fullmatch(r"--\w[\w-]*(=.*)?", word) and word != "--help"
            ):
                assert re.search(rf"{re.escape(option)}\b", known), f"{page.name}: {option} in: {command}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_snippet_of_yaml_and_python_is_well_formed(page):
    for snippet in snippets(page):
        if snippet.language == "python":
            ast.parse(snippet.code)
        if snippet.language == "yaml":
            yaml.safe_load(snippet.code)


def runnable(snippet: Snippet) -> list[str]:
    """What of a snippet is run: Python as it is; of a shell block, the verbs and the kit's script."""
    if snippet.why_not is not None:
        return []
    if snippet.language == "python":
        return [snippet.code]
    verbs = commands(snippet.code) if snippet.language == "sh" else []
    return [command for command in verbs if words(command)[0] in ("espnet-todm", "python3")]


RUN = [page for page in PAGES if any(map(runnable, snippets(page)))]


@pytest.mark.parametrize("page", RUN, ids=lambda page: page.name)
def test_what_a_page_says_can_be_typed(page, recipe):
    """In one process, since each start of a verb takes seconds; the shell expands the words."""
    names: dict = {}
    for snippet in snippets(page):
        for code in runnable(snippet):
            if snippet.language == "python":
                exec(compile(code, page.name, "exec"), names)
            else:
                expand = ["bash", "-c", f"for word in {code.split('#')[0]}; do printf '%s\\0' \"$word\"; done"]
                program, *typed = subprocess.run(expand, capture_output=True, text=True, check=True).stdout.split("\0")[
                    :-1
                ]
                if program == "python3":
                    subprocess.run([sys.executable, *typed], check=True, capture_output=True)
                else:
                    dispatch(typed)
