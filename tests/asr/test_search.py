"""Which search a model gets, hotwords from files, n-best lists, and ESPnet's Speech2Text with our search."""

import dataclasses
import io

import pytest
import sentencepiece
import torch
import yaml
from tiny import arguments, build

from espnet_plugin.asr.inference.answers import entry_of, write_answers
from espnet_plugin.asr.inference.data import AudioBatch
from espnet_plugin.asr.inference.hotwords import read_hotwords
from espnet_plugin.asr.inference.loading import TrainedModel
from espnet_plugin.asr.inference.recognise import Recogniser, greedy
from espnet_plugin.asr.inference.search import SearchConf
from espnet_plugin.errors import UserError

ONE_SYMBOL = dict(joint_space_size=8, transducer_conf=dict(loss="full", rnnt_type="modified"))
REGULAR = dict(joint_space_size=8, transducer_conf=dict(loss="full"))
BOUNDED = {
    "search_type": "tsd",
    "max_sym_exp": 2,
}  # ESPnet's default goes on at a frame for as long as a model says something


def trained(model_conf, **changes) -> TrainedModel:
    """A model that says much."""
    model = build(3, model_conf=model_conf, **changes).eval().requires_grad_(False)
    for linear, scale in (("lin_enc", 20), ("lin_dec", 3), ("lin_out", 8)):
        getattr(model.joint_network, linear).weight.mul_(scale)
    model.joint_network.lin_out.bias[:] = torch.tensor([0.0, 0, 0, 0, 0, 0, -99])
    return TrainedModel(model, arguments(model_conf=model_conf, **changes))


def batch():
    wave = torch.linspace(0, 1, 16000) ** 4 * torch.randn(2, 16000, generator=torch.Generator().manual_seed(1))
    return AudioBatch(("a", "b"), wave, torch.tensor([16000, 9000]))


def test_a_beam_of_one_says_what_greedy_search_says_and_more_beams_give_more_answers():
    one = trained(ONE_SYMBOL)
    expected = greedy(one.model, batch(), 16000)
    assert {key: found[0].text for key, found in Recogniser(one)(batch()).items()} == expected
    found = Recogniser(one, SearchConf(beam_size=4, nbest=3))(batch())
    for answers in found.values():
        assert len(answers) == 3 and len({answer.hypothesis.tokens for answer in answers}) == 3
        scores = [answer.hypothesis.score / (len(answer.hypothesis.tokens) + 2) for answer in answers]
        assert scores == sorted(scores, reverse=True)
        assert all(not {0, 1} & set(answer.hypothesis.tokens) for answer in answers)  # neither blank nor <unk>


def test_a_model_of_the_regular_lattice_has_espnets_search_with_times_or_ours_where_asked():
    regular = trained(REGULAR)
    espnets = Recogniser(regular, SearchConf(beam_size=3, nbest=2, transducer_conf=BOUNDED))(batch())
    ours = Recogniser(regular, SearchConf(beam_size=3, transducer_conf={"search_type": "modified"}))(batch())
    frames = espnets["a"][0].hypothesis.frames
    assert list(frames) == sorted(frames) and len(frames) == len(espnets["a"][0].hypothesis.tokens) > 3
    assert len(espnets["a"]) == 2 and espnets["a"][0].words
    frames = ours["a"][0].hypothesis.frames
    assert list(frames) == sorted(set(frames))
    one = TrainedModel(regular.model, regular.conf)
    one.model.criterion.conf = dataclasses.replace(one.model.criterion.conf, rnnt_type="modified")
    assert Recogniser(one, SearchConf(beam_size=3))(batch()) == ours


@pytest.mark.parametrize(
    "model_conf, conf, said",
    [
        (ONE_SYMBOL, dict(transducer_conf={"search_type": "maes"}), "'maes' puts several symbols on a frame"),
        (ONE_SYMBOL, dict(transducer_conf={"search_type": "default"}), "'default' puts several symbols on a frame"),
        (ONE_SYMBOL, dict(transducer_conf={"nstep": 2}), "transducer_conf.nstep: search_type 'modified' has no such"),
        (REGULAR, dict(hotwords_file="a.txt"), "hotwords_file: ESPnet's search has none, choose transducer_conf"),
        (REGULAR, dict(beam_size=9, transducer_conf={"search_type": "maes"}), "smaller or equal to vocabulary size"),
        (ONE_SYMBOL, dict(hotwords_file="none.txt"), "hotwords_file: 'none.txt' does not exist"),
    ],
)
def test_searches_that_a_model_cannot_have_are_told(model_conf, conf, said):
    with pytest.raises(UserError) as error:
        Recogniser(trained(model_conf), SearchConf(**{"beam_size": 4} | conf))
    assert said in str(error.value) and "\n" not in str(error.value)


@pytest.fixture(scope="module")
def spelling(tmp_path_factory):
    """A sentencepiece model over A, B, C, D, and the model's options that name it."""
    path, model = tmp_path_factory.mktemp("bpe") / "bpe.model", io.BytesIO()
    sentences = iter(["A AB ABC D DB DC", "A D AB", "ACC DBB AC"] * 20)
    options = dict(vocab_size=8, model_type="unigram", character_coverage=1.0, hard_vocab_limit=False, minloglevel=2)
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=sentences, model_writer=model, **options)
    path.write_bytes(model.getvalue())
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(path))
    own = [pieces.id_to_piece(i) for i in range(3, pieces.get_piece_size())]
    return dict(bpemodel=str(path), token_list=["<blank>", "<unk>", *own, "<sos/eos>"])


@pytest.mark.parametrize(
    "line, phrase, bonus", [("DB", "DB", 2.0), (" A  D :4.5 \r", "A D", 4.5), ("DB :0", "DB", 2.0)]
)
def test_bonuses_of_hotwords(spelling, tmp_path, line, phrase, bonus):
    model = build(3, model_conf=ONE_SYMBOL, **spelling).eval()
    one, path = TrainedModel(model, arguments(model_conf=ONE_SYMBOL, **spelling)), tmp_path / "hot.txt"
    path.write_text(f"\n{line}\n", encoding="utf-8")
    graph, symbols = read_hotwords(path, one, 2.0), one.tokenizer.text2tokens(phrase)
    state, total = graph.root, 0.0
    for symbol in symbols:
        change, state = graph.step(state, one.model.token_list.index(symbol))
        total += change
    assert total + graph.finish(state) == pytest.approx(bonus * len(symbols)) and len(symbols) > 1


@pytest.mark.parametrize(
    "content, said",
    [
        (b"A\nAB x :two\n", "line 2: ':two' must be a colon and a number"),
        (b"AB :nan\n", "line 1: a bonus of nan must be below a million"),
        (b"A\nAb\n", "line 2: 'Ab' has 'b', which is not among the model's tokens"),
        (b"<blank>\n", "line 1: '<blank>' has '<blank>', which"),
        (b"\xff\n", "byte 0 is not UTF-8"),
    ],
)
def test_hotwords_that_cannot_be_are_told(spelling, tmp_path, content, said):
    model = build(3, model_conf=ONE_SYMBOL, **spelling).eval()
    (tmp_path / "hot.txt").write_bytes(content)
    with pytest.raises(UserError) as error:
        read_hotwords(tmp_path / "hot.txt", TrainedModel(model, arguments(**spelling)), 1.5)
    assert said in str(error.value) and "hot.txt" in str(error.value) and "\n" not in str(error.value)


def test_lists_are_written_as_espnet_writes_them(tmp_path):
    one = trained(ONE_SYMBOL)
    found = Recogniser(one, SearchConf(beam_size=4, nbest=3))(batch())
    entries = {key: [entry_of(answer, one.model.token_list) for answer in best] for key, best in found.items()}
    write_answers(tmp_path, {"a": entries["a"], "b": entries["b"][:2]}, 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "1best_recog",
        "2best_recog",
        "3best_recog",
        "ctm",
        "text",
    ]
    assert (tmp_path / "text").read_text() == (tmp_path / "1best_recog" / "text").read_text()
    assert [line.split()[0] for line in (tmp_path / "3best_recog" / "score").read_text().splitlines()] == ["a"]
    second = found["a"][1].hypothesis
    first_line = {
        name: (tmp_path / "2best_recog" / name).read_text().split("\n")[0] for name in ("token", "token_int", "score")
    }
    assert first_line["token_int"] == f"a {' '.join(map(str, second.tokens))}"
    assert first_line["token"].split()[1:] == [one.model.token_list[i] for i in second.tokens]
    assert float(first_line["score"].split()[1]) == pytest.approx(second.score, rel=1e-4)
    word, line = found["a"][0].words[0], (tmp_path / "ctm").read_text().split("\n")[0].split()
    assert line[:2] == ["a", "1"] and line[4] == word.text
    assert [float(line[i]) for i in (2, 3, 5)] == pytest.approx(
        [word.start, word.end - word.start, word.confidence], abs=1e-3
    )
    write_answers(tmp_path, entries, 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ctm", "text"]  # lists of before are gone


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Model directories as ESPnet reads them, of either lattice."""
    made = {}
    for name, model_conf in (("one", ONE_SYMBOL), ("regular", REGULAR)):
        made[name] = tmp_path_factory.mktemp(name)
        model, args = trained(model_conf)
        torch.save(model.state_dict(), made[name] / "model.pth")
        (made[name] / "config.yaml").write_text(yaml.safe_dump(vars(args)))
    return made


def test_speech2text_searches_as_we_do_where_the_model_emits_one_symbol_a_frame(folder):
    from espnet2.bin.asr_inference import Speech2Text

    files = [str(folder["one"] / name) for name in ("config.yaml", "model.pth")]
    found = Speech2Text(*files, token_type="char", beam_size=4, nbest=3)(batch().speech[0])
    expected = Recogniser(trained(ONE_SYMBOL), SearchConf(beam_size=4, nbest=3))(batch())["a"]
    assert [tuple(ids) for _, _, ids, _ in found] == [answer.hypothesis.tokens for answer in expected]
    assert [hyp.score for *_, hyp in found] == pytest.approx([answer.hypothesis.score for answer in expected], abs=1e-3)
    greedily = Speech2Text(*files, token_type="char", beam_size=1)(batch().speech[0])[0][2]
    assert greedily  # ESPnet's own, at most one symbol a frame too
    for conf, said in (
        ({"search_type": "maes"}, "puts several symbols on a frame"),
        ({"u_max": 9}, "has no such option"),
    ):
        with pytest.raises(UserError, match=said):
            Speech2Text(*files, token_type="char", beam_size=4, transducer_conf=conf)


def test_speech2text_leaves_other_models_to_espnet(folder):
    from espnet2.bin.asr_inference import Speech2Text

    files = [str(folder["regular"] / name) for name in ("config.yaml", "model.pth")]
    speech2text = Speech2Text(*files, token_type="char", beam_size=3, transducer_conf=BOUNDED)
    assert type(speech2text.beam_search_transducer).__name__ == "BeamSearchTransducer"
    expected = Recogniser(trained(REGULAR), SearchConf(beam_size=3, transducer_conf=BOUNDED))(batch())["a"][0]
    assert tuple(speech2text(batch().speech[0])[0][2]) == expected.hypothesis.tokens
