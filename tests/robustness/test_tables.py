"""Every bad input of the tables is refused in one sentence and harms nothing; every unusual one is accepted."""

from collections import Counter
from pathlib import Path

import pytest
from cases import LONGEST, NEVER, Case, digest, run, tables

REFUSED, ACCEPTED = tables("REFUSED"), tables("ACCEPTED")


def check_left(before: dict, after: dict, case: Case) -> None:
    """Whether nothing but what a case may leave was made, changed or removed."""
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    left = {name for name in changed if not any(Path(name).match(pattern) for pattern in case.leaves)}
    assert not left, f"made, changed or removed: {sorted(left)}"


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.id)
def test_a_bad_input_is_refused_in_one_sentence(case, workspace):
    case.make()
    before = digest(workspace)
    answer = run(case.command)
    assert answer.status != 0, f"accepted: {answer.out}"
    assert answer.sentence.startswith("error: "), answer
    assert "\n" not in answer.sentence and len(answer.sentence) <= LONGEST, answer.sentence
    for said in case.said:
        assert said in answer.sentence, f"'{said}' is not in: {answer.sentence}"
    for word in NEVER:
        assert word not in answer.sentence + answer.err, f"'{word}' is in: {answer}"
    check_left(before, digest(workspace), case)


@pytest.mark.parametrize("case", ACCEPTED, ids=lambda case: case.id)
def test_an_unusual_input_is_accepted(case, workspace):
    case.make()
    answer = run(case.command)
    assert answer.status == 0, answer
    for said in case.said:
        assert said in answer.out + answer.err, f"'{said}' is not in: {answer}"


def test_no_case_stands_twice():
    twice = [key for key, number in Counter(case.id for case in REFUSED + ACCEPTED).items() if number > 1]
    assert not twice
