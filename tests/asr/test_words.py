"""Times and confidence of words."""

import math
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import arguments, build

from espnet_plugin.asr.inference.data import AudioBatch
from espnet_plugin.asr.inference.loading import TrainedModel
from espnet_plugin.asr.inference.recognise import Recogniser, greedy
from espnet_plugin.asr.inference.words import Recognised, Word, frame_seconds, recognised
from espnet_plugin.errors import UserError
from espnet_plugin.transducer.hypothesis import Hypothesis


def heard(pieces, frames, probabilities) -> Recognised:
    """Tokens as they are written, '_' for the space."""
    model = SimpleNamespace(piece=lambda index: pieces[index].replace("_", " "))
    hypothesis = Hypothesis(tuple(range(len(pieces))), tuple(frames), tuple(map(math.log, probabilities)), 0.0)
    return recognised(model, hypothesis, 0.04)


@pytest.mark.parametrize(
    "tokens, expected",
    [
        ("_A|B|_C", [("AB", 0.08, 0.24, 0.5), ("C", 0.36, 0.4, 0.7)]),
        ("A|_|C", [("A", 0.08, 0.12, 0.9), ("C", 0.2, 0.4, 0.5)]),  # a space alone belongs to the word behind it
        ("A_|_B_|C", [("A", 0.08, 0.12, 0.9), ("B", 0.2, 0.24, 0.5), ("C", 0.36, 0.4, 0.7)]),
        ("_|A_B|_", [("A", 0.08, 0.24, 0.5), ("B", 0.2, 0.24, 0.5)]),  # one symbol with two words
        ("_|_|_", []),
        (
            "今天|好|_A",
            [("今天", 0.08, 0.12, 0.9), ("好", 0.2, 0.24, 0.5), ("A", 0.36, 0.4, 0.7)],
        ),  # no space between words
        ("_今|_|好", [("今", 0.08, 0.12, 0.9), ("好", 0.2, 0.4, 0.5)]),
        ("น|ำ|ข้", [("นำ", 0.08, 0.24, 0.5), ("ข้", 0.36, 0.4, 0.7)]),
    ],
)
def test_words_by_hand(tokens, expected):
    found = heard(tokens.split("|"), (2, 5, 9), (0.9, 0.5, 0.7)).words
    assert [word.text for word in found] == [word[0] for word in expected]
    for word, (text, *numbers) in zip(found, expected):
        assert (word.start, word.end, word.confidence) == pytest.approx(tuple(numbers)), text


@given(st.lists(st.text("今天。「ーแมำA'_", min_size=1, max_size=3), max_size=12))
def test_the_text_is_that_of_the_symbols(pieces):
    """Where words end changes nothing of what is scored."""
    found = heard(pieces, range(len(pieces)), [0.5] * len(pieces))
    assert found.text == " ".join("".join(pieces).replace("_", " ").split())
    assert [word.start for word in found.words] == sorted(word.start for word in found.words)


@pytest.mark.parametrize("fs", [8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000])
def test_a_frame_lasts_four_steps_of_the_frontend(fs):
    step = int(0.01 * fs)  # samples
    assert frame_seconds(build(frontend_conf=dict(fs=fs)).eval(), fs) == pytest.approx(4 * step / fs, abs=1e-12)


@pytest.mark.parametrize("hop", [128, 147, 256, 441, 1000])
def test_a_frame_lasts_four_steps_of_another_frontend(hop):
    espnets = dict(frontend="default", frontend_conf=dict(fs=16000, hop_length=hop, n_fft=1024))
    assert frame_seconds(build(**espnets).eval(), 16000) == pytest.approx(4 * hop / 16000, abs=1e-12)


def test_a_frontend_that_advances_too_far_is_refused():
    espnets = dict(frontend="default", frontend_conf=dict(fs=16000, hop_length=2100, n_fft=1024))
    with pytest.raises(UserError, match="makes 61 frames of 8 s"):
        frame_seconds(build(**espnets).eval(), 16000)


@pytest.mark.parametrize(
    "espnets",
    [
        {},
        dict(frontend="default", frontend_conf=dict(fs=16000, hop_length=320, n_fft=512)),
        dict(frontend="default", frontend_conf=dict(fs=16000, hop_length=128, n_fft=4096, win_length=400)),
    ],
)
def test_the_shortest_audio_has_an_answer(espnets):
    """Whatever the frontend advances by, and however long its Fourier transform is."""
    model = build(**espnets).eval()
    batch = AudioBatch(("a", "b"), torch.randn(2, 800), torch.tensor([800, 1]))
    assert Recogniser(TrainedModel(model, arguments(**espnets)))(batch).keys() == {"a", "b"}


def test_answers_are_those_of_greedy_search():
    model = build(3).eval().requires_grad_(False)
    for linear, scale in (("lin_enc", 20), ("lin_dec", 3), ("lin_out", 8)):  # or it says one symbol for ever
        getattr(model.joint_network, linear).weight.mul_(scale)
    model.joint_network.lin_out.bias[:] = torch.tensor([0.0, -99, 0, 0, 0, 0, -99])
    wave = torch.linspace(0, 1, 16000) ** 4 * torch.randn(2, 16000, generator=torch.Generator().manual_seed(1))
    batch = AudioBatch(("a", "b"), wave, torch.tensor([16000, 100]))
    found = Recogniser(TrainedModel(model, arguments()))(batch)
    assert {key: answers[0].text for key, answers in found.items()} == greedy(model, batch, 16000)
    words = found["a"][0].words
    assert len(words) > 3 and all(isinstance(word, Word) and 0 < word.confidence <= 1 for word in words)
    assert [word.text for word in words] == model.words(found["a"][0].hypothesis.tokens)
    times = [time for word in words for time in (word.start, word.end)]
    assert times == sorted(times) and times[-1] <= 1
