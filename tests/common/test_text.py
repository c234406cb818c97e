# ruff: noqa: RUF001
import unicodedata
from collections import Counter

import hypothesis.strategies as st
import pytest
import sentencepiece
from hypothesis import given, settings

from espnet_plugin.common.text import CASES, FORMS, PUNCTUATION, TextConf, normalised, normaliser
from espnet_plugin.errors import UserError

anything = st.text(st.characters(exclude_categories=("Cs",)), max_size=30)
confs = st.builds(
    TextConf,
    form=st.sampled_from(FORMS),
    case=st.sampled_from(CASES),
    punctuation=st.sampled_from(PUNCTUATION),
    symbols=st.sampled_from([(), ("<noise>", "<laugh>")]),
    removed=st.sampled_from([(), ("[breath]",)]),
)


def test_what_has_one_look_has_one_spelling():
    plain = TextConf().normalise
    assert plain("a\u0306 e\u0301") == "\u0103 \u00e9"
    assert plain(" HELLO\u3000THERE\u2028YOU\x0c\tALL\u00a0\n") == "HELLO THERE YOU ALL"
    assert plain("\ufeffso\u00adft zero\u200bwidth be\x07ll \u200eright\u202c") == "soft zerowidth bell right"
    assert plain("می\u200cروم \u200c ن\u200d") == "می\u200cروم ن\u200d"  # joiners are spelling, alone they are nothing
    assert plain("５ ｆｕｌｌ ﬁ ½ …") == "５ ｆｕｌｌ ﬁ ½ …"
    assert plain("a\u2581b") == "a_b"


def test_what_is_asked_for_is_done():
    assert TextConf(form="nfkc").normalise("５ ｆｕｌｌ ﬁ …") == "5 full fi ..."
    assert TextConf(form="none").normalise("a\u0306") == "a\u0306"
    assert TextConf(punctuation="remove").normalise("\u201cDon\u2019t,\u201d well-known - 'tis 你好，世界。") == (
        "Don\u2019t well-known tis 你好 世界"
    )
    assert TextConf(case="upper", symbols=["<noise>"]).normalise("so<noise>  <Noise>") == "SO<noise> <NOISE>"
    assert (
        TextConf(removed=["<noise>"], symbols=["<noise>s"]).normalise("<noise> a <noise>s b<noise>") == "a <noise>s b"
    )


def test_changes_are_counted_by_kind():
    changes, conf = Counter(), TextConf(case="lower", removed=["<x>"])
    for text in ("a", "A", "a  b <x>", "A\u0306"):
        conf.normalise(text, changes)
    assert changes == {"case": 2, "white space": 1, "symbols removed": 1, "Unicode form nfc": 1}


@settings(max_examples=300)
@given(text=anything, conf=confs)
def test_a_second_time_changes_nothing(text, conf):
    once = conf.normalise(text)
    assert conf.normalise(once) == once
    assert once == " ".join(once.split()) and "\u2581" not in once
    if conf.form != "none":
        assert unicodedata.is_normalized(conf.form.upper(), once)


def test_mistakes_are_told():
    for values, said in (
        (dict(form="nfx"), "form: 'nfx' is not one of none, nfc"),
        (dict(symbols=["<unk>"]), "'<unk>' is one of the token list's own"),
        (dict(symbols=["a b"]), "'a b' must be one word"),
        (dict(symbols=["<x>"], removed=["<x>"]), "removed: '<x>' is among"),
    ):
        with pytest.raises(UserError, match=said):
            TextConf(**values)


def test_a_model_that_records_nothing_has_its_tokenizer_asked(tmp_path, capsys):
    texts = {"u1": "a\u0306 ｂ", "u2": "c"}
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["\u0103 b c"]),
        model_prefix=str(tmp_path / "m"),
        vocab_size=20,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    old = dict(token_type="bpe", bpemodel=str(tmp_path / "m.model"))
    assert normalised(texts, old, "test") == {"u1": "\u0103 b", "u2": "c"}
    assert "test: 1 of 2 references" in capsys.readouterr().err
    new = old | dict(model_conf=dict(text_conf=dict(form="nfc")))
    assert normalised(texts, new, "test") == {"u1": "\u0103 ｂ", "u2": "c"}
    assert normaliser(dict(token_type="char"))(" a  b ") == "a b"
    with pytest.raises(UserError, match=r"model_conf\.text_conf\.forms: unknown key"):
        normaliser(dict(model_conf=dict(text_conf=dict(forms="nfc"))))
