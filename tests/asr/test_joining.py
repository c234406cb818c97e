"""Answers to overlapping windows: nothing is lost, nothing is doubled."""

import random

from hypothesis import given
from hypothesis import strategies as st

from espnet_plugin.asr.inference.joining import follow, join
from espnet_plugin.transducer.hypothesis import Hypothesis


def hypothesis(*pairs) -> Hypothesis:
    tokens, frames = zip(*pairs) if pairs else ((), ())
    return Hypothesis(tuple(tokens), tuple(frames), (-0.5,) * len(tokens), -1.0)


def tokens(left, right, cut):
    return join(left, right, cut, 20, 3, lambda token: token % 2 == 0).tokens


def test_joins_by_hand():
    # Even symbols begin a word. Both heard 4 and 6 around the cut at frame 50; the left one broke off in 8, the right one began in 2.
    left = hypothesis((2, 10), (4, 45), (6, 52), (7, 60))
    right = hypothesis((9, 41), (4, 46), (6, 51), (8, 61), (10, 70))
    assert tokens(left, right, 50) == (2, 4, 6, 8, 10)
    joined = join(left, right, 50, 20, 3, lambda token: True)
    assert joined.frames == (10, 45, 51, 61, 70) and joined.score == -2.0 and len(joined.log_probs) == 5
    # They agree on nothing: each keeps the words that it began on its side.
    left = hypothesis((2, 10), (4, 48), (5, 51), (6, 53))
    right = hypothesis((8, 47), (9, 50), (10, 55), (12, 60))
    assert tokens(left, right, 50) == (2, 4, 5, 10, 12)
    # The same symbol at another time is another one.
    assert tokens(hypothesis((2, 20), (2, 40)), hypothesis((2, 60)), 50) == (2, 2, 2)
    assert tokens(hypothesis(), hypothesis((3, 52)), 50) == ()  # the end of a word whose beginning nobody heard
    assert tokens(hypothesis((2, 1)), hypothesis(), 50) == (2,)
    assert follow(hypothesis((2, 1)), hypothesis((3, 60))).tokens == (2, 3)


@given(st.integers(0, 2**32), st.integers(5, 400), st.integers(0, 2))
def test_windows_of_one_sequence_give_it_back(seed, count, jitter):
    """Each window hears what is in it at about the right time, and something wrong near its ends."""
    rng = random.Random(seed)
    frame, truth = 20, []
    for _ in range(count):
        truth.append((rng.randrange(8), frame))
        frame += rng.randint(6, 20)
    length, margin, whole = 200, 40, hypothesis()
    for start in range(0, frame, length - 2 * margin):
        heard = [
            (token, at + rng.randint(-jitter, jitter)) for token, at in truth if start + 10 <= at < start + length - 10
        ]
        if start and rng.random() < 0.5:
            heard.insert(0, (rng.randrange(8), start + rng.randint(0, 4)))
        if start + length < frame and rng.random() < 0.5:
            heard.append((rng.randrange(8), start + length - 1))
        heard = hypothesis(*heard)
        whole = join(whole, heard, start + margin, 30, 5, lambda token: True) if start else heard
    assert list(whole.tokens) == [token for token, _ in truth]
