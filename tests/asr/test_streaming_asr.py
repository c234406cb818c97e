"""Streaming recognition finds the words of recognition of the whole."""

import argparse

import pytest
import torch

from espnet_plugin.asr.inference.data import AudioBatch
from espnet_plugin.asr.inference.extract import extract
from espnet_plugin.asr.inference.loading import TrainedModel
from espnet_plugin.asr.inference.recognise import greedy
from espnet_plugin.asr.inference.streaming import StreamingRecogniser, look_ahead_ms
from espnet_plugin.asr.training.task import TODMTask
from espnet_plugin.errors import UserError
from espnet_plugin.transducer.greedy import greedy_hypotheses

TOKENS = ["<blank>", "<unk>", "\u2581A", "B", "C", "\u2581D", "<sos/eos>"]


def build(decoder="stateless", **changes):
    torch.manual_seed(0)
    none = dict(specaug=None, normalize=None, preencoder=None, postencoder=None, init=None, input_size=None)
    none |= {f"{part}_conf": {} for part in ("frontend", "specaug", "normalize", "ctc", "model")} | changes
    space = dict(depths=[1, 2], ffn_dims=[8, 16], directions=["forward", "bidirectional"])
    encoder = dict(d_model=8, num_heads=4, num_modes=2, num_layers=2, dt_max=0.5, search_space=space)
    recurrent = dict(rnn_type="lstm", num_layers=1, hidden_size=8)
    args = argparse.Namespace(
        token_list=TOKENS,
        frontend="kaldi_fbank",
        encoder="mhssm_supernet",
        encoder_conf=encoder,
        decoder=decoder,
        decoder_conf=recurrent if decoder == "transducer" else dict(embed_dim=8),
        joint_net_conf=dict(joint_space_size=8),
        model="todm",
        init_param=[],
        **none,
    )
    model = TODMTask.build_model(args)
    joiner = model.joint_network  # many symbols are to be found
    for layer in (joiner.lin_enc, joiner.lin_dec, joiner.lin_out):
        torch.nn.init.normal_(layer.weight)
    torch.nn.init.zeros_(joiner.lin_out.bias)
    return model.eval(), args


@pytest.mark.parametrize("decoder", ["stateless", "transducer"])
def test_words_are_those_of_the_whole_and_grow(decoder):
    model, args = build(decoder)
    model, _ = extract(TrainedModel(model, args), model.search_space.resolve("max_forward"))
    wave = 0.1 * torch.randn(20000)
    batch = AudioBatch(["u"], wave[None], torch.tensor([20000]))
    expected = greedy(model, batch, 16000)
    assert len(expected["u"]) > 10
    for chunk_ms in (10, 35, 320, 5000):
        recogniser = StreamingRecogniser(model)
        for chunk in wave.split(16 * chunk_ms):
            recogniser.feed(chunk)
        assert recogniser.finish() == expected["u"]
        whole = (*model.encode(wave[None], batch.lengths), model.decoder, model.joint_network)
        assert recogniser.hypothesis.frames == greedy_hypotheses(*whole, silent=model.silent)[0].frames
    recogniser, texts = StreamingRecogniser(model), [""]
    for part in wave.split(1600):
        texts.append(recogniser.feed(part))
    texts.append(recogniser.finish())
    assert all(after.startswith(before) for before, after in zip(texts, texts[1:]))
    assert texts[-1] == expected["u"] and len(set(texts)) > 3


def test_no_audio_has_no_words():
    model, args = build()
    model, _ = extract(TrainedModel(model, args), model.search_space.min)
    assert StreamingRecogniser(model).finish() == ""


def test_look_ahead_by_hand():
    """An encoder frame of 40 ms needs 7 frames, the last of which ends 77.5 ms after the start of the first one's 10 ms."""
    trained = TrainedModel(*build())
    assert look_ahead_ms(extract(trained, trained.model.search_space.min).model) == 37.5


def test_models_that_need_whole_utterances_are_refused():
    model, args = build()
    with pytest.raises(UserError, match="extract a size"):
        StreamingRecogniser(model)
    both, _ = extract(TrainedModel(model, args), model.search_space.max)
    with pytest.raises(UserError, match="bidirectional"):
        StreamingRecogniser(both)
    model, args = build(normalize="utterance_mvn")
    mean, _ = extract(TrainedModel(model, args), model.search_space.min)
    with pytest.raises(UserError, match="normalize UtteranceMVN needs whole utterances"):
        StreamingRecogniser(mean)
