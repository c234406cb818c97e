"""What a search finds: symbols, when they came, and how probable they were."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Hypothesis:
    """Symbols of an utterance without blanks, U of them.

    Args:
        tokens: ids.
        frames: encoder frame that emitted each.
        log_probs: of each at its frame, given the symbols before (the transducer's own, natural logarithm).
        score: of the whole: natural logarithm of the probability of what the search followed, blanks too.
    """

    tokens: tuple[int, ...]
    frames: tuple[int, ...]
    log_probs: tuple[float, ...]
    score: float

    def later(self, frames: int) -> "Hypothesis":
        """The same in a recording in which `frames` encoder frames come before."""
        return Hypothesis(self.tokens, tuple(frame + frames for frame in self.frames), self.log_probs, self.score)
