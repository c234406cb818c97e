"""Records of what an output was made from, and the sentences made of two of them."""

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from espnet_plugin.recipe import record


@pytest.mark.parametrize("data", [b"", b"a", bytes(range(256)) * 300, "Wörter\n".encode()])
def test_sums_are_those_of_posix(data):
    """Against the program cksum."""
    found = subprocess.run(["cksum"], input=data, capture_output=True, check=True)
    assert record.cksum(data) == int(found.stdout.split()[0])


def test_the_sum_of_files_leaves_out_those_that_are_not_there(tmp_path):
    (tmp_path / "a").write_text("one\n")
    (tmp_path / "b").write_text("two\n")
    both = record.sum_of(tmp_path / "a", tmp_path / "none", tmp_path / "b")
    assert both == f"#{record.cksum(b'one' + bytes([10]) + b'two' + bytes([10]))}"
    assert both != record.sum_of(tmp_path / "b", tmp_path / "a")


def test_changes_are_told_with_key_and_values():
    before = {"nbpe": 32, "text of train": "#1", "asr_config": {"optim_conf": {"lr": 0.03}, "seed": 1}, "gone": 3}
    now = {"nbpe": 40, "text of train": "#2", "asr_config": {"optim_conf": {"lr": 0.045}, "seed": 1}, "new": True}
    assert record.differences(before, now) == [
        "nbpe 32 -> 40",
        "text of train has changed",
        "optim_conf.lr 0.03 -> 0.045",
        "new (none) -> true",
        "gone 3 -> (none)",
    ]
    assert record.reason(record.differences(before, now)).endswith("optim_conf.lr 0.03 -> 0.045 and 2 more")
    assert record.differences({"a": {}}, {"a": {"seed": "1"}}) == ["seed (none) -> 1"]


def test_labels_that_came_later_stand_for_what_was_done_before(monkeypatch):
    monkeypatch.setitem(record.BEFORE, "token_type", "bpe")
    assert record.differences({"nbpe": 32}, {"nbpe": 32, "token_type": "bpe"}) == []
    assert record.differences({"nbpe": 32}, {"nbpe": 32, "token_type": "char"}) == ["token_type bpe -> char"]


def test_what_earlier_records_did_not_tell_is_believed_once():
    """Moved recordings of an earlier version are formatted anew, and then have a sum; the next one counts."""
    told = {"text and lengths of dev": "#1", "audio of dev": "#2"}
    assert record.differences({"text and lengths of dev": "#1"}, told) == []
    assert record.differences(told, told | {"audio of dev": "#3"}) == ["audio of dev has changed"]


def test_records_without_labels_stand_only_for_what_was_possible_then(monkeypatch):
    monkeypatch.setattr(record, "BEFORE", {"metric": "wer", "symbols": ()})
    assert record.as_before({"nbpe": 3}) and record.as_before({"metric": "wer", "symbols": []})
    assert not record.as_before({"metric": "cer"}) and not record.as_before({"symbols": ["<noise>"]})


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(min_size=1), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(min_size=1), VALUES, max_size=4))
def test_what_was_written_is_not_different(tmp_path_factory, inputs):
    path = tmp_path_factory.mktemp("record") / "done"
    record.write_record(path, inputs)
    assert record.read_record(path) == record.as_json(inputs)
    assert record.differences(record.read_record(path), record.as_json(inputs)) == []


@given(
    st.dictionaries(st.text(min_size=1), VALUES, max_size=3), st.dictionaries(st.text(min_size=1), VALUES, max_size=3)
)
def test_other_inputs_are_different(one, other):
    one, other = record.as_json(one), record.as_json(other)
    assert bool(record.differences(one, other)) == (one != other)
