import random

import pytest
from mini_grammar import sentence


@pytest.fixture
def text(tmp_path):
    rng = random.Random(0)
    (tmp_path / "text").write_text("".join(f"u{n:03d} {sentence(rng, 'train')}\n" for n in range(300)))
    return tmp_path / "text"


def test_espnet_encodes_and_decodes_with_it(text, tmp_path, run_script):
    from espnet2.text.sentencepiece_tokenizer import SentencepiecesTokenizer
    from espnet2.text.token_id_converter import TokenIDConverter

    out = tmp_path / "bpe_unigram100"
    done = run_script("tokenizer.py", "--text", text, "--nbpe", 100, "--out", out)
    assert done.returncode == 0, done.stderr
    tokens = (out / "tokens.txt").read_text().splitlines()
    assert tokens[:2] == ["<blank>", "<unk>"] and tokens[-1] == "<sos/eos>"
    assert len(tokens) == len(set(tokens)) == 100  # <blank> and <sos/eos> stand where sentencepiece has <s> and </s>
    tokenizer = SentencepiecesTokenizer(out / "bpe.model")
    converter = TokenIDConverter(out / "tokens.txt")
    for line in text.read_text().splitlines():
        words = line.split(maxsplit=1)[1]
        ids = converter.tokens2ids(tokenizer.text2tokens(words))
        assert all(2 <= number < 99 for number in ids)  # no blank, unknown or end of sentence
        assert tokenizer.tokens2text(converter.ids2tokens(ids)) == words
    assert converter.tokens2ids(tokenizer.text2tokens("7"))[-1] == 1


def test_a_small_text_gives_fewer_tokens(tmp_path, run_script):
    (tmp_path / "text").write_text("a ONE TWO\nb TWO ONE ONE\n")
    done = run_script("tokenizer.py", "--text", tmp_path / "text", "--nbpe", 500, "--out", tmp_path / "bpe")
    assert done.returncode == 0, done.stderr
    tokens = (tmp_path / "bpe/tokens.txt").read_text().splitlines()
    assert {*"ONETW"} <= {token.lstrip("▁") or token for token in tokens} and len(tokens) < 500


def test_mistakes_end_in_one_sentence(text, tmp_path, refused):
    out = tmp_path / "bpe"
    assert "--nbpe: 10 must be at least" in refused("tokenizer.py", "--text", text, "--nbpe", 10, "--out", out)
    assert "does not exist" in refused("tokenizer.py", "--text", tmp_path / "no", "--nbpe", 50, "--out", out)
    text.write_text("a\nb\n")
    assert "has no words" in refused("tokenizer.py", "--text", text, "--nbpe", 50, "--out", out)
    assert not out.exists()
