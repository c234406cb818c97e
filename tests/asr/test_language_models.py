"""Language models: n-grams by hand and against KenLM itself, ESPnet's step by step against themselves from the beginning."""

import argparse
import math
from types import SimpleNamespace

import pytest
import torch
import yaml
from espnet2.tasks.lm import LMTask
from tiny import TOKENS, build

from espnet_plugin.asr.inference.language_models import TokenNgram, WordNgram, load_lm, ngram_of
from espnet_plugin.errors import UserError

pytest.importorskip("kenlm", reason="KenLM is not installed: pip install 'espnet-todm[lm]'")

ARPA = """\\data\\
ngram 1=6
ngram 2=3

\\1-grams:
-1.2\t<unk>
-99\t<s>\t-0.4
-0.5\t</s>
-0.6\t{a}\t-0.2
-0.7\t{b}\t-0.1
-0.8\t{d}

\\2-grams:
-0.1\t<s> {a}
-0.3\t{a} {b}
-0.15\t{b} </s>

\\end\\
"""


def arpa(path, a, b, d):
    path.write_text(ARPA.format(a=a, b=b, d=d), encoding="utf-8")
    return path


def through(model, sequence):
    """Rows behind each prefix of a sequence, and the last state."""
    states, rows = [None], []
    for length in range(len(sequence) + 1):
        row, states = model.score([tuple(sequence[:length])], states)
        rows.append(row[0])
    return torch.stack(rows), states


@pytest.fixture(scope="module")
def model():
    return build().eval()


def test_an_ngram_of_tokens_by_hand(model, tmp_path):
    ngram = ngram_of(arpa(tmp_path / "a.arpa", "\u2581A", "B", "\u2581D"), model)
    assert isinstance(ngram, TokenNgram)
    a, b, c, d = (TOKENS.index(token) for token in ("\u2581A", "B", "C", "\u2581D"))
    rows, _ = through(ngram, [a, b, d])
    expected = {
        (0, a): -0.1,
        (0, b): -0.4 - 0.7,
        (0, c): -0.4 - 1.2,
        (1, b): -0.3,
        (1, d): -0.2 - 0.8,
        (2, b): -0.1 - 0.7,
    }
    expected |= {(3, a): -0.6, (2, len(TOKENS) - 1): -0.15}  # no back-off weight is 0; <sos/eos> is the end
    for place, decimal in expected.items():
        assert float(rows[place]) == pytest.approx(math.log(10) * decimal, abs=1e-4)


def test_an_ngram_of_words_by_hand(tmp_path):
    pieces = ["", "", " HE", "L", "P", " I", "T", ""]
    model = SimpleNamespace(token_list=["<blank>", "<unk>", "\u2581HE", "L", "P", "\u2581I", "T", "<sos/eos>"])
    model.piece, model.blank_id, model.silent, model.sos, model.eos = pieces.__getitem__, 0, (1,), 7, 7
    model.sym_space = "<space>"
    ngram = ngram_of(arpa(tmp_path / "a.arpa", "HELP", "IT", "I"), model)
    assert isinstance(ngram, WordNgram)
    rows, states = through(ngram, [2, 3, 4, 5, 6])  # HE L P, I T
    within = {0: 0.0, 1: -0.4 - 1.2, 2: -0.4 - 1.2, 3: -0.1}  # HE and HEL are no words of it, HELP is
    within |= {4: -0.2 - 0.8, 5: -0.3}
    for place, decimal in within.items():
        begins, goes_on = rows[place, [2, 5]].tolist(), rows[place, [3, 4, 6]].tolist()
        assert begins == pytest.approx([math.log(10) * decimal] * 2, abs=1e-4) and goes_on == [0, 0, 0]
    assert ngram.end(states) == pytest.approx([math.log(10) * -0.3], abs=1e-4)


LETTERS = [chr(letter) for letter in range(ord("A"), ord("Z") + 1)]
CHINESE = [chr(letter) for letter in range(0x4E00, 0x4E40)]
PIECES = ["\u2581A", "B", "C", "\u2581D", "E"]


@pytest.mark.parametrize(
    "tokens, words, kind",
    [
        (["<space>", *LETTERS, "'"], [*LETTERS, *(f"{a}{b}" for a in LETTERS for b in LETTERS)], WordNgram),
        (["<space>", *LETTERS, "'"], [*LETTERS, "GO", "ON"], WordNgram),  # no space among them
        (["<space>", *LETTERS, "'"], ["<space>", *LETTERS], TokenNgram),
        (CHINESE, [*CHINESE, *(f"{a}{b}" for a in CHINESE[:9] for b in CHINESE[:9])], WordNgram),
        (CHINESE, CHINESE[1:], TokenNgram),
        (PIECES, PIECES[:2], TokenNgram),  # of a text in which most were not seen
        (PIECES, ["A", "AB", "B"], WordNgram),
    ],
)
def test_words_of_one_letter_make_no_ngram_of_tokens(tmp_path, tokens, words, kind):
    model = SimpleNamespace(token_list=["<blank>", "<unk>", *tokens, "<sos/eos>"], piece=lambda index: "")
    model.blank_id, model.silent, model.sos, model.eos, model.sym_space = (
        0,
        (1,),
        len(tokens) + 2,
        len(tokens) + 2,
        "<space>",
    )
    rows = "".join(f"-2.5\t{word}\t-0.1\n" for word in ["<unk>", "<s>", "</s>", *words])
    counts, bigram = f"ngram 1={len(words) + 3}\nngram 2=1\n", f"\\2-grams:\n-0.1\t{words[0]} {words[1]}\n"
    path = tmp_path / "a.arpa"
    path.write_text(f"\\data\\\n{counts}\n\\1-grams:\n{rows}\n{bigram}\n\\end\\\n", encoding="utf-8")
    assert type(ngram_of(path, model)) is kind


def test_an_ngram_is_kenlms_own_score_of_a_sentence(model, tmp_path):
    ngram = ngram_of(arpa(tmp_path / "a.arpa", "\u2581A", "B", "\u2581D"), model)
    for sequence in torch.randint(2, 6, (20, 7), generator=torch.Generator().manual_seed(0)).tolist():
        rows, _ = through(ngram, sequence)
        total = sum(float(rows[place, symbol]) for place, symbol in enumerate(sequence))
        spoken = " ".join(TOKENS[symbol] for symbol in sequence)
        assert total == pytest.approx(math.log(10) * ngram.ngram.score(spoken, bos=True, eos=False), abs=1e-3)


@pytest.mark.parametrize(
    "content, said",
    [
        (None, "does not exist"),
        ("nothing\n", "cannot be read as ARPA or KenLM's binary"),
        (ARPA.format(a="x", b="y", d="z"), "has words such as 'x', none in the letters of the model"),
    ],
)
def test_ngrams_that_do_not_fit_are_told(model, tmp_path, content, said):
    path = tmp_path / "a.arpa"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError) as error:
        ngram_of(path, model)
    assert said in str(error.value) and str(path) in str(error.value) and "\n" not in str(error.value)


CONFS = [("seq_rnn", dict(unit=6, nlayers=2, rnn_type="lstm")), ("seq_rnn", dict(unit=6, nlayers=1, rnn_type="gru"))]
CONFS.append(("transformer", dict(embed_unit=6, att_unit=8, head=2, unit=9, layer=2, dropout_rate=0.0)))


def write_lm(folder, lm, conf, tokens=TOKENS):
    """A language model as ESPnet's training leaves it."""
    args = dict(lm=lm, lm_conf=conf, token_list=tokens, model="lm", model_conf={}, init=None)
    torch.manual_seed(1)
    torch.save(LMTask.build_model(argparse.Namespace(**args)).state_dict(), folder / "lm.pth")
    (folder / "config.yaml").write_text(yaml.safe_dump(args))
    return folder / "config.yaml", folder / "lm.pth"


@pytest.mark.parametrize("lm, conf", CONFS)
def test_espnets_models_go_on_where_they_were(model, tmp_path, lm, conf):
    """Prefixes side by side, each with the state of its own, against the whole sequence at once."""
    neural = load_lm(model, *write_lm(tmp_path, lm, conf))
    sequences = torch.tensor([[2, 3, 4, 2], [5, 3, 3, 2]])
    with torch.no_grad():
        whole = neural.lm(torch.nn.functional.pad(sequences, (1, 0), value=model.sos), None)[0].log_softmax(-1)
        states = [None, None]
        for length in range(5):
            rows, states = neural.score([tuple(row[:length]) for row in sequences.tolist()], states)
            assert torch.allclose(rows, whole[:, length], atol=1e-5)


def test_language_models_that_do_not_fit_are_told(model, tmp_path):
    config, weights = write_lm(tmp_path, *CONFS[0], tokens=[*TOKENS[:-2], "X", "<sos/eos>"])
    for args, said in [
        ((config, weights), "7 tokens that are not the model's 7"),
        ((config, tmp_path / "none.pth"), "lm_file: "),
        ((tmp_path / "none.yaml", weights), "lm_train_config: "),
        ((config, config), "cannot be loaded"),
    ]:
        with pytest.raises(UserError) as error:
            load_lm(model, *args)
        assert said in str(error.value) and "\n" not in str(error.value)
