"""What the page is made from, when it is damaged."""

import json

import pytest

from espnet_plugin.bin.main import dispatch
from espnet_plugin.errors import UserError

POINT = {"subnet": "0x8", "front": True, "loss": 1.0, "params": 8}
FOUND = {"train_config": "c", "model_file": "m", "by": "params", "points": [POINT]}
SIZES = {"sizes": [{"subnet": "0x8", "name": "max"}]}


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"search.json": json.dumps(FOUND)[:-9]}, "search.json', line 1: is not JSON"),
        ({"search.json": ""}, "search.json', line 1: is not JSON"),
        ({"search.json": "[]"}, "search.json': is not a JSON object"),
        ({"search.json": "{}"}, "search.json': by: None is not one of params"),
        ({"sizes.json": json.dumps(SIZES)[:-3]}, "sizes.json', line 1: is not JSON"),
        ({"sizes.json": '{"size": 1}'}, "a score.json is damaged ('sizes')"),
        ({"sizes/max/score/test/score.json": '{"wer": 1'}, "score.json', line 1: is not JSON"),
        ({"sizes/max/score/test/score.json": '{"wer": 1}'}, "a score.json is damaged ('cer')"),
    ],
)
def test_truncated_files_are_told_in_one_sentence(tmp_path, changes, said):
    (tmp_path / "sizes" / "max" / "score" / "test").mkdir(parents=True)
    for name, text in ({"search.json": json.dumps(FOUND), "sizes.json": json.dumps(SIZES)} | changes).items():
        (tmp_path / name).write_text(text)
    with pytest.raises(UserError) as error:
        dispatch(["page", "--expdir", str(tmp_path)])
    assert said in str(error.value) and "\n" not in str(error.value) and not (tmp_path / "front.html").exists()
