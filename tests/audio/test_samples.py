"""Samples in memory."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from espnet_plugin.audio.mono import MonoAudio
from espnet_plugin.audio.samples import Samples, of_full_scale
from espnet_plugin.errors import UserError

WAVE = np.random.default_rng(0).uniform(-0.5, 0.5, 4000)


@pytest.mark.parametrize(
    "dtype, lowest",
    [("int8", -128), ("int16", -32768), ("int32", -(2**31)), ("float16", -1), ("float32", -1), (">f8", -1)],
)
def test_every_type_has_its_full_scale(dtype, lowest):
    found = of_full_scale(np.array([lowest, lowest / 2, 0]).astype(dtype))
    assert found.dtype == np.float32 and found.tolist() == [[-1.0], [-0.5], [0.0]]


def test_quiet_integers_are_not_taken_for_loud_floats():
    quiet = np.arange(-9, 10, dtype=np.int16).repeat(100)
    audio = MonoAudio(Samples(quiet, 16000), 16000)
    assert audio.notes == () and audio.samples().max() == np.float32(9 / 32768)


@given(st.integers(0, 50), st.integers(0, 50), st.floats(0.001, 0.02), st.integers(1, 3))
def test_blocks_are_parts_of_the_whole(start, length, seconds, channels):
    values = np.arange(60 * channels).reshape(60, channels) / 1000
    blocks = list(Samples(values, 2000.0).blocks(start, start + length, seconds))
    assert all(len(block) <= 40 for block in blocks)
    expected = values[start : start + length].astype(np.float32)
    np.testing.assert_array_equal(np.concatenate([np.zeros((0, channels)), *blocks]), expected)


@pytest.mark.parametrize("rate", [16000, 16000.0, np.int64(16000), np.float32(16000)])
def test_rates(rate):
    found = Samples(torch.from_numpy(WAVE), rate)
    assert (found.rate, found.frames, found.channels, found.seconds) == (16000, 4000, 1, 0.25)
    assert type(found.rate) is int


@pytest.mark.parametrize(
    "values, rate, said",
    [
        (WAVE[None], 16000, r"samples: an array of shape \(1, 4000\) must be \(n,\) or \(n, channels\), transpose it"),
        (np.stack([WAVE, WAVE]), 16000, "transpose it"),
        (WAVE[None, :, None], 16000, r"shape \(1, 4000, 1\) must be \(n,\) or \(n, channels\)$"),
        (np.zeros((9, 0)), 16000, r"shape \(9, 0\)"),
        (np.float32(1), 16000, r"shape \(\) must be"),
        (np.zeros(9, np.uint8), 16000, "samples: uint8 must be one of float16"),
        (np.zeros(9, np.int64), 16000, "samples: int64 must be"),
        (np.zeros(9, bool), 16000, "samples: bool must be"),
        (np.zeros(9, complex), 16000, "samples: complex128 must be"),
        (None, 16000, "samples: object must be"),
        ([[1.0], [1.0, 2.0]], 16000, "samples: a list is no array of numbers"),
        (WAVE, "16000", "rate: '16000' must be a whole number from 2,000 to 768,000 Hz"),
        (WAVE, 16000.5, "rate: 16000.5 must"),
        (WAVE, 0, "rate: 0 must"),
        (WAVE, True, "rate: True must"),
        (WAVE, float("nan"), "rate: nan must"),
        (WAVE, 10**400, "rate: 1000"),
        (WAVE, (16000, 8000), "rate: "),
        (np.array([0.1, np.nan]), 16000, "audio 'samples' has numbers that are infinite or none"),
        (np.array([0.1, 1e300]), 16000, "audio 'samples' has numbers that are infinite"),
    ],
)
def test_what_are_no_samples_is_told(values, rate, said):
    with pytest.raises(UserError, match=said) as error:
        Samples(values, rate)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("values, said", [(np.zeros(0), "has no samples"), (np.zeros(9), "is silent")])
def test_what_nobody_can_hear_is_told_by_its_name(values, said):
    with pytest.raises(UserError, match=f"^audio 'samples' {said}"):
        MonoAudio(Samples(values, 16000), 16000)
