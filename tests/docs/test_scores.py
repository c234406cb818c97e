"""Scores in an archive: hand-made runs go in and come out, and a record of the page is what its archive says."""

import json
import sys
from pathlib import Path

import pytest

from espnet_plugin.errors import UserError
from espnet_plugin.recipe.layout import Experiment
from espnet_plugin.recipe.runs import Experiments

sys.path += [str(Path(__file__).parents[2] / "benchmarks"), str(Path(__file__).parent)]
from candidate import rows
from handmade import scored
from scores import pack, unpack

RESULTS = Path(__file__).parents[2] / "docs" / "results"


@pytest.fixture
def roots(tmp_path) -> list[Path]:
    """One run in each of two folders, and a link from the second to the first."""
    first, second = tmp_path / "exp" / "first", tmp_path / "exp" / "second"
    for root, texts in ((first, {"u1": "A C"}), (second, {"u1": "A B"})):
        expdir = scored(root / "seed0" / "supernet", texts, 1.0)
        Experiment(expdir).trained.touch()
        Experiment(expdir).averaged.write_bytes(b"weights")
    (second / "seed0" / "individual").symlink_to("../../first/seed0/supernet")
    return [first, second]


@pytest.fixture(scope="module")
def archived(tmp_path_factory) -> Path:
    """The kept scores, unpacked once for all records."""
    out = tmp_path_factory.mktemp("archived")
    unpack(RESULTS / "mini_scores.tar.xz", out)
    return out


def word_errors(root: Path) -> float:
    return Experiments((root,), ("3x64",), ("dev",)).counts("wer", "supernet", "3x64", "dev").ratio()


def test_what_tables_are_made_of_comes_out_again(roots, tmp_path):
    pack(roots, tmp_path / "scores.tar.xz")
    out = tmp_path / "out"
    unpack(tmp_path / "scores.tar.xz", out)
    assert [word_errors(out / root.name) for root in roots] == [word_errors(root) for root in roots] == [0.5, 0.0]
    cost = Experiment(out / "first" / "seed0" / "supernet").cost
    assert json.loads(cost.read_text()) == {"updates": 460}
    assert (out / "second/seed0/individual").resolve() == (out / "first/seed0/supernet").resolve()
    assert not list(out.rglob("averaged.pth"))


def test_links_of_any_kind_come_out_as_links_between_the_runs(roots, tmp_path):
    link = roots[1] / "seed0" / "individual"
    link.unlink()
    link.symlink_to((roots[0] / "seed0" / "supernet").absolute())
    pack(roots, tmp_path / "scores.tar.xz")
    unpack(tmp_path / "scores.tar.xz", tmp_path / "out")
    assert (tmp_path / "out/second/seed0/individual").readlink() == Path("../../first/seed0/supernet")
    with pytest.raises(UserError, match="which is in none of the folders"):
        pack(roots[1:], tmp_path / "half.tar.xz")


def test_equal_runs_make_equal_archives(roots, tmp_path):
    files = [tmp_path / "one.tar.xz", tmp_path / "two.tar.xz"]
    pack(roots, files[0])
    for path in (tmp_path / "exp").rglob("*"):
        path.touch()
    pack(roots, files[1])
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_training_under_way_is_left_out(roots, tmp_path):
    Experiment(roots[0] / "seed0" / "supernet").trained.unlink()
    with pytest.raises(UserError, match="first': holds no seedN/RUN that is trained and scored"):
        pack(roots, tmp_path / "scores.tar.xz")
    assert not (tmp_path / "scores.tar.xz").exists()


def test_folders_are_told_apart_by_their_names(roots, tmp_path, monkeypatch):
    monkeypatch.chdir(roots[0])
    pack([Path()], tmp_path / "here.tar.xz")
    unpack(tmp_path / "here.tar.xz", tmp_path / "out")
    assert word_errors(tmp_path / "out" / "first") == 0.5
    with pytest.raises(UserError, match="'first': is the name of two folders"):
        pack([roots[0], tmp_path / "out" / "first"], tmp_path / "scores.tar.xz")


def test_nothing_that_is_there_is_replaced(roots, tmp_path):
    archive = tmp_path / "scores.tar.xz"
    pack(roots, archive)
    before = word_errors(roots[0])
    with pytest.raises(UserError, match="is there already, give another folder"):
        unpack(archive, tmp_path / "exp")
    assert word_errors(roots[0]) == before


@pytest.mark.parametrize("kept", [0, 40, -30])
def test_a_damaged_archive_is_told(roots, tmp_path, kept):
    archive = tmp_path / "scores.tar.xz"
    pack(roots, archive)
    archive.write_bytes(archive.read_bytes()[:kept])
    with pytest.raises(UserError, match="is no whole archive of scores"):
        unpack(archive, tmp_path / "out")
    with pytest.raises(UserError, match="does not exist"):
        unpack(tmp_path / "none.tar.xz", tmp_path / "out")


@pytest.mark.parametrize(
    ("record", "before", "after"),
    [
        ("divergence", "kl", "full_rate"),
        ("prediction_rate", "full_rate", "slow"),
        ("scaledadam", "adam", "full_rate"),
    ],
)
def test_the_record_is_what_the_archive_says(record, before, after, archived):
    kept = json.loads((RESULTS / f"{record}.json").read_text())["candidates"]
    sizes, test_sets = (list(dict.fromkeys(row[key] for row in kept)) for key in ("size", "test_set"))
    runs = [sorted(archived.glob(f"{name}/seed*/supernet")) for name in (before, after)]
    found = rows(*runs, sizes[:-1], test_sets[:-1], 2)
    keys = ("measure", "size", "test_set", "updates", "before", "after", "relative")
    for row, one in zip(kept, found, strict=True):
        assert [one.get(key) for key in keys] == [pytest.approx(row.get(key)) for key in keys]
