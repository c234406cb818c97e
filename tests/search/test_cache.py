import pytest
from hypothesis import given
from hypothesis import strategies as st

from espnet_plugin.errors import UserError
from espnet_plugin.search.cache import EvaluationCache
from espnet_plugin.supernet.configured import search_space
from espnet_plugin.supernet.dimensions import D_MODEL, DIRECTION, FFN, HEADS

CONF = dict(depths=[1, 2], ffn_dims=[4, 8], heads=[4], model_dims=[16], directions=["forward"])
SPACE = search_space(2, CONF, (FFN, HEADS, D_MODEL, DIRECTION), {})
# As files from before a dimension was added have them.
A, B, C = (SPACE.parse(text) for text in ("0-1x8", "0x4_1x8", "0x8h4_d16_forward"))
KEYS = {"loss": "k1", "wer": "k2"}


def test_values_are_there_again(tmp_path):
    path = tmp_path / "folder" / "search.jsonl"
    cache = EvaluationCache(path, KEYS, SPACE.parse)
    cache.put("loss", A, 1.5)
    cache.put("wer", A, 50.0)
    cache.put("loss", C, 2.5)
    again = EvaluationCache(path, KEYS, SPACE.parse)
    assert again.values == {("loss", A): 1.5, ("wer", A): 50.0, ("loss", C): 2.5}
    assert again.get("loss", B) is None


def test_values_of_another_checkpoint_are_not_seen(tmp_path):
    EvaluationCache(tmp_path / "c", KEYS, SPACE.parse).put("loss", A, 1.5)
    assert EvaluationCache(tmp_path / "c", KEYS | {"loss": "other"}, SPACE.parse).values == {}
    assert EvaluationCache(tmp_path / "c", KEYS, SPACE.parse).get("loss", A) == 1.5


@given(cut=st.integers(1, 60))
def test_a_torn_line_costs_that_line_only(tmp_path_factory, cut):
    path = tmp_path_factory.mktemp("cache") / "c"
    cache = EvaluationCache(path, KEYS, SPACE.parse)
    cache.put("loss", A, 1.0)
    cache.put("loss", B, 2.0)
    whole = path.read_bytes()
    assert cut < len(whole.splitlines()[1])
    path.write_bytes(whole[:-cut])
    killed = EvaluationCache(path, KEYS, SPACE.parse)
    # A line that lacks its line break may have been written whole or not: it is evaluated again.
    assert killed.values == {("loss", A): 1.0}
    killed.put("loss", C, 3.0)
    assert {("loss", A): 1.0, ("loss", C): 3.0}.items() <= EvaluationCache(path, KEYS, SPACE.parse).values.items()


def test_without_a_path_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cache = EvaluationCache(None, KEYS, SPACE.parse)
    cache.put("loss", A, 1.0)
    assert cache.get("loss", A) == 1.0 and not any(tmp_path.iterdir())


def test_another_file_is_refused(tmp_path):
    for text in ("first\nsecond\n", '{"measure": ["a"], "key": "k1", "subnet": "0x8", "value": 1}\n', "5\n"):
        (tmp_path / "notes.txt").write_text(text)
        with pytest.raises(UserError, match=r"notes.txt' is not a file of evaluated subnets"):
            EvaluationCache(tmp_path / "notes.txt", KEYS, SPACE.parse)
