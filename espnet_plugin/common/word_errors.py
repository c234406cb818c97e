"""The one error rate: edits of words or of characters, by kaldialign."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kaldialign import edit_distance

METRICS = ("wer", "cer")


@dataclass(frozen=True)
class Errors:
    """Edits against references.

    Args:
        total: words, or characters, of the references.
        ins, deletions, sub: edits.
    """

    total: int = 0
    ins: int = 0
    deletions: int = 0
    sub: int = 0

    @property
    def edits(self) -> int:
        return self.ins + self.deletions + self.sub

    @property
    def rate(self) -> float:
        """Edits in percent of `total`; 100 times the edits where that is 0."""
        return 100 * self.edits / max(self.total, 1)

    def __add__(self, other: "Errors") -> "Errors":
        return Errors(
            self.total + other.total, self.ins + other.ins, self.deletions + other.deletions, self.sub + other.sub
        )


def units(text: str, metric: str = "wer") -> list[str]:
    """What an error rate counts: words (``wer``), or characters with one gap between words (``cer``)."""
    words = text.split()
    return words if metric == "wer" else list(" ".join(words))


def edits(reference: Sequence[str], hypothesis: Sequence[str]) -> Errors:
    """Edits of one pair of lists of words or characters."""
    found = edit_distance(reference, hypothesis)
    return Errors(len(reference), found["ins"], found["del"], found["sub"])


def count(pairs: Iterable[tuple[Sequence[str], Sequence[str]]]) -> Errors:
    """Sum of the edits of (reference, hypothesis), each a list of words or characters (see `units`)."""
    return sum((edits(reference, hypothesis) for reference, hypothesis in pairs), Errors())
