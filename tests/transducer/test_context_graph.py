"""Hotwords' scores, worked by hand and as a property."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from espnet_plugin.transducer.context_graph import ContextGraph


def changes(graph, symbols):
    found, state = [], graph.root
    for symbol in symbols:
        change, state = graph.step(state, symbol)
        found.append(change)
    return [*found, graph.finish(state)]


@pytest.mark.parametrize(
    "symbols, expected",
    [
        ([1, 2, 3], [1.5, 1.5, 1.5, 0]),  # a whole phrase keeps its bonus
        ([1, 2], [1.5, 1.5, -3]),  # an unfinished one gives it back at the end
        ([1, 2, 9], [1.5, 1.5, -3, 0]),  # or where it breaks off
        ([1, 1, 2, 3], [1.5, 0, 1.5, 1.5, 0]),  # begun anew by the symbol that broke it
        ([1, 2, 4], [1.5, 1.5, -1, 0]),  # 2 4 ends here, its 2 was counted: 1.5 1.5 becomes 1 1
        ([9, 9], [0, 0, 0]),
    ],
)
def test_by_hand(symbols, expected):
    graph = ContextGraph([([1, 2, 3], 1.5), ([2, 4], 1.0)])
    assert changes(graph, symbols) == pytest.approx(expected)


def test_a_phrase_within_another():
    graph = ContextGraph([([1, 2, 3], 1.0), ([2], 5.0)])
    assert changes(graph, [1, 2]) == pytest.approx([1.0, 4.0, 0])  # 2 alone is complete: 5 stay, matching begins anew
    assert changes(graph, [2, 2]) == pytest.approx([5.0, 5.0, 0])


symbols = st.lists(st.integers(0, 3), min_size=1, max_size=4)


@given(st.lists(symbols, max_size=4), st.lists(st.integers(0, 4), max_size=12))
def test_what_stays_at_the_end_are_whole_phrases(phrases, sequence):
    """With one bonus for all, the sum of all changes is the number of symbols in finished phrases, found from left to right."""
    graph = ContextGraph([(phrase, 1.0) for phrase in phrases])
    total, begin = 0, 0
    for end in range(1, len(sequence) + 1):
        tail = sequence[begin:end]
        prefixes = [phrase[:n] for phrase in phrases for n in range(1, len(phrase) + 1)]
        matching = max((len(p) for p in prefixes if tail[-len(p) :] == p), default=0)
        ends = [phrase for phrase in phrases if len(phrase) <= matching and tail[-len(phrase) :] == phrase]
        if ends:
            total, begin = total + max(map(len, ends)), end
    assert sum(changes(graph, sequence)) == pytest.approx(total)
