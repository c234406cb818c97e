import math
import random

from hypothesis import given
from hypothesis import strategies as st

from espnet_plugin.search.front import Candidate, crowding, front, hypervolume, ranked
from espnet_plugin.supernet.subnet import LayerAddress, Subnet


def candidates(values):
    return [Candidate(Subnet((LayerAddress(0, i),), ()), cost, error) for i, (cost, error) in enumerate(values)]


points = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=25).map(candidates)


def beats(a, b):
    return a.cost <= b.cost and a.error <= b.error and (a.cost, a.error) != (b.cost, b.error)


def test_a_front_by_hand():
    found = candidates([(1, 9), (2, 5), (2, 6), (3, 5), (4, 1), (5, math.nan), (9, math.inf)])
    assert [(c.cost, c.error) for c in front(found)] == [(1, 9), (2, 5), (4, 1)]
    # Three steps: 1 x 1 from 1 to 2, 2 x 5 from 2 to 4, 6 x 9 from 4 to 10, below the reference (10, 10).
    assert hypervolume(found, 10, 10) == 1 * 1 + 2 * 5 + 6 * 9
    assert hypervolume(found, 3, 5.5) == 0.5
    assert crowding(front(found))[found[1].subnet] == (4 - 1) / 3 + (9 - 1) / 8
    # The ends of the front lead, its middle follows, then the next front.
    assert [(c.cost, c.error) for c in ranked(found)] == [(1, 9), (4, 1), (2, 5), (2, 6), (3, 5)]


@given(points)
def test_a_front_is_what_nothing_beats(found):
    kept = front(found)
    expected = {(a.cost, a.error) for a in found if not any(beats(b, a) for b in found)}
    assert {(c.cost, c.error) for c in kept} == expected and len(kept) == len(expected)
    assert set(ranked(found)) == set(found) and set(ranked(found)[: len(kept)]) == set(kept)


@given(points)
def test_the_hypervolume_counts_dominated_cells(found):
    cells = sum(any(c.cost <= x and c.error <= y for c in found) for x in range(22) for y in range(22))
    assert hypervolume(found, 22, 22) == cells
    random.Random(0).shuffle(found)
    assert hypervolume(found, 22, 22) == cells
