"""A way of training beside the default, from scores of three utterances made by hand."""

import json
import sys
from pathlib import Path

import pytest

from espnet_plugin.errors import UserError

sys.path += [str(Path(__file__).parents[2] / "benchmarks"), str(Path(__file__).parent)]
from candidate import rows
from handmade import scored
from results_page import filled


@pytest.fixture
def before(tmp_path):
    return scored(tmp_path / "before", {"u1": "A C", "u2": "C C", "u3": "A"}, 2.0)


def test_both_are_compared(before, tmp_path):
    after = scored(tmp_path / "after", {"u1": "A C", "u2": "A B", "u3": "A"}, 1.0)
    found = {(row["measure"], row["size"]): row for row in rows([before], [after], ["3x64"], ["dev"], 50)}
    words, loss, mean = found["wer", "3x64"], found["loss", "3x64"], found["wer", "mean"]
    assert (words["before"], words["after"]) == pytest.approx((400 / 6, 200 / 6))
    assert words["relative"] == mean["relative"] == pytest.approx(-50) and words["updates"] == 460
    assert (loss["before"], loss["after"], loss["relative"]) == pytest.approx((0.5, 0.25, -50))
    (tmp_path / "x.json").write_text(json.dumps({"candidates": [*found.values()]}))
    page = filled("<!-- begin: x candidates wer -->\n<!-- end -->", tmp_path)
    assert "| dev | 3x64 | 460 | 66.67 [" in page and "| all | mean | 460 |  |  | -50.0 [" in page


def test_seeds_are_averaged_and_other_references_refused(before, tmp_path):
    other = scored(tmp_path / "other", {"u1": "A B", "u2": "A B", "u3": "A B"}, 1.0)
    found = rows([before], [before, other], ["3x64"], ["dev"], 50)
    assert found[0]["after"] == pytest.approx(200 / 6)
    short = scored(tmp_path / "short", {"u1": "A B"}, 1.0)
    with pytest.raises(UserError, match="different references"):
        rows([before], [short], ["3x64"], ["dev"], 50)
