"""The client's beam search and hotwords on an exported folder: the hypotheses and times are those of this package's search."""

import io
import re

import pytest
import sentencepiece

from espnet_plugin.asr.inference.data import grouped
from espnet_plugin.asr.inference.loading import TrainedModel
from espnet_plugin.asr.inference.recognise import Recogniser
from espnet_plugin.asr.inference.search import SearchConf
from espnet_plugin.audio.mono import read_mono
from espnet_plugin.deploy.client import ClientSearch, decode, open_folder
from espnet_plugin.deploy.sherpa import export
from espnet_plugin.errors import UserError

pytest.importorskip("sherpa_onnx", reason="sherpa-onnx is not installed: pip install 'espnet-todm[export]'")

HOTWORDS = "JAB\nDAD :3.0\nEBB BED :2\n\nHE\n"


@pytest.fixture(scope="module")
def exported(build, tmp_path_factory):
    """A model over pieces of a tokenizer, and its folder. It says <unk> now and then, which both pass over."""
    folder, pieces = tmp_path_factory.mktemp("search"), io.BytesIO()
    sentences = iter(["JAB A DAD", "EBB BED HE", "CAB FED J", "A B C D E F G H I J"] * 20)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=sentences, model_writer=pieces, vocab_size=24, hard_vocab_limit=False, minloglevel=2
    )
    (folder / "bpe.model").write_bytes(pieces.getvalue())
    spelling = sentencepiece.SentencePieceProcessor(model_file=str(folder / "bpe.model"))
    own = [spelling.id_to_piece(i) for i in range(3, spelling.get_piece_size())]
    changes = dict(bpemodel=str(folder / "bpe.model"), token_list=["<blank>", "<unk>", *own, "<sos/eos>"])
    model_conf = dict(joint_space_size=20, transducer_conf=dict(loss="full", rnnt_type="modified"))
    model, args = build(model_conf=model_conf, **changes)
    model.joint_network.lin_out.weight.mul_(0.3)  # unsure, so that beams differ
    model.joint_network.lin_out.bias[1] = 0.5
    export(model, folder / "size", bpemodel=folder / "bpe.model")
    (folder / "hot.txt").write_text(HOTWORDS)
    return TrainedModel(model, args), folder


def symbols(text: list[str]) -> list[str]:
    return [token.replace(" ", "\u2581") for token in text]  # as the client writes them


def test_hypotheses_times_and_hotwords_are_the_clients(exported, an4_wavs):
    trained, folder = exported
    wavs, said = an4_wavs[:6], []
    for beam, hot in ((2, None), (4, None), (4, folder / "hot.txt")):
        client = decode(folder / "size", wavs, search=ClientSearch(beam, hot, hotwords_score=1.2))
        conf = SearchConf(beam_size=beam, hotwords_file=hot and str(hot), hotwords_score=1.2)
        recogniser, ours = Recogniser(trained, conf), {}
        for batch in grouped(((str(i), read_mono(path, 16000)) for i, path in enumerate(wavs)), 16000 * 60):
            ours |= recogniser(batch)
        for i in range(len(wavs)):
            hypothesis = ours[str(i)][0].hypothesis
            assert [trained.model.token_list[token] for token in hypothesis.tokens] == symbols(client.tokens[i])
            assert [0.04 * frame for frame in hypothesis.frames] == pytest.approx(client.times[i], abs=1e-4)
        said.append(client.texts)
    assert len(set(map(tuple, said))) == 3 and all(
        len(text) > 5 for text in said[0]
    )  # so that agreement means something


def test_hotwords_are_split_as_our_tokenizer_splits_them(exported):
    trained, folder = exported
    listed = dict(line.split("\t") for line in (folder / "size" / "bpe.vocab").read_text().splitlines())
    assert set(trained.model.token_list[2:-1]) <= set(listed) and all(
        map(float, [v for v in listed.values() if v != "0"])
    )
    readme = (folder / "size" / "README.md").read_text()
    assert re.search(
        r"--decoding-method=modified_beam_search.*--hotwords-file=hotwords.txt.*--bpe-vocab=bpe.vocab", readme
    )
    assert not open_folder(folder / "size").streaming  # sums hold


def test_a_folder_without_pieces_says_nothing_of_hotwords_and_they_are_refused(build, an4_wavs, tmp_path):
    export(build()[0], tmp_path / "size")
    assert "otwords" not in (tmp_path / "size" / "README.md").read_text()
    (tmp_path / "hot.txt").write_text("A\n")
    with pytest.raises(UserError, match=r"bpe.vocab' does not exist"):
        decode(tmp_path / "size", an4_wavs[:1], search=ClientSearch(4, tmp_path / "hot.txt"))
