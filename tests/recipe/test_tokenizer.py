import random

import pytest

from espnet_plugin.recipe.mini.grammar import sentence


def made_up_words(rng: random.Random, count: int) -> str:
    """Words of syllables: with enough of them, a text holds as many pieces as LibriSpeech's."""
    syllables = [c + v + e for c in "BCDFGHKLMNPRSTVW" for v in "AEIOU" for e in ("", "N", "R", "ST")]
    return " ".join("".join(rng.choices(syllables, k=rng.randint(1, 3))) for _ in range(count))


@pytest.mark.parametrize("nbpe, lines, words", [(100, 300, None), (500, 2000, 8), (5000, 4000, 10)])
def test_espnet_encodes_and_decodes_with_it(nbpe, lines, words, tmp_path, run_script):
    from espnet2.text.sentencepiece_tokenizer import SentencepiecesTokenizer
    from espnet2.text.token_id_converter import TokenIDConverter

    rng, text, out = random.Random(0), tmp_path / "text", tmp_path / f"bpe_unigram{nbpe}"
    spoken = (made_up_words(rng, words) if words else sentence(rng, "train") for _ in range(lines))
    text.write_text("".join(f"u{n:04d} {line}\n" for n, line in enumerate(spoken)))
    done = run_script("tokenizer", "--text", text, "--nbpe", nbpe, "--out", out)
    assert done.returncode == 0, done.stderr
    tokens = (out / "tokens.txt").read_text().splitlines()
    assert tokens[:2] == ["<blank>", "<unk>"] and tokens[-1] == "<sos/eos>"
    assert len(tokens) == len(set(tokens)) == nbpe  # <blank> and <sos/eos> stand where sentencepiece has <s> and </s>
    tokenizer = SentencepiecesTokenizer(out / "bpe.model")
    converter = TokenIDConverter(out / "tokens.txt")
    for line in text.read_text().splitlines():
        words = line.split(maxsplit=1)[1]
        ids = converter.tokens2ids(tokenizer.text2tokens(words))
        assert all(2 <= number < nbpe - 1 for number in ids)  # no blank, unknown or end of sentence
        assert tokenizer.tokens2text(converter.ids2tokens(ids)) == words
    assert converter.tokens2ids(tokenizer.text2tokens("7"))[-1] == 1


def test_a_small_text_gives_fewer_tokens(tmp_path, run_script):
    (tmp_path / "text").write_text("a ONE TWO\nb TWO ONE ONE\n")
    done = run_script("tokenizer", "--text", tmp_path / "text", "--nbpe", 500, "--out", tmp_path / "bpe")
    assert done.returncode == 0, done.stderr
    tokens = (tmp_path / "bpe/tokens.txt").read_text().splitlines()
    assert {*"ONETW"} <= {token.lstrip("▁") or token for token in tokens} and len(tokens) < 500


def test_mistakes_end_in_one_sentence(tmp_path, refused):
    text, out = tmp_path / "text", tmp_path / "bpe"
    text.write_text("a ONE TWO THREE FOUR\n")
    assert "--nbpe: 10 must be at least" in refused("tokenizer", "--text", text, "--nbpe", 10, "--out", out)
    assert "does not exist" in refused("tokenizer", "--text", tmp_path / "no", "--nbpe", 50, "--out", out)
    text.write_text("a\nb\n")
    assert "has no words" in refused("tokenizer", "--text", text, "--nbpe", 50, "--out", out)
    assert not out.exists()


def test_characters_and_symbols(tmp_path, run_script):
    (tmp_path / "text").write_text("a \u4f60\u597d <noise> \u4f60\nb \u597d\n")
    (tmp_path / "text.json").write_text('{"form": "nfc", "symbols": ["<noise>"]}')
    done = run_script("tokenizer", "--text", tmp_path / "text", "--token_type", "char", "--out", tmp_path / "char")
    assert done.returncode == 0, done.stderr
    tokens = (tmp_path / "char/tokens.txt").read_text().split("\n")[:-1]
    assert tokens[:3] == ["<blank>", "<unk>", "<noise>"] and {*"\u4f60\u597d", "<space>"} < {*tokens}
    assert (tmp_path / "char/symbols.txt").read_text() == "<noise>\n" and not (tmp_path / "char/bpe.model").exists()
    done = run_script("tokenizer", "--text", tmp_path / "text", "--nbpe", 30, "--out", tmp_path / "bpe")
    assert done.returncode == 0 and "<noise>" in (tmp_path / "bpe/tokens.txt").read_text().split("\n")
