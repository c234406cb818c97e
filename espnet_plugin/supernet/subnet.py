"""A subnet of a supernet as a value, with a short text form."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from espnet_plugin.errors import UserError

DIRECTIONS = ("forward", "bidirectional")
MOST_LAYERS = 1000  # that a text form may name, so that a typing error takes no memory


@dataclass(frozen=True)
class Subnet:
    """One network inside the supernet.

    The text form joins ``LAYERSxWIDTH`` by ``_``: ``0-3x512_5x256`` keeps layers 0 to 3 with 512 feed-forward channels and
    layer 5 with 256. Where the space has them, ``h8`` after a width is the number of heads of those layers, and at the end come ``d192``
    (model dimension), ``p128`` (prediction network), ``j128`` (joiner) and the direction: ``0-3x512h8_5x256h4_d192_p128_j128_forward``.
    It round-trips through `parse` and is safe in file names of up to 255 characters: with widths and heads of their own for each of 24
    layers it can be longer.

    Args:
        layers: indices of the kept layers, ascending.
        ffn: feed-forward width of each kept layer (channels).
        heads: heads of each kept layer; empty where the space fixes them, as None is for what follows.
        dim: model dimension (channels).
        prediction, joiner: widths of prediction network and joiner (channels).
        direction: one of `DIRECTIONS`.
    """

    layers: tuple[int, ...]
    ffn: tuple[int, ...]
    heads: tuple[int, ...] = ()
    dim: int | None = None
    prediction: int | None = None
    joiner: int | None = None
    direction: str | None = None

    def per_layer(self) -> Iterator[tuple[int, int, int | None]]:
        """Index, feed-forward width and heads (None for all) of each kept layer."""
        return zip(self.layers, self.ffn, self.heads or (None,) * len(self.layers))

    def __str__(self) -> str:
        runs = groupby(enumerate(self.per_layer()), key=lambda item: (item[1][0] - item[0], *item[1][1:]))
        parts = []
        for (_, width, heads), run in runs:
            first, *rest = [layer for _, (layer, _, _) in run]
            layers = f"{first}-{rest[-1]}" if rest else f"{first}"
            parts.append(f"{layers}x{width}" + (f"h{heads}" if heads else ""))
        shared = (("d", self.dim), ("p", self.prediction), ("j", self.joiner), ("", self.direction))
        return "_".join(parts + [f"{letter}{value}" for letter, value in shared if value is not None])

    @classmethod
    def parse(cls, text: str) -> "Subnet":
        """Read the text form.

        Raises:
            UserError: the text is not of the form ``0-3x512_5x256``, a layer is beyond `MOST_LAYERS`, or its layers do not ascend.
        """
        number = r"(\d{1,9})"
        shared = re.fullmatch(
            rf"(.*?)(?:_d{number})?(?:_p{number})?(?:_j{number})?(?:_({'|'.join(DIRECTIONS)}))?", text
        )
        if shared is None:  # a line break in it
            raise UserError(f"subnet {text!r}: is not a text form such as 0-3x512_5x256")
        layers, ffn, heads = [], [], []
        for part in shared[1].split("_"):
            match = re.fullmatch(rf"{number}(?:-{number})?x{number}(?:h{number})?", part)
            if match is None:
                raise UserError(
                    f"subnet '{text}': '{part}' is not LAYERxWIDTH or FIRST-LASTxWIDTH of numbers below 10^9, as in 0-3x512_5x256"
                )
            first, last = int(match[1]), int(match[2] or match[1])
            if max(first, last) >= MOST_LAYERS:
                raise UserError(f"subnet '{text}': layer {max(first, last)} must be below {MOST_LAYERS}")
            count = last + 1 - first
            layers += range(first, last + 1)
            ffn += [int(match[3])] * count
            heads += [int(match[4])] * count if match[4] else []
        if not layers or any(a >= b for a, b in zip(layers, layers[1:])):
            raise UserError(f"subnet '{text}': layer numbers must ascend")
        if heads and len(heads) != len(layers):
            raise UserError(f"subnet '{text}': heads (as in x512h8) must be given for all layers or for none")
        dim, prediction, joiner = (int(value) if value else None for value in shared.groups()[1:4])
        return cls(tuple(layers), tuple(ffn), tuple(heads), dim, prediction, joiner, shared[5])
