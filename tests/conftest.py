"""Real speech for tests: the AN4 utterances that ship in ESPnet's wheel."""

import os
import tarfile
from importlib.metadata import files
from pathlib import Path

import pytest
from hypothesis import settings

# A busy machine is no failure. Where CI is set, examples are the same each time: a change is judged, not luck.
settings.register_profile("default", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("default")


@pytest.fixture(scope="session")
def an4_dir(tmp_path_factory) -> Path:
    """Folder with the unpacked archive: .sph audio and .transcription files."""
    found = [entry for entry in files("espnet") or [] if str(entry).endswith("mini_an4/esp2_asr/downloads.tar.gz")]
    out = tmp_path_factory.mktemp("an4")
    with tarfile.open(found[0].locate()) as tar:
        tar.extractall(out, filter="data")
    return out


@pytest.fixture(scope="session")
def an4_wavs(an4_dir) -> list[Path]:
    return sorted(an4_dir.rglob("*.sph"))
