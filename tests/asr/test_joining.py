"""Answers to overlapping windows: nothing is lost, nothing is doubled."""

import random

from hypothesis import given
from hypothesis import strategies as st

from espnet_plugin.asr.inference.joining import Spelling, follow, join
from espnet_plugin.transducer.hypothesis import Hypothesis


def hypothesis(*pairs) -> Hypothesis:
    tokens, frames = zip(*pairs) if pairs else ((), ())
    return Hypothesis(tuple(tokens), tuple(frames), (-0.5,) * len(tokens), -1.0)


WORDS = Spelling([" x"] * 13)  # each symbol is a word
EVEN = Spelling([" x", "x"] * 6 + [" x"])  # even symbols begin a word


def tokens(left, right, cut):
    return join(left, right, cut, 20, 3, EVEN).tokens


LETTERS = "今天好我ABC_"
LETTER = Spelling(LETTERS.replace("_", " "))


def said(letters, frames) -> Hypothesis:
    """An answer of symbols of one letter, '_' for the space."""
    return hypothesis(*zip(map(LETTERS.index, letters), frames))


def letters(answer: Hypothesis) -> str:
    return "".join(LETTERS[token] for token in answer.tokens)


def text(left, right, cut=800):
    """What two answers with their frames give."""
    return letters(join(said(*left), said(*right), cut, 28, 7, LETTER))


def test_joins_by_hand():
    # Both heard 4 and 6 around the cut at frame 50; the left one broke off in 8, the right one began in 2.
    left = hypothesis((2, 10), (4, 45), (6, 52), (7, 60))
    right = hypothesis((9, 41), (4, 46), (6, 51), (8, 61), (10, 70))
    assert tokens(left, right, 50) == (2, 4, 6, 8, 10)
    joined = join(left, right, 50, 20, 3, WORDS)
    assert joined.frames == (10, 45, 51, 61, 70) and joined.score == -2.0 and len(joined.log_probs) == 5
    # They agree on nothing: each keeps the words that it began on its side.
    left = hypothesis((2, 10), (4, 48), (5, 51), (6, 53))
    right = hypothesis((8, 47), (9, 50), (10, 55), (12, 60))
    assert tokens(left, right, 50) == (2, 4, 5, 10, 12)
    # The same symbol at another time is another one.
    assert tokens(hypothesis((2, 20), (2, 40)), hypothesis((2, 60)), 50) == (2, 2, 2)
    assert tokens(hypothesis(), hypothesis((3, 52)), 50) == (3,)  # nothing was heard before it, so it begins a word
    assert tokens(hypothesis(), hypothesis((2, 45), (3, 52)), 50) == ()  # the rest of a word that began before the cut
    assert tokens(hypothesis((2, 1)), hypothesis(), 50) == (2,)
    assert follow(hypothesis((2, 1)), hypothesis((3, 60)), WORDS).tokens == (2, 3)


def test_languages_without_spaces_lose_nothing():
    left = "今天", (1, 2)
    assert text(left, ("好我今", (900, 902, 905))) == "今天好我今"
    assert text(left, ("好我今", (790, 802, 805))) == "今天我今"  # each symbol is a word
    assert text(("今天", (790, 802)), ("好我", (795, 815))) == "今我"


def test_a_space_of_its_own_begins_the_word_behind_it():
    left = "AB_C", (1, 2, 3, 4)
    assert text(left, ("_C_A", (899, 900, 904, 905))) == "AB_C_C_A"
    assert text(left, ("_C_A", (799, 800, 804, 805))) == "AB_C_C_A"  # the space was before the cut, the word is not


def test_a_pause_divides_words():
    left, right = said("AB_C", (1, 2, 3, 4)), said("C_A", (900, 901, 905))
    joined = follow(left, right, LETTER)
    assert letters(joined) == "AB_C_C_A" and joined.frames == (1, 2, 3, 4, 900, 900, 901, 905)
    assert joined.log_probs == (-0.5,) * 4 + (0.0,) + (-0.5,) * 3 and joined.score == -2.0
    nothing = hypothesis()
    for before, after, expected in (
        (said("A_", (1, 2)), right, "A_C_A"),
        (left, said("_C", (900, 901)), "AB_C_C"),
        (said("今天", (1, 2)), said("好我", (900, 901)), "今天好我"),  # no space between words
        (said("今天", (1, 2)), right, "今天C_A"),
        (nothing, right, "C_A"),
        (left, nothing, "AB_C"),
    ):
        assert letters(follow(before, after, LETTER)) == expected
    without = Spelling(LETTER.pieces[:-1])
    assert letters(follow(said("A", [1]), said("B", [900]), without)) == "AB"


def test_what_is_too_long_for_the_rest_of_a_word_is_kept():
    """Letters without spaces, of a script that is not known to have none: a word may be as long as the window."""
    left = "ABC", (760, 790, 815)
    assert text(left, ("CA", (795, 826))) == "ABC"  # the rest of a word that began before the cut
    assert text(left, ("CA" * 9, range(795, 1155, 20))) == "AB" + "A" + "CA" * 8


@given(st.lists(st.integers(0, 3), max_size=9), st.lists(st.integers(0, 3), max_size=9), st.integers(0, 400))
def test_each_side_of_the_cut_is_kept_in_languages_without_spaces(before, after, start):
    """Of two windows that hear nothing in common, the left one's symbols before the cut and the right one's behind it."""
    left = hypothesis(*((token, start + 5 * i) for i, token in enumerate(before)))
    right = hypothesis(*((token, 800 + 300 + 5 * i) for i, token in enumerate(after)))
    joined = join(left, right, 800, 28, 7, Spelling("今天好我"))
    assert joined.tokens == left.tokens + right.tokens


HEARD = st.lists(st.tuples(st.integers(0, 3), st.integers(60, 140)), max_size=9).map(
    lambda pairs: hypothesis(*zip([token for token, _ in pairs], sorted(frame for _, frame in pairs)))
)


@given(HEARD, HEARD, st.sampled_from([WORDS, EVEN, Spelling(" AB今")]))
def test_times_never_go_back(left, right, spelling):
    for joined in (join(left, right, 100, 28, 7, spelling), follow(left, right, spelling)):
        assert list(joined.frames) == sorted(joined.frames) and len(joined.frames) == len(joined.tokens)


def test_what_the_later_window_heard_earlier_comes_with_what_it_follows():
    left, right = hypothesis((1, 90), (2, 100), (3, 102)), hypothesis((1, 84), (2, 94), (3, 96), (4, 110))
    assert join(left, right, 101, 28, 7, WORDS).frames == (90, 100, 100, 110)


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
        whole = join(whole, heard, start + margin, 30, 5, WORDS) if start else heard
    assert list(whole.tokens) == [token for token, _ in truth]
