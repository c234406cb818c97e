"""The kinds of mistakes, from scores of two utterances made by hand."""

import sys
from pathlib import Path

import pytest

from espnet_plugin.errors import UserError
from espnet_plugin.recipe.runs import Experiments

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
from mistakes import Mistakes, folders_of, mistakes


def test_by_hand(tmp_path):
    """One word is another known word, with all four characters wrong; one is misspelt, with one wrong."""
    (tmp_path / "ref.trn").write_text("OPEN DOOR (u1)\nOPEN GATE (u2)\n")
    (tmp_path / "hyp.trn").write_text("OPEN GATE (u1)\nOPEN GATES (u2)\n")
    found = mistakes([tmp_path], {"OPEN", "DOOR", "GATE"})
    assert found == Mistakes(wrong=50.0, unknown=25.0, characters=2.5)


def test_a_score_that_lacks_is_named(tmp_path):
    with pytest.raises(UserError, match="has no score"):
        folders_of(Experiments((tmp_path,), ("3x64",), ("dev",)), "supernet", "dev")
