# ruff: noqa: RUF001
import hypothesis.strategies as st
import pytest
import sentencepiece
from espnet2.text.build_tokenizer import build_tokenizer
from espnet2.text.token_id_converter import TokenIDConverter
from hypothesis import given, settings

from espnet_plugin.common.text import TextConf
from espnet_plugin.common.tokens import bpe_tokens, char_tokens, check_bpemodel, numbered_bpe, read_tokens, train_bpe
from espnet_plugin.errors import UserError

SCRIPTS = {
    "NFD": "Vietnamese: tie\u0302\u0301ng Vie\u0323\u0302t; a\u0306 o\u0308",
    "full width": "ＡＢＣ １２３ ，。！ ｶﾅ",
    "ligatures and fractions": "ﬁne ½ … ™ ² №",
    "Persian": "می\u200cخواهم کتاب\u200cها را بخوانم",
    "Hindi": "क्\u200dष नमस्ते दुनिया",
    "Chinese": "你好，世界。今天「天气」很好！",
    "Japanese": "こんにちは カタカナ が か\u3099",
    "Korean": "안녕하세요 \u1112\u1161\u11ab",
    "Thai": "สวัสดี\u200bครับ",
    "Arabic": "السَّلامُ عَلَيْكُم",
    "Russian": "Ёлка и\u0306 йод",
    "German": "Straße DASS ẞ",
    "emoji": "family 👨\u200d👩\u200d👧 ok",
    "marks": "a\u2581b \u2585 <unk> <s> <space> ### |",
    "invisible": "\ufeffzero\u200bwidth\u00ad bell\x07 nul\x00",
}


def returned(texts: list[str], token_type: str, folder, symbols=()) -> list[str]:
    """Texts after ESPnet's own tokenizer, to numbers and back, as a model writes them: pieces joined, marks and <space> as spaces."""
    if token_type == "bpe":
        model = train_bpe(texts, 400, symbols)
        (folder / "bpe.model").write_bytes(model)
        tokens, tokenizer = bpe_tokens(model), build_tokenizer("bpe", bpemodel=folder / "bpe.model")
    else:
        tokens, tokenizer = char_tokens(texts, symbols), build_tokenizer("char", non_linguistic_symbols=symbols)
    assert len(set(tokens)) == len(tokens) and tokens[:2] == ["<blank>", "<unk>"] and tokens[-1] == "<sos/eos>"
    converter, back = TokenIDConverter(tokens), []
    for text in texts:
        ids = converter.tokens2ids(tokenizer.text2tokens(text))
        assert 1 not in ids, text
        pieces = [" " if tokens[i] == "<space>" else tokens[i].replace("\u2581", " ") for i in ids]
        back.append("".join(pieces).strip())
        assert tokenizer.tokens2text(converter.ids2tokens(ids)) == text
    return back


@pytest.mark.parametrize("form", ["nfc", "nfkc", "nfd", "none"])
@pytest.mark.parametrize("token_type", ["bpe", "char"])
def test_every_script_comes_back(form, token_type, tmp_path):
    texts = [TextConf(form=form).normalise(text) for text in SCRIPTS.values()]
    assert returned(texts, token_type, tmp_path) == texts


@settings(max_examples=60)
@given(
    texts=st.lists(st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=20), min_size=1, max_size=4)
)
def test_anything_normalised_comes_back(texts, tmp_path_factory):
    texts = [text for text in map(TextConf().normalise, texts) if text]
    for token_type in ("bpe", "char") if texts else ():
        assert returned(texts, token_type, tmp_path_factory.mktemp("bpe")) == texts


@pytest.mark.parametrize("token_type", ["bpe", "char"])
def test_a_symbol_is_one_token(token_type, tmp_path):
    texts = ["ONE <noise> TWO<noise>", "<laugh> NOISE", "LAUGH"]
    assert returned(texts, token_type, tmp_path, ("<noise>", "<laugh>")) == texts


def test_a_model_with_the_numbers_of_a_token_list(tmp_path):
    """As icefall wants it: the number of a piece is that of its token, and text is taken apart as before."""
    (tmp_path / "bpe.model").write_bytes(train_bpe(["ONE TWO <noise>", "TWO THREE", "<noise> ONE"], 25, ["<noise>"]))
    tokens = ["<blk>", *bpe_tokens(tmp_path / "bpe.model")[1:]]
    before = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "bpe.model"))
    after = sentencepiece.SentencePieceProcessor(model_proto=numbered_bpe(tmp_path / "bpe.model", tokens))
    assert [after.id_to_piece(i) for i in range(after.get_piece_size())] == tokens
    assert after.piece_to_id("<blk>") == 0 and after.unk_id() == tokens.index("<unk>")
    for text in ("TWO <noise> ONE", "THREE FOUR", "ONE <blk>", ""):
        assert after.encode(text, out_type=str) == before.encode(text, out_type=str)
        ids = after.encode(text)
        assert after.decode(ids) == before.decode(before.encode(text)) and 0 not in ids


def test_a_long_transcript_is_not_left_out():
    text = " ".join(["WORD"] * 2000) + " Z"
    assert "Z" in "".join(bpe_tokens(train_bpe(["A", text], 100)))


def test_a_model_of_other_tokens_is_refused(tmp_path):
    texts = ["ONE TWO THREE FOUR", "FIVE SIX SEVEN"]
    (tmp_path / "bpe.model").write_bytes(train_bpe(texts, 30))
    tokens = bpe_tokens(tmp_path / "bpe.model")
    (tmp_path / "tokens.txt").write_text("\n".join(tokens) + "\n")
    check_bpemodel(read_tokens(tmp_path / "tokens.txt"), tmp_path / "bpe.model")
    check_bpemodel([*tokens, "<noise>"], tmp_path / "bpe.model")
    for wrong in ([token for token in tokens if token != "F"], [*tokens, "FIVES"]):
        with pytest.raises(UserError, match=r"bpe\.model' does not go with the token list"):
            check_bpemodel(wrong, tmp_path / "bpe.model")
    (tmp_path / "bpe.model").write_text("no model")
    with pytest.raises(UserError, match="is not a model of sentencepiece"):
        check_bpemodel(tokens, tmp_path / "bpe.model")
    for content, said in (("a\n\nb\n", "an empty line"), ("a\nb\na\n", "token 'a' twice")):
        (tmp_path / "tokens.txt").write_text(content)
        with pytest.raises(UserError, match=said):
            read_tokens(tmp_path / "tokens.txt")


def test_too_few_pieces_are_refused():
    with pytest.raises(UserError, match=r"--nbpe: 5 must be at least 10, .* and 5 symbols"):
        train_bpe(["ABCDE"], 5, ["<noise>"])
