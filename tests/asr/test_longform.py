"""Audio of any length and number: windows, batches, streams."""

from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from kaldialign import edit_distance
from tiny import arguments, build

from espnet_plugin.asr.inference.extract import extract
from espnet_plugin.asr.inference.loading import TrainedModel
from espnet_plugin.asr.inference.longform import LongForm
from espnet_plugin.asr.inference.recognise import Recogniser
from espnet_plugin.audio.mono import MonoAudio
from espnet_plugin.audio.samples import Samples
from espnet_plugin.audio.source import Recording
from espnet_plugin.audio.windows import Window, WindowConf
from espnet_plugin.errors import UserError
from espnet_plugin.transducer.hypothesis import Hypothesis

FS = 16000


def talkative(size: str) -> Recogniser:
    """A tiny model that says much."""
    space = dict(ffn_dims=[8], directions=["bidirectional", "forward"])
    conf = dict(encoder_conf=dict(d_model=8, num_heads=4, num_modes=2, num_layers=2, search_space=space))
    model = build(3, **conf).eval().requires_grad_(False)
    joiner = model.joint_network
    for layer in (joiner.lin_enc, joiner.lin_dec, joiner.lin_out):
        torch.nn.init.normal_(layer.weight)
    joiner.lin_out.bias[:] = torch.tensor([0.0, -99, 0, 0, 0, 0, -99])
    return Recogniser(extract(TrainedModel(model, arguments(**conf)), model.search_space.resolve(size)))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Bursts of noise with pauses: two files of 0.5 and 7 s, silence, and none."""
    folder, rng = tmp_path_factory.mktemp("audio"), np.random.default_rng(0)
    for name, seconds in (("short", 0.5), ("long", 7.0)):
        time = np.arange(int(seconds * FS)) / FS
        wave = 0.1 * rng.standard_normal(len(time)) * (np.sin(2 * np.pi * 0.7 * time) > -0.5) * (1 + np.sin(5 * time))
        soundfile.write(folder / f"{name}.wav", wave, FS)
    soundfile.write(folder / "silence.wav", np.zeros(FS), FS)
    return folder


def answers(recogniser, folder, names, progress=lambda seconds: None, **conf):
    def audio():
        for name in names:
            try:
                with Recording(f"{folder}/{name}.wav") as recording:
                    yield name, MonoAudio(recording, FS)
            except UserError as error:
                yield name, error

    return dict(LongForm(recogniser, WindowConf(**conf), batch_seconds=2.0)(audio(), progress))


def test_answers_come_in_order_and_bad_files_as_the_reason(files):
    recogniser, heard = talkative("max"), []
    found = answers(recogniser, files, ["short", "none", "long", "silence"], heard.append, longest=3.0, margin=0.5)
    assert list(found) == ["short", "none", "long", "silence"]
    assert "does not exist" in str(found["none"]) and "is silent" in str(found["silence"])
    assert found["short"].cuts == () and len(found["short"].best[0].hypothesis.tokens) > 1
    long = found["long"]
    assert len(long.cuts) >= 2 and long.seconds == 7
    frames = list(long.best[0].hypothesis.frames)
    assert len(frames) > 20 and frames == sorted(frames) and 0.04 * frames[-1] > 6
    assert sum(heard) == pytest.approx(7.5, abs=0.2)


def test_windows_at_pauses_say_what_they_say_alone(files, tmp_path):
    recogniser = talkative("max")
    found = answers(recogniser, files, ["long"], longest=3.0, margin=0.5)["long"]
    wave, _ = soundfile.read(files / "long.wav")
    places, expected = [0, *(round(cut * FS) for cut in found.cuts), len(wave)], []
    for begin, end in zip(
        places, places[1:]
    ):  # a window goes on to the pause's middle, the next one begins a frame's grid before it
        soundfile.write(tmp_path / "part.wav", wave[begin : end + 639], FS)
        expected += answers(recogniser, tmp_path, ["part"])["part"].best[0].hypothesis.tokens
    tokens = found.best[0].hypothesis.tokens
    agree = edit_distance(expected, list(tokens))["total"]
    assert len(tokens) > 20 and agree <= 0.2 * len(tokens)


def test_a_model_that_streams_needs_no_windows(files):
    recogniser = talkative("max_forward")
    whole = answers(recogniser, files, ["long"])["long"]
    cut = answers(recogniser, files, ["long"], longest=2.0, margin=0.5)["long"]
    assert recogniser.streams and cut.cuts == ()
    assert len(set(whole.best[0].hypothesis.tokens)) > 1 and len(whole.best[0].hypothesis.tokens) > 20
    assert (cut.best[0].text, cut.best[0].hypothesis.frames) == (whole.best[0].text, whole.best[0].hypothesis.frames)


def test_what_is_answered_is_handed_out_before_the_next_is_opened():
    """Of a model that streams: long recordings, one that cannot be heard, and a short one that waits for its batch."""
    noise = 0.1 * np.random.default_rng(0).standard_normal(FS)
    heard = MonoAudio(Samples(np.tile(noise, 3), FS), FS)
    given = [heard, UserError("none"), MonoAudio(Samples(noise, FS), FS), heard]
    done, before = [], []

    def audio():
        for place, one in enumerate(given):
            before.append(len(done))
            yield str(place), one

    for key, _ in LongForm(talkative("max_forward"), WindowConf.of(2.0))(audio()):
        done.append(key)
    assert done == ["0", "1", "2", "3"] and before == [0, 1, 2, 2]


def test_windows_of_characters_are_joined_with_the_models_space():
    tokens = ["<blank>", "A", "B", "<space>"]
    model = SimpleNamespace(token_list=tokens, piece=lambda index: tokens[index].replace("<space>", " "))
    form = LongForm(SimpleNamespace(model=model, fs=FS, seconds=0.04), WindowConf())
    left, right = Hypothesis((1,), (1,), (-0.1,), -0.1), Hypothesis((2,), (900,), (-0.1,), -0.1)
    for start in (800 * 640, 770 * 640):  # at a pause, and in windows that overlap
        window = Window(np.zeros(0), start, 800 * 640, False)
        assert form.together(left, right, window).tokens == (1, 3, 2)
