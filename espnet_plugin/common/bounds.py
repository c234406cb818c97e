"""Ranges of numbers, declared beside the keys and options that they belong to.

A dataclass or a constructor declares one in an annotation, which `common.conf` reads::

    student_share: Annotated[float, Bounds(above=0, most=1)] = 1.0

and a program in an option: ``add_argument("--last", type=int, action=Checked, bounds=Bounds(1))``.
"""

import argparse
import math
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin

from espnet_plugin.errors import UserError

LONGEST_SHOWN = 80  # characters of a value in a sentence


def shown(value: object) -> str:
    """A value as a sentence shows it: not longer than a line."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer of thousands of digits, lists in lists
        return f"a huge {type(value).__name__}"
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 20]} ... {text[-10:]}"


@dataclass(frozen=True)
class Bounds:
    """What a number must be; in a list each of its numbers. Null and texts are passed over: whether they may be there is a matter of types.

    Args:
        least, most: smallest and largest value that is allowed.
        above, below: bounds that are not allowed themselves.
        why: reason of the upper bound, for the sentence.
        ends: a list holds two numbers, the smaller one first.
        apart: of such a list, the two are not equal either.
        infinite: infinity is allowed, as for a limit that is none.
    """

    least: float | None = None
    most: float | None = None
    above: float | None = None
    below: float | None = None
    why: str = ""
    ends: bool = False
    apart: bool = False
    infinite: bool = False

    def __contains__(self, value) -> bool:
        if isinstance(value, list | tuple):
            pair = len(value) == 2 and all(map(is_number, value))
            ordered = pair and value[0] <= value[1] and not (self.apart and value[0] == value[1])
            return (ordered or not self.ends) and all(item in self for item in value)
        if not is_number(value):
            return not isinstance(value, float)  # not-a-number is in no range
        return (
            (self.infinite or -math.inf < value < math.inf)
            and (self.least is None or value >= self.least)
            and (self.most is None or value <= self.most)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )

    def __str__(self) -> str:
        """What is allowed, after "must be"."""
        named = {"at least": self.least, "above": self.above, "at most": self.most, "below": self.below}
        parts = [f"{words} {limit:,}" for words, limit in named.items() if limit is not None]
        if self.least is not None and self.most is not None:
            parts = [f"from {self.least:,} to {self.most:,}"]
        text = " and ".join(parts) or ("" if self.ends else "finite")
        text = f"two numbers {text}".rstrip() + ", the smaller one first" if self.ends else text
        return f"{text} ({self.why})" if self.why else text

    def check(self, key: str, value: Any) -> Any:
        """The value, if it is within the bounds.

        Raises:
            UserError: it is not; the sentence names the key and says what is allowed.
        """
        if value not in self:
            raise UserError(f"{key}: {shown(value)} must be {self}")
        return value


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value


# Weights, gradients and two moments of one square layer of this width are 69 GB of float32.
WIDTH = Bounds(1, 65_536, why="a wider layer fits into no GPU")
Width = Annotated[int, WIDTH]
Layers = Annotated[int, Bounds(1, 1000, why="deeper than any network that was ever trained")]
Count = Annotated[int, Bounds(1)]
Share = Annotated[float, Bounds(0, 1)]
Positive = Annotated[float, Bounds(above=0)]
NotNegative = Annotated[float, Bounds(0)]
Dropout = Annotated[float, Bounds(0, below=1)]


def bounds_of(annotation) -> tuple[Any, list[Bounds]]:
    """An annotation without its bounds, and these."""
    if get_origin(annotation) is not Annotated:
        return annotation, []
    inner, *extras = get_args(annotation)
    return inner, [extra for extra in extras if isinstance(extra, Bounds)]


class Checked(argparse.Action):
    """An option of a program whose numbers have bounds, which its help tells."""

    def __init__(self, option_strings, dest: str, bounds: Bounds, help: str | None = None, **others: Any):
        text = f"{help or ''} [{bounds}]".lstrip().replace("%", "%%")
        super().__init__(option_strings, dest, help=text, **others)
        self.bounds = bounds

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        setattr(namespace, self.dest, self.bounds.check(option_string or self.dest, values))
