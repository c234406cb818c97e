"""Answers to overlapping windows as one answer: no symbol is lost and none is doubled."""

from collections import defaultdict
from collections.abc import Callable

from espnet_plugin.transducer.hypothesis import Hypothesis


def join(
    left: Hypothesis, right: Hypothesis, cut: int, reach: int, most_apart: int, begins_word: Callable[[int], bool]
) -> Hypothesis:
    """Join two answers at a symbol on which both agree.

    Both have heard what lies around the cut, with little context at their ends. Of the symbols that both have near it at about the same
    times, the one nearest to it is where the left answer gives way to the right one. Where they agree on nothing, each keeps the words that
    it has begun on its side of the cut.

    Args:
        left, right: frames counted from the beginning of the audio.
        cut: frame.
        reach: frames on either side of the cut in which both are to be trusted.
        most_apart: frames between the times at which the two may have the same symbol.
        begins_word: whether a symbol, by its id, begins a word.
    """
    rows, columns = (
        [i for i, frame in enumerate(heard.frames) if abs(frame - cut) <= reach] for heard in (left, right)
    )
    agreed = agreement(left, right, rows, columns, most_apart)
    if agreed:
        i, j = min(agreed, key=lambda pair: abs(left.frames[pair[0]] + right.frames[pair[1]] - 2 * cut))
    else:
        i, j = (first_word(heard, cut, begins_word) for heard in (left, right))
    return parts(left, slice(0, i), right, slice(j, None))


def agreement(
    left: Hypothesis, right: Hypothesis, rows: list[int], columns: list[int], most_apart: int
) -> list[tuple[int, int]]:
    """Places of a common subsequence: as many symbols as can be, each pair at most `most_apart` frames apart and as little as can be.

    Args:
        rows, columns: places in left and right that are looked at, without gaps.
    """

    def gain(i: int, j: int) -> int:
        apart = abs(left.frames[i] - right.frames[j])
        return 2 * most_apart + 1 - apart if left.tokens[i] == right.tokens[j] and apart <= most_apart else 0

    best: defaultdict[tuple[int, int], int] = defaultdict(int)  # from (i, j) on
    for i in reversed(rows):
        for j in reversed(columns):
            pair = gain(i, j) and gain(i, j) + best[i + 1, j + 1]
            best[i, j] = max(pair, best[i + 1, j], best[i, j + 1])
    found = []
    i, j = (places[0] if places else 0 for places in (rows, columns))
    while i in rows and j in columns:
        if gain(i, j) and best[i, j] == gain(i, j) + best[i + 1, j + 1]:
            found.append((i, j))
            i, j = i + 1, j + 1
        elif best[i, j] == best[i + 1, j]:
            i += 1
        else:
            j += 1
    return found


def first_word(hypothesis: Hypothesis, cut: int, begins_word: Callable[[int], bool]) -> int:
    """Place of the first symbol from frame `cut` on that begins a word; behind the last one, where there is none."""
    places = zip(range(len(hypothesis.tokens)), hypothesis.tokens, hypothesis.frames)
    return next((i for i, token, frame in places if frame >= cut and begins_word(token)), len(hypothesis.tokens))


def follow(left: Hypothesis, right: Hypothesis) -> Hypothesis:
    """Answers to windows that are divided by a pause."""
    return parts(left, slice(None), right, slice(None))


def parts(left: Hypothesis, of_left: slice, right: Hypothesis, of_right: slice) -> Hypothesis:
    return Hypothesis(
        left.tokens[of_left] + right.tokens[of_right],
        left.frames[of_left] + right.frames[of_right],
        left.log_probs[of_left] + right.log_probs[of_right],
        left.score + right.score,
    )
