"""Who may know whom, as docs/architecture.md has it."""

import re
from pathlib import Path

import pytest

import espnet_plugin

PACKAGE = Path(espnet_plugin.__file__).parent


@pytest.mark.parametrize("folder", ["asr", "search", "deploy", "recipe", "bin"])
def test_encoders_are_known_by_their_contract_alone(folder):
    files = [path for path in (PACKAGE / folder).rglob("*") if path.suffix in (".py", ".html", ".sh")]
    assert len(files) > 5
    for path in files:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            family = re.search(r"mh-?ssm|conformer|time_?reduction", line, re.IGNORECASE)
            assert family is None, f"{path}:{number} names {family[0]}"


@pytest.mark.parametrize(
    "folder, lower",
    [
        ("supernet", {"supernet", "common"}),
        ("optim", {"optim", "common"}),
        ("audio", {"audio", "common"}),
        ("frontend", {"frontend", "common"}),
        ("encoder", {"encoder", "common", "supernet"}),
        ("transducer", {"transducer", "common", "supernet"}),
        ("asr", {"asr", "audio", "common", "encoder", "frontend", "optim", "registry", "supernet", "transducer"}),
        ("icefall", {"icefall", "asr", "common", "encoder", "supernet", "transducer"}),
        ("deploy", {"deploy", "asr", "audio", "common", "encoder", "frontend", "supernet", "transducer"}),
        ("search", {"search", "deploy", "asr", "audio", "common", "encoder", "frontend", "supernet", "transducer"}),
    ],
)
def test_imports_go_down_only(folder, lower):
    for path in (PACKAGE / folder).rglob("*.py"):
        for part in re.findall(
            r"^\s*(?:from|import) espnet_plugin\.(\w+)", path.read_text(encoding="utf-8"), re.MULTILINE
        ):
            assert part in lower | {"errors"}, f"{path} imports {part}"
