"""A corpus is one file: one written here goes through the first stages with options and defaults of its own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from espnet_plugin.errors import UserError
from espnet_plugin.recipe.corpus import choose, corpora

ROOT = Path(__file__).parents[2]
KNOWN = corpora(ROOT / "local" / "corpora")
TONES = '''
"""Tones."""
from dataclasses import dataclass
import numpy as np, soundfile
from espnet_plugin.recipe import corpus
from espnet_plugin.recipe.options import option

@dataclass(frozen=True)
class Corpus(corpus.Corpus):
    """pure tones, made here"""
    tones: int = option(3, "N", "utterances of a set")
    defaults = {"nbpe": 14, "train_set": "low", "valid_set": "high", "test_sets": ("high",)}

    def inputs(self):
        return {"tones": self.tones}

    def prepare(self, job):
        for name in job.sets:
            folder = job.data / name
            folder.mkdir(parents=True, exist_ok=True)
            for i in range(self.tones):
                soundfile.write(folder / f"{i}.wav", 0.1 * np.sin(np.arange(16000) * (i + 1) / 20), 16000)
            (folder / "wav.scp").write_text("".join(f"{name}{i} {folder}/{i}.wav\\n" for i in range(self.tones)))
            (folder / "text").write_text("".join(f"{name}{i} LOW HIGH TONE\\n" for i in range(self.tones)))
'''


@pytest.fixture
def recipe(tmp_path) -> Path:
    """A recipe folder of somebody's own, with one file added."""
    folder = tmp_path / "egs2" / "tones"
    shutil.copytree(ROOT / "local", folder / "local")
    (folder / "conf").symlink_to(ROOT / "conf")
    for file in (ROOT / "egs2" / "librispeech_todm").glob("*.sh"):
        shutil.copy(file, folder)
    (folder / "local" / "corpora" / "tones.py").write_text(TONES)
    return folder


def run(folder: Path, *options: object) -> subprocess.CompletedProcess:
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = [folder / "run.sh", *map(str, options)]
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def test_one_file_is_a_corpus(recipe):
    shown = run(recipe, "--help").stdout
    assert "tones           pure tones, made here" in shown and "options of corpus tones\n  --tones N" in shown
    assert "tones: 14" in shown
    done = run(recipe, "--corpus", "tones", "--stop_stage", 3, "--nj", 1)
    assert done.returncode == 0, done.stderr
    assert len((recipe / "dump/tones/raw/low/text").read_text().splitlines()) == 3
    assert (recipe / "dump/tones/token_list/bpe_unigram14/tokens.txt").is_file()
    more = run(recipe, "--corpus", "tones", "--stop_stage", 2, "--nj", 1, "--tones", 4)
    assert "stage 1, data again: tones 3 -> 4" in more.stdout, more.stdout
    assert "stage 2, formatting low again: tones 3 -> 4; files of low has changed" in more.stdout
    wider = run(recipe, "--corpus", "tones", "--stop_stage", 1, "--tones", 4, "--test_sets", "high middle")
    assert "stage 1, data again: sets low high -> low high middle" in wider.stdout, wider.stdout
    fewer = run(recipe, "--corpus", "tones", "--stop_stage", 1, "--tones", 4)
    assert "stage 1, data: complete" in fewer.stdout, fewer.stdout
    # What is prepared again is all that the record speaks of.
    changed = run(recipe, "--corpus", "tones", "--stop_stage", 1, "--tones", 5)
    assert "stage 1, data again: tones 4 -> 5" in changed.stdout, changed.stdout
    assert len((recipe / "dump/tones/data/middle/text").read_text().splitlines()) == 5
    refused = run(recipe, "--corpus", "tones", "--tones", "none")
    assert refused.stderr == "error: --tones 'none' must be a whole number at least 1\n"


@pytest.mark.parametrize(
    "text, said",
    [
        ("", "must hold a class Corpus"),
        ("class Corpus:\n    pass\n", "must hold a class Corpus"),
        ("import nothing_of_this_name\n", "cannot be imported: No module named"),
        ("class Corpus(\n", "cannot be imported"),
    ],
)
def test_a_file_that_is_no_corpus_is_named(tmp_path, text, said):
    (tmp_path / "odd.py").write_text(text)
    with pytest.raises(UserError, match=f"odd.py' {said}"):
        corpora(tmp_path)


def test_options_of_another_corpus_are_refused_unless_they_change_nothing():
    assert choose({"download": "false"}, KNOWN)[1].corpus == "mini"
    with pytest.raises(UserError, match="--full_libri 'false' must come with --corpus librispeech, not 'mini'"):
        choose({"full_libri": "false"}, KNOWN)


def test_defaults_follow_the_corpus_and_its_own_options():
    _, whole = choose({"corpus": "librispeech"}, KNOWN)
    _, part = choose({"corpus": "librispeech", "full_libri": "false", "nbpe": "40", "test_sets": ""}, KNOWN)
    assert (whole.train_set, part.train_set) == ("train-960", "train-clean-100")
    assert (whole.nbpe, part.nbpe, part.expdir) == (500, 40, "exp/librispeech")
    assert part.sets == ("train-clean-100", "dev-clean", "dev-other", "test-clean", "test-other")
