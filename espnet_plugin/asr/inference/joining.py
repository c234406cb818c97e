"""Answers to overlapping windows as one answer: no symbol is lost and none is doubled."""

from collections.abc import Callable
from difflib import SequenceMatcher

from espnet_plugin.transducer.hypothesis import Hypothesis


def join(left: Hypothesis, right: Hypothesis, cut: int, most_apart: int, begins_word: Callable[[int], bool]) -> Hypothesis:
    """Join two answers at a symbol on which both agree.

    Both have heard what lies around the cut, with little context at their ends. Of the longest run of symbols that both have there at
    about the same times, the symbol nearest to the cut is where the one gives way to the other. Where they agree on nothing, each keeps
    the words that it has begun on its side of the cut.

    Args:
        left, right: frames counted from the beginning of the audio; `right` has heard nothing before its first symbol could be.
        cut: frame.
        most_apart: frames between the times at which the two may have the same symbol.
        begins_word: whether a symbol, by its id, begins a word.
    """
    if not right.tokens:
        return left
    late = next((i for i, frame in enumerate(left.frames) if frame >= right.frames[0] - most_apart), len(left.tokens))
    tokens, frames = left.tokens[late:], left.frames[late:]
    agreed = []
    for block in SequenceMatcher(None, tokens, right.tokens, autojunk=False).get_matching_blocks():
        for i, j in zip(range(block.a, block.a + block.size), range(block.b, block.b + block.size)):
            if abs(frames[i] - right.frames[j]) <= most_apart:
                agreed.append((-block.size, abs(frames[i] + right.frames[j] - 2 * cut), late + i, j))
    if agreed:
        _, _, i, j = min(agreed)
    else:
        i = first_word(left, cut, begins_word)
        j = first_word(right, cut, begins_word)
    return parts(left, slice(0, i), right, slice(j, None))


def first_word(hypothesis: Hypothesis, cut: int, begins_word: Callable[[int], bool]) -> int:
    """Place of the first symbol from frame `cut` on that begins a word; behind the last one, where there is none."""
    places = zip(range(len(hypothesis.tokens)), hypothesis.tokens, hypothesis.frames)
    return next((i for i, token, frame in places if frame >= cut and begins_word(token)), len(hypothesis.tokens))


def follow(left: Hypothesis, right: Hypothesis) -> Hypothesis:
    """Answers to windows that are divided by a pause."""
    return parts(left, slice(None), right, slice(None))


def parts(left: Hypothesis, of_left: slice, right: Hypothesis, of_right: slice) -> Hypothesis:
    both = ((getattr(left, name)[of_left] + getattr(right, name)[of_right]) for name in ("tokens", "frames", "log_probs"))
    return Hypothesis(*both, left.score + right.score)
