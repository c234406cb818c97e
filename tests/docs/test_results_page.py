"""The page of results says what its records say."""

import json
import sys
from pathlib import Path

import pytest

from espnet_plugin.errors import UserError

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
from results_page import BLOCK, PAGES, PICTURE, draw, filled, points, take_demo, take_run

ROOT = Path(__file__).parents[2]

ROW = {
    "measure": "wer",
    "size": "6x512",
    "params": 2_000_000,
    "test_set": "test",
    "supernet_seeds": 1,
    "individual_seeds": 1,
}
ROW |= {
    f"{name}{end}": value
    for name in ("supernet", "individual", "relative")
    for end, value in (("", 5.0), ("_low", 4.0), ("_high", 6.5))
}
PAGE = "before\n<!-- begin: mini comparison wer -->\nold\n<!-- end -->\nafter\n"


@pytest.mark.parametrize(("path", "least"), zip(PAGES, (5, 4), strict=True), ids=[path.name for path in PAGES])
def test_pages_and_records_agree(path, least):
    page = path.read_text()
    assert len(BLOCK.findall(page)) >= least
    assert filled(page, ROOT / "docs/results") == page, "run python benchmarks/results_page.py"


def test_the_pictures_are_those_of_the_pages():
    pictures = PICTURE.findall("".join(path.read_text() for path in PAGES))
    shown = {f"{name}_{measure}.png" for name, measure in pictures}
    assert shown == {path.name for path in (ROOT / "docs/results").glob("*.png")}


def test_a_block_is_filled_from_its_record(tmp_path):
    (tmp_path / "mini.json").write_text(json.dumps({"comparison": [ROW, ROW | {"measure": "loss"}]}))
    text = filled(PAGE, tmp_path)
    assert "old" not in text and text.startswith("before\n") and text.endswith("\nafter\n")
    assert "| test | 6x512 | 2.00 M | 5.00 [4.00, 6.50] |" in text and text.count("6x512") == 1
    assert filled(text, tmp_path) == text


def test_pictures_are_drawn_where_the_page_shows_them(tmp_path):
    other = ROW | {"measure": "loss", "individual": None}
    (tmp_path / "mini.json").write_text(json.dumps({"comparison": [ROW, other]}))
    draw("![errors](results/mini_wer.png)", tmp_path)
    assert (tmp_path / "mini_wer.png").stat().st_size > 2000 and not (tmp_path / "mini_loss.png").exists()
    found = points({"comparison": [ROW, other]}, "loss")
    assert [(point.family, point.value, point.high) for point in found] == [("one supernet", 5.0, 6.5)]
    with pytest.raises(UserError, match="has no 'cer' to draw"):
        draw("![errors](results/mini_cer.png)", tmp_path)


def test_peers_are_shown(tmp_path):
    row = dict(
        family="Zipformer", system="Zipformer 1.2M", params=1_200_000, test_set="test", hours=0.2, rtf=0.01, seeds=1
    )
    row |= {f"{name}{end}": 5.0 for name in ("wer", "cer", "loss") for end in ("", "_low", "_high")}
    (tmp_path / "peers.json").write_text(json.dumps({"peers": [row]}))
    text = filled(PAGE.replace("mini comparison wer", "peers peers"), tmp_path)
    assert "| test | Zipformer 1.2M | 1.20 M | 5.00 [5.00, 5.00] | 5.00 [5.00, 5.00] | 5.000 [" in text
    assert "| 0.200 | 0.0100 | 1 |" in text
    draw("![](results/peers_wer.png)", tmp_path)
    assert (tmp_path / "peers_wer.png").stat().st_size > 2000


def test_a_demonstration_is_taken_over(tmp_path):
    records, expdir = tmp_path / "docs" / "results", tmp_path / "exp"
    records.mkdir(parents=True)
    expdir.mkdir()
    with pytest.raises(UserError, match=r"results\.json' does not exist"):
        take_demo(expdir, records)
    row = dict(name="max", subnet="0-1x8", params=2000, test_set="test", wer=5.0, cer=2.5, loss=0.25, device=None)
    (expdir / "results.json").write_text(json.dumps([row]))
    with pytest.raises(UserError, match=r"--demo: .*pareto\.png' does not exist"):
        take_demo(expdir, records)
    assert not list(records.iterdir())
    (expdir / "pareto.png").write_bytes(b"picture")
    take_demo(expdir, records)
    text = filled(PAGE.replace("mini comparison wer", "demo sizes"), records)
    assert "| max | `0-1x8` | 2,000 | 100% | 5.00 | 2.50 | 0.250 |" in text
    assert (tmp_path / "docs" / "pareto_mini.png").read_bytes() == b"picture"
    take_run(expdir, records / "other.json")
    assert (records / "other.json").read_bytes() == (records / "demo.json").read_bytes()


@pytest.mark.parametrize(
    "block, said",
    [
        ("none comparison wer", "none.json' does not exist"),
        ("mini prices", "'prices' is not one of"),
        ("mini cost", "has no 'cost'"),
    ],
)
def test_mistakes_are_told(block, said, tmp_path):
    (tmp_path / "mini.json").write_text(json.dumps({"comparison": [ROW]}))
    with pytest.raises(UserError, match=said):
        filled(PAGE.replace("mini comparison wer", block), tmp_path)
