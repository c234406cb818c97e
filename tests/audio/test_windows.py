"""Cutting at pauses."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet_plugin.audio.join import join_utterances
from espnet_plugin.audio.windows import WindowConf, energies, pauses, windows
from espnet_plugin.errors import UserError

FS = 1000


def speech(seconds: float, rng) -> np.ndarray:
    return (0.1 * rng.standard_normal(int(seconds * FS))).astype(np.float32)


def spoken(pattern: str, rng, floor=1e-4) -> np.ndarray:
    """A tenth of a second of speech for each '#', of silence for each '.'."""
    return np.concatenate([speech(0.1, rng) * (1 if mark == "#" else floor) for mark in pattern])


@pytest.mark.parametrize("floor", [0.0, 1e-4, 0.1])
def test_pauses_by_hand(floor):
    rng = np.random.default_rng(0)
    found = pauses(energies(spoken("####...######.....####", rng, floor), FS), 0.25)
    assert np.allclose(found, [(40, 70), (130, 180)], atol=3)


def test_steady_noise_has_no_pause():
    rng = np.random.default_rng(0)
    assert pauses(energies(speech(5, rng), FS), 0.25) == []


def test_a_window_ends_in_the_middle_of_its_longest_late_pause():
    rng = np.random.default_rng(0)
    audio = spoken("####.....######....#######...####", rng)  # pauses at 0.4, 1.5 and 2.6 s
    found = list(windows([audio], FS, WindowConf.of(3.0), grid=40))
    assert [window.overlaps for window in found] == [False, False]
    assert found[1].start % 40 == 0
    assert (
        found[1].cut == found[1].start == pytest.approx(1700, abs=60)
    )  # 0.4 s comes too early, 1.5 s is longer than 2.6 s
    assert len(found[0].samples) == pytest.approx(1700, abs=40)


def test_without_a_pause_windows_overlap():
    rng = np.random.default_rng(0)
    audio = speech(10, rng)
    found = list(windows([audio], FS, WindowConf(3.0, margin=0.5), grid=40))
    assert all(window.overlaps for window in found[1:])
    for left, right in zip(found, found[1:]):
        assert right.cut - right.start == pytest.approx(500, abs=40)
        assert left.start + len(left.samples) - right.cut == 500
        assert len(left.samples) <= 3000


@settings(max_examples=30)
@given(st.integers(0, 2**32), st.text("##.", min_size=1, max_size=120), st.integers(1, 400), st.sampled_from([1, 40]))
def test_windows_cover_all_whatever_the_blocks(seed, pattern, size, grid):
    audio = spoken(pattern, np.random.default_rng(seed))
    blocks = [audio[i : i + size * 10] for i in range(0, len(audio), size * 10)]
    conf = WindowConf(2.0, pause=0.15, margin=0.3)
    found = list(windows(blocks, FS, conf, grid))
    place = 0
    for window in found:
        assert window.start % grid == 0 and window.start <= place and window.start <= window.cut
        np.testing.assert_array_equal(window.samples, audio[window.start : window.start + len(window.samples)])
        assert len(window.samples) <= 2000
        place = window.start + len(window.samples)
    assert place == len(audio)
    again = [(window.start, window.cut) for window in windows([audio], FS, conf, grid)]
    assert again == [(window.start, window.cut) for window in found]


def test_short_and_silent_audio():
    (window,) = windows([np.full(100, 0.5, np.float32)], FS, WindowConf())
    assert window.silent
    (window,) = windows([], FS, WindowConf())
    assert window.silent and len(window.samples) == 0


@pytest.mark.parametrize(
    "values, said", [((0.5,), "window_seconds: 0.5"), ((10, 11), "pause: 11"), ((10, 0.2, 3), "margin: 3")]
)
def test_impossible_options_are_told(values, said):
    with pytest.raises(UserError, match=said):
        WindowConf(*values)


def test_joined_utterances_lie_where_they_are_said_to():
    rng = np.random.default_rng(0)
    waves = [spoken(".###.", rng, 0.01), spoken("..##.", rng, 0.001), speech(0.02, rng)]
    joined, begins = join_utterances(waves, FS, [0.3, 1.0], rng)
    assert begins == pytest.approx([0, 0.8, 2.3])
    for wave, begin in zip(waves, begins):
        np.testing.assert_array_equal(joined[round(begin * FS) :][: len(wave)], wave)
    assert len(joined) == 500 + 300 + 500 + 1000 + 20
    pause = joined[500:800]
    assert pause[:50].std() == pytest.approx(1e-3, rel=0.4) and 0 < pause[-50:].std() < 4e-4
    for waves, gaps in (([], []), ([np.zeros(0)], []), ([np.ones(5)] * 2, [])):
        with pytest.raises(UserError, match="utterances to be joined"):
            join_utterances(waves, FS, gaps, rng)
