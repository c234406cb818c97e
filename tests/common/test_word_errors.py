from hypothesis import given
from hypothesis import strategies as st

from espnet_plugin.common.word_errors import Errors, count, units


def levenshtein(a, b):
    """Plain dynamic programme, apart from what the program uses."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        previous, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (x != y))
    return row[-1]


def test_counts_by_hand():
    pairs = [("ONE TWO THREE", "ONE TOO THREE FIVE"), ("FOUR", "")]
    assert count([(units(a), units(b)) for a, b in pairs]) == Errors(4, ins=1, deletions=1, sub=1)
    assert count([(units(a, "cer"), units(b, "cer")) for a, b in pairs]).edits == 1 + 5 + 4
    assert Errors(4, 1, 1, 1).rate == 75.0 and Errors(0, 2, 0, 0).rate == 200.0
    assert units(" 你好  世界 ", "cer") == list("你好 世界")


WORDS = st.lists(st.sampled_from("A B C".split()), max_size=8)


@given(st.lists(st.tuples(WORDS, WORDS), max_size=3))
def test_edits_equal_a_plain_dynamic_programme(pairs):
    found = count(pairs)
    assert found.edits == sum(levenshtein(*pair) for pair in pairs)
    assert found.total == sum(len(a) for a, _ in pairs)
    assert found.ins - found.deletions == sum(len(b) - len(a) for a, b in pairs)
