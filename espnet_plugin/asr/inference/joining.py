"""Answers to overlapping windows as one answer: no symbol is lost and none is doubled."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from espnet_plugin.common.scripts import may_part
from espnet_plugin.transducer.hypothesis import Hypothesis


@dataclass(frozen=True)
class Spelling:
    """How a model's symbols are written. Args: pieces: of each symbol by its id, with the spaces in it."""

    pieces: Sequence[str]

    def parts(self, left: int, right: int) -> bool:
        """Whether a word ends between two symbols, one behind the other."""
        before, after = self.pieces[left][-1], self.pieces[right][0]
        return before == " " or after == " " or may_part(before, after)


def join(left: Hypothesis, right: Hypothesis, cut: int, reach: int, most_apart: int, spelling: Spelling) -> Hypothesis:
    """Join two answers at a symbol on which both agree.

    Both have heard what lies around the cut, with little context at their ends. Of the symbols that both have near it at about the same
    times, the one nearest to it is where the left answer gives way to the right one. Where they agree on nothing, see `sides`.

    Args:
        left, right: frames counted from the beginning of the audio.
        cut: frame.
        reach: frames on either side of the cut in which both are to be trusted.
        most_apart: frames between the times at which the two may have the same symbol.
        spelling: tells where words begin.
    """
    rows, columns = (
        [i for i, frame in enumerate(heard.frames) if abs(frame - cut) <= reach] for heard in (left, right)
    )
    agreed = agreement(left, right, rows, columns, most_apart)
    if agreed:
        i, j = min(agreed, key=lambda pair: abs(left.frames[pair[0]] + right.frames[pair[1]] - 2 * cut))
    else:
        i, j = sides(left, right, cut, reach, spelling)
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


def sides(left: Hypothesis, right: Hypothesis, cut: int, reach: int, spelling: Spelling) -> tuple[int, int]:
    """Places behind the left answer's part and of the right one's first symbol: each keeps the words that it has begun on its side.

    What the right answer goes on with for longer than `reach` behind the cut before a word begins is no rest of a word, but a text whose
    words nobody can tell. It is too much to lose, so then both are divided at the cut.
    """
    at_cut = first_from(left, cut), first_from(right, cut)
    i, j = (first_word(heard, place, spelling) for heard, place in zip((left, right), at_cut))
    rest = right.frames[at_cut[1] : j]
    return at_cut if rest and rest[-1] > cut + reach else (i, j)


def first_from(hypothesis: Hypothesis, cut: int) -> int:
    """Place of the first symbol from frame `cut` on; behind the last one, where there is none."""
    return next((i for i, frame in enumerate(hypothesis.frames) if frame >= cut), len(hypothesis.frames))


def first_word(hypothesis: Hypothesis, place: int, spelling: Spelling) -> int:
    """Place of the first symbol from `place` on that begins a word, as an answer's first one does; behind the last one, where none does."""
    tokens = hypothesis.tokens
    places = range(place, len(tokens))
    return next((i for i in places if i == 0 or spelling.parts(tokens[i - 1], tokens[i])), len(tokens))


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
