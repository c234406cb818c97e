"""Answers to overlapping windows as one answer: no symbol is lost and none is doubled."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from espnet_plugin.common.scripts import may_part, unspaced
from espnet_plugin.transducer.hypothesis import Hypothesis


@dataclass(frozen=True)
class Spelling:
    """How a model's symbols are written. Args: pieces: of each symbol by its id, with the spaces in it."""

    pieces: Sequence[str]

    @cached_property
    def space(self) -> int | None:
        """The symbol that is a space alone, None where there is none."""
        return next((index for index, piece in enumerate(self.pieces) if piece == " "), None)

    def begins_word(self, tokens: Sequence[int], place: int) -> bool:
        """Whether the symbol at a place does; the first one does."""
        if place == 0:
            return True
        before, after = self.pieces[tokens[place - 1]][-1], self.pieces[tokens[place]][0]
        return before == " " or after == " " or may_part(before, after)

    def gap(self, left: Sequence[int], right: Sequence[int], place: int) -> tuple[int, ...]:
        """The space that is missing between a text that ends with a word and what begins at a place of another, none inside a word."""
        if self.space is None or not left or place == len(right) or not self.begins_word(right, place):
            return ()
        before, after = self.pieces[left[-1]][-1], self.pieces[right[place]][0]
        return () if before == " " or after == " " or unspaced(before, after) else (self.space,)


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
        return parts(left, i, (), right, j)
    i, j = sides(left, right, cut, reach, spelling)
    return parts(left, i, spelling.gap(left.tokens[:i], right.tokens, j), right, j)


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
    """Places where the left answer's part ends and the right one's begins: each keeps the words that it has begun on its side.

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
    """Place of the first symbol from `place` on that begins a word; behind the last one, where there is none."""
    tokens = hypothesis.tokens
    return next((i for i in range(place, len(tokens)) if spelling.begins_word(tokens, i)), len(tokens))


def follow(left: Hypothesis, right: Hypothesis, spelling: Spelling) -> Hypothesis:
    """Answers to windows that are divided by a pause. Words end there, so the space between them is put in where neither has it."""
    return parts(left, len(left.tokens), spelling.gap(left.tokens, right.tokens, 0), right, 0)


def parts(left: Hypothesis, i: int, gap: tuple[int, ...], right: Hypothesis, j: int) -> Hypothesis:
    """The left answer as far as place i, a gap of probability 1 at the frame of what follows, and the right answer from place j on.

    What the right one heard earlier than the left one's last symbol comes at that symbol's frame, so that times never go back.
    """
    frames = left.frames[:i] + right.frames[j : j + len(gap)] + right.frames[j:]
    return Hypothesis(
        left.tokens[:i] + gap + right.tokens[j:],
        tuple(accumulate(frames, max)),
        left.log_probs[:i] + (0.0,) * len(gap) + right.log_probs[j:],
        left.score + right.score,
    )
