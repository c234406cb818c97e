"""The search space of a supernet and the subnets in it, as values.

A subnet keeps some of the supernet's layers and, in each kept layer, the first ``c`` of ``c_max`` channels of the feed-forward network
(TODM, arXiv 2309.01947: depth and width).  Which layers go first is fixed by the space, so that smaller depths are nested in larger ones.
"""

import math
import random
import re
from dataclasses import dataclass
from itertools import groupby

from espnet_plugin.errors import UserError


@dataclass(frozen=True)
class Subnet:
    """One network inside the supernet.

    The text form joins ``LAYERSxWIDTH`` by ``_``: ``0-3x512_5x256`` keeps layers 0 to 3 with 512 feed-forward channels and
    layer 5 with 256. It round-trips through `parse` and is safe in file names.

    Args:
        layers: indices of the kept layers, ascending.
        ffn: feed-forward width of each kept layer (channels).
    """

    layers: tuple[int, ...]
    ffn: tuple[int, ...]

    def __str__(self) -> str:
        runs = groupby(enumerate(zip(self.layers, self.ffn)), key=lambda item: (item[1][0] - item[0], item[1][1]))
        parts = []
        for (_, width), run in runs:
            first, *rest = [layer for _, (layer, _) in run]
            parts.append(f"{first}-{rest[-1]}x{width}" if rest else f"{first}x{width}")
        return "_".join(parts)

    @classmethod
    def parse(cls, text: str) -> "Subnet":
        """Read the text form.

        Raises:
            UserError: the text is not of the form ``0-3x512_5x256`` or its layers do not ascend.
        """
        layers, ffn = [], []
        for part in text.split("_"):
            match = re.fullmatch(r"(\d+)(?:-(\d+))?x(\d+)", part)
            if match is None:
                raise UserError(
                    f"subnet '{text}': '{part}' is not LAYERxWIDTH or FIRST-LASTxWIDTH, as in 0-3x512_5x256"
                )
            first, last = int(match[1]), int(match[2] or match[1])
            layers += range(first, last + 1)
            ffn += [int(match[3])] * (last + 1 - first)
        if not layers or any(a >= b for a, b in zip(layers, layers[1:])):
            raise UserError(f"subnet '{text}': layer numbers must ascend")
        return cls(tuple(layers), tuple(ffn))


@dataclass(frozen=True)
class SearchSpace:
    """All subnets that a supernet holds.

    Args:
        num_layers: layers of the max net.
        depths: allowed numbers of kept layers, ascending; the largest equals ``num_layers``.
        ffn_dims: allowed feed-forward widths of each kept layer (channels), ascending.
        drop_order: all layers, the one that goes first in front.
    """

    num_layers: int
    depths: tuple[int, ...]
    ffn_dims: tuple[int, ...]
    drop_order: tuple[int, ...]

    @classmethod
    def build(
        cls, num_layers: int, depths: list[int] | None, ffn_dims: list[int], drop_order: list[int] | None = None
    ) -> "SearchSpace":
        """Check the values of a configuration and fill in defaults.

        By default every depth is ``num_layers``, and every second layer goes first, from the top down, the lowest layer last
        (our choice: neighbours of a dropped layer remain, as in LayerDrop, arXiv 1909.11556).

        Raises:
            UserError: naming the key, the value and what is allowed.
        """
        depths = depths or [num_layers]
        for key, values in (("depths", depths), ("ffn_dims", ffn_dims)):
            if (
                not all(isinstance(v, int) and v > 0 for v in values)
                or list(values) != sorted(set(values))
                or not values
            ):
                raise UserError(f"search_space.{key}: {values} must be a non-empty ascending list of positive integers")
        if depths[-1] != num_layers:
            raise UserError(f"search_space.depths: the largest of {depths} must equal num_layers, {num_layers}")
        if drop_order is None:
            seconds = list(range(num_layers - 2, 0, -2))
            rest = [layer for layer in range(num_layers - 1, 0, -1) if layer not in seconds]
            drop_order = [*seconds, *rest, 0]
        if sorted(drop_order) != list(range(num_layers)):
            raise UserError(
                f"search_space.drop_order: {drop_order} must hold each layer from 0 to {num_layers - 1} once"
            )
        return cls(num_layers, tuple(depths), tuple(ffn_dims), tuple(drop_order))

    def kept(self, depth: int) -> tuple[int, ...]:
        """Layers that remain at a depth, ascending."""
        return tuple(sorted(self.drop_order[self.num_layers - depth :]))

    def uniform(self, depth: int, ffn_dim: int) -> Subnet:
        """The subnet with one feed-forward width in all its layers."""
        return Subnet(self.kept(depth), (ffn_dim,) * depth)

    @property
    def max(self) -> Subnet:
        return self.uniform(self.depths[-1], self.ffn_dims[-1])

    @property
    def min(self) -> Subnet:
        return self.uniform(self.depths[0], self.ffn_dims[0])

    @property
    def size(self) -> int:
        """Number of subnets in the space."""
        return sum(len(self.ffn_dims) ** depth for depth in self.depths)

    def sample(self, rng: random.Random) -> Subnet:
        """A subnet with uniformly drawn depth, then uniformly drawn width in each layer."""
        depth = rng.choice(self.depths)
        return Subnet(self.kept(depth), tuple(rng.choice(self.ffn_dims) for _ in range(depth)))

    def check(self, subnet: Subnet) -> Subnet:
        """Return the subnet when it is in the space.

        Raises:
            UserError: it is not; the sentence says what is allowed.
        """
        depth = len(subnet.layers)
        if depth not in self.depths:
            raise UserError(f"subnet '{subnet}': depth {depth} is not one of {list(self.depths)}")
        if subnet.layers != self.kept(depth):
            raise UserError(f"subnet '{subnet}': at depth {depth} the layers kept must be {list(self.kept(depth))}")
        for width in subnet.ffn:
            if width not in self.ffn_dims:
                raise UserError(f"subnet '{subnet}': feed-forward width {width} is not one of {list(self.ffn_dims)}")
        return subnet

    def resolve(self, text: str) -> Subnet:
        """A subnet from ``max``, ``min`` or its text form.

        Raises:
            UserError: the text is none of these, or the subnet is outside the space.
        """
        named = {"max": self.max, "min": self.min}
        return named[text] if text in named else self.check(Subnet.parse(text))

    def __str__(self) -> str:
        digits = math.log10(self.size)
        count = str(self.size) if digits < 7 else f"about 10^{digits:.0f}"
        return f"depths {list(self.depths)}, feed-forward widths {list(self.ffn_dims)}: {count} subnets"
