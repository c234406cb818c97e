"""What is wrong with audio is mended and said, or refused."""

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given
from hypothesis import strategies as st

from espnet_plugin.audio.checks import Survey, treatment
from espnet_plugin.audio.mono import MonoAudio, read_mono
from espnet_plugin.audio.source import Recording
from espnet_plugin.errors import UserError

RNG = np.random.default_rng(0)
NOISE = RNG.standard_normal((4000, 2)).clip(-4, 4).astype(np.float32) / 8


def heard(wave, rate=16000, fs=16000):
    """Samples and notes of (n, C)."""
    wave = np.asarray(wave, np.float32)
    found = treatment(Survey.of([wave[:70], wave[70:]], wave.shape[1]), rate, fs)
    return found.mono(wave), found.notes


def test_proper_audio_is_left_alone():
    wave, notes = heard(NOISE)
    np.testing.assert_array_equal(wave, NOISE.mean(axis=1))
    assert notes == ()


@pytest.mark.parametrize(
    "factor, scale", [(1.0, 1.0), (4.0, None), (2.0**15, 2.0**15), (2.0**23, 2.0**23), (300.0, 2.0**15)]
)
def test_scales(factor, scale):
    wave, notes = heard(NOISE[:, :1] * factor)
    peak = np.abs(NOISE[:, 0]).max() * factor
    np.testing.assert_allclose(wave, NOISE[:, 0] * factor / (scale or peak), rtol=1e-5)
    assert len(notes) == (factor > 1)
    if factor > 10:
        assert "at the scale of" in notes[0]


@pytest.mark.parametrize(
    "wave, said",
    [
        (np.zeros((100, 1)), "is silent"),
        (np.full((100, 2), 0.3), "is silent"),  # a constant
        (RNG.integers(-1, 2, (100, 1)) / 32768, "is silent"),  # dither
        (NOISE * 1e12, r"samples of up to .*, must be from -1 to 1"),
        (np.zeros((0, 1)), "has no samples"),
    ],
)
def test_what_nobody_can_hear_is_refused(wave, said):
    with pytest.raises(UserError, match=said):
        heard(wave)


def test_channels_that_cancel_each_other_are_noticed():
    one = NOISE[:, 0]
    wave, notes = heard(np.stack([0.5 * one, -0.55 * one], axis=1))
    np.testing.assert_array_equal(wave, np.float32(-0.55) * one)
    assert "opposite phases" in notes[0]
    for other in (np.zeros_like(one), NOISE[:, 1], one):  # one channel silent, two speakers, the same twice
        assert heard(np.stack([one, other], axis=1))[1] == ()


def test_a_lower_rate_is_said_with_what_to_do():
    _, notes = heard(NOISE, rate=8000)
    assert "8000 Hz for a model of 16000 Hz" in notes[0] and "--bandwidth_augment" in notes[0]
    assert heard(NOISE, rate=48000)[1] == ()


@given(st.lists(st.integers(0, 900), max_size=6), st.integers(1, 3))
def test_measures_do_not_depend_on_blocks(cuts, channels):
    wave = np.random.default_rng(len(cuts)).standard_normal((900, channels)).astype(np.float32) + 0.5
    one, many = Survey.of([wave], channels), Survey.of(np.split(wave, sorted(cuts)), channels)
    assert (one.frames, one.peak, one.span) == (many.frames, many.peak, many.span)
    np.testing.assert_allclose((*one.powers, one.mixed), (*many.powers, many.mixed), rtol=1e-6)
    np.testing.assert_allclose(one.powers, wave.var(axis=0), rtol=1e-4)
    np.testing.assert_allclose(one.mixed, wave.mean(axis=1).var(), rtol=1e-4)


def test_pieces_channels_and_speeds(tmp_path):
    soundfile.write(tmp_path / "a.wav", NOISE, 8000, subtype="FLOAT")
    with Recording(str(tmp_path / "a.wav")) as recording:
        piece = MonoAudio(recording, 16000, 0.1, 0.3, channel=1, speed=1.1)
        expected = soxr.resample(NOISE[800:2400, 1], 8800, 16000)
        np.testing.assert_allclose(piece.samples(), expected, atol=1e-6)
        assert len(np.concatenate(list(piece.blocks()))) == pytest.approx(len(expected), abs=1)
        np.testing.assert_allclose(np.concatenate(list(piece.blocks()))[: len(expected)], expected, atol=1e-3)
        assert piece.seconds == pytest.approx(0.2 / 1.1)
        assert MonoAudio(recording, 8000, 0.4, 0.9).seconds == pytest.approx(0.1)  # it may end a little late
        for start, end, channel, said in (
            (0.1, 1.2, None, "has 0.500 s, a piece from 0.1 to 1.2 s is not in it"),
            (0.3, 0.1, None, "a piece from 0.3 to 0.1 s is not in it"),
            (0.0, -1.0, 2, "has 2 channels, so none of number 2"),
            (0.5, 0.5, None, "a.wav' has no samples"),
        ):
            with pytest.raises(UserError, match=said):
                MonoAudio(recording, 8000, start, end, channel)


def test_unusable_audio_is_named(tmp_path):
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 16000)
    soundfile.write(tmp_path / "silent.wav", np.zeros(100), 16000)
    soundfile.write(tmp_path / "short.wav", np.array([0.1, -0.1]), 96000)
    for name, value in (("nan.wav", np.nan), ("inf.wav", np.inf)):
        soundfile.write(tmp_path / name, np.array([0.1, value]), 16000, subtype="FLOAT")
    for name, said in (
        ("empty.wav", "has no samples"),
        ("silent.wav", "is silent"),
        ("short.wav", "has no samples at 16000 Hz"),
        ("nan.wav", "has samples that are infinite or no numbers"),
        ("inf.wav", "has samples that are infinite or no numbers"),
    ):
        with pytest.raises(UserError, match=f"{name}' {said}"):
            read_mono(tmp_path / name, 16000)
