"""The search space of a supernet and the subnets in it, as values.

A subnet keeps some of the supernet's layers and, in each kept layer, the first ``c`` of ``c_max`` channels of the feed-forward network
(TODM, arXiv 2309.01947: depth and width).  Which layers go first is fixed by the space, so that smaller depths are nested in larger ones.
Beyond the paper, the heads of a layer, the model dimension, the widths of prediction network and joiner and the direction may vary.
"""

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import product

from espnet_plugin.errors import UserError
from espnet_plugin.supernet.subnet import DIRECTIONS, Subnet

WIDTHS = ("ffn_dims", "heads", "model_dims", "prediction_dims", "joiner_dims")


@dataclass(frozen=True)
class SearchSpace:
    """All subnets that a supernet holds. An empty tuple stands for a dimension that is fixed by the rest of the configuration.

    Args:
        num_layers: layers of the max net.
        depths: allowed numbers of kept layers, ascending; the largest equals ``num_layers``.
        ffn_dims: allowed feed-forward widths of each kept layer (channels), ascending.
        drop_order: all layers, the one that goes first in front.
        heads: allowed numbers of heads of each kept layer, ascending.
        model_dims, prediction_dims, joiner_dims: allowed widths of the encoder (all its layers share one), the prediction network and
            the joiner (channels), ascending.
        directions: allowed directions, ``forward`` before ``bidirectional``, which costs more.
    """

    num_layers: int
    depths: tuple[int, ...]
    ffn_dims: tuple[int, ...]
    drop_order: tuple[int, ...]
    heads: tuple[int, ...] = ()
    model_dims: tuple[int, ...] = ()
    prediction_dims: tuple[int, ...] = ()
    joiner_dims: tuple[int, ...] = ()
    directions: tuple[str, ...] = ()

    @classmethod
    def build(
        cls,
        num_layers: int,
        depths: list[int] | None,
        ffn_dims: list[int],
        drop_order: list[int] | None = None,
        directions: list[str] | None = None,
        paired_heads: bool = True,
        **widths: list[int] | None,
    ) -> "SearchSpace":
        """Check the values of a configuration and fill in defaults.

        By default every depth is ``num_layers``, and every second layer goes first, from the top down, the lowest layer last
        (our choice: neighbours of a dropped layer remain, as in LayerDrop, arXiv 1909.11556).

        Args:
            paired_heads: whether half of the heads gate the other half, as in MH-SSM, so that their number must be even.
            widths: ``heads``, ``model_dims``, ``prediction_dims``, ``joiner_dims``; one that is not given is fixed.

        Raises:
            UserError: naming the key, the value and what is allowed.
        """
        depths = [num_layers] if depths is None else depths
        given = {key: values for key, values in widths.items() if values is not None}
        for key, values in {"depths": depths, "ffn_dims": ffn_dims, **given}.items():
            if not is_ascending(values):
                raise UserError(f"search_space.{key}: {values} must be a non-empty ascending list of positive integers")
        if paired_heads and any(count % 2 for count in given.get("heads", ())):
            raise UserError(f"search_space.heads: {given['heads']} must be even, half of the heads gate the other half")
        if depths[-1] != num_layers:
            raise UserError(f"search_space.depths: the largest of {depths} must equal num_layers, {num_layers}")
        if directions is not None and (
            not isinstance(directions, list) or not directions or any(way not in DIRECTIONS for way in directions)
        ):
            raise UserError(f"search_space.directions: {directions} must be a non-empty list of {list(DIRECTIONS)}")
        if drop_order is None:
            seconds = list(range(num_layers - 2, 0, -2))
            rest = [layer for layer in range(num_layers - 1, 0, -1) if layer not in seconds]
            drop_order = [*seconds, *rest, 0]
        if not are_integers(drop_order) or sorted(drop_order) != list(range(num_layers)):
            raise UserError(
                f"search_space.drop_order: {drop_order} must hold each layer from 0 to {num_layers - 1} once"
            )
        return cls(
            num_layers,
            tuple(depths),
            tuple(ffn_dims),
            tuple(drop_order),
            directions=tuple(d for d in DIRECTIONS if d in (directions or ())),
            **{key: tuple(values) for key, values in given.items()},
        )

    @classmethod
    def from_conf(cls, num_layers: int, conf: dict, largest: dict[str, int], bidirectional: bool) -> "SearchSpace":
        """Read ``encoder_conf.search_space``.

        Args:
            num_layers: layers of the max net.
            conf: the dictionary; ``ffn_dims`` is required.
            largest: key of the encoder's configuration -> its value, for ``num_heads`` and ``d_model``: what the largest of ``heads`` and
                of ``model_dims`` must equal.
            bidirectional: whether the max net is.

        Raises:
            UserError: an unknown key, an impossible value, or one that contradicts the encoder's configuration.
        """
        allowed = ("depths", *WIDTHS, "directions", "drop_order")
        if not isinstance(conf, dict):
            raise UserError(f"encoder_conf.search_space: {conf!r} must be a dictionary with ffn_dims")
        if not set(conf) <= set(allowed) or "ffn_dims" not in conf:
            raise UserError(
                f"encoder_conf.search_space: keys {list(conf)} must be ffn_dims and, if wanted, some of "
                f"{', '.join(key for key in allowed if key != 'ffn_dims')}"
            )
        space = cls.build(num_layers, **{"depths": None, **conf})
        for key, name in (("heads", "num_heads"), ("model_dims", "d_model")):
            space.check_largest(key, f"encoder_conf.{name}", largest[name])
        if space.directions and (space.directions[-1] == "bidirectional") != bidirectional:
            raise UserError(
                f"search_space.directions: {list(space.directions)} contradicts encoder_conf.bidirectional: {bidirectional}"
            )
        return space

    def check_largest(self, key: str, name: str, value: int) -> None:
        """Raise a `UserError` unless dimension `key` is fixed or its largest width is `value`, what `name` configures."""
        widths = getattr(self, key)
        if widths and widths[-1] != value:
            raise UserError(f"search_space.{key}: the largest of {list(widths)} must equal {name}, {value}")

    def kept(self, depth: int) -> tuple[int, ...]:
        """Layers that remain at a depth, ascending."""
        return tuple(sorted(self.drop_order[self.num_layers - depth :]))

    def subnet(self, depth: int, ffn: Callable, heads: Callable, other: Callable) -> Subnet:
        """A subnet of a depth whose values the functions pick: each takes the allowed values of one dimension."""
        layers = self.kept(depth)
        return Subnet(
            layers,
            tuple(ffn(self.ffn_dims) for _ in layers),
            tuple(heads(self.heads) for _ in layers) if self.heads else (),
            *(
                other(values) if values else None
                for values in (self.model_dims, self.prediction_dims, self.joiner_dims, self.directions)
            ),
        )

    def uniform(self, depth: int, ffn_dim: int) -> Subnet:
        """The subnet with one feed-forward width in all its layers, and the largest value of all other dimensions."""
        return self.subnet(depth, lambda _: ffn_dim, max, lambda values: values[-1])

    @property
    def max(self) -> Subnet:
        return self.uniform(self.depths[-1], self.ffn_dims[-1])

    @property
    def min(self) -> Subnet:
        return self.subnet(self.depths[0], min, min, lambda values: values[0])

    @property
    def size(self) -> int:
        """Number of subnets in the space."""
        layer = len(self.ffn_dims) * max(len(self.heads), 1)
        shared = (self.model_dims, self.prediction_dims, self.joiner_dims, self.directions)
        return sum(layer**depth for depth in self.depths) * math.prod(max(len(values), 1) for values in shared)

    def only(self, direction: str) -> "SearchSpace":
        """The part of the space that runs in one direction.

        Raises:
            UserError: the space has no choice of directions, or not this one.
        """
        if direction not in self.directions:
            raise UserError(f"direction '{direction}': the search space has {list(self.directions) or 'one direction'}")
        return replace(self, directions=(direction,))

    def sample(self, rng: random.Random, fits: Callable[[Subnet], bool] | None = None, draws: int = 50) -> Subnet:
        """A subnet with uniformly drawn depth, then uniformly drawn values of each other dimension.

        Args:
            fits: whether a subnet is within a budget.
            draws: random draws before the last one is made smaller, see `shrunk`.

        Raises:
            UserError: see `shrunk`.
        """
        for _ in range(draws if fits else 1):
            subnet = self.subnet(rng.choice(self.depths), rng.choice, rng.choice, rng.choice)
            if fits is None or fits(subnet):
                return subnet
        return self.shrunk(subnet, rng, fits)

    def shrunk(self, subnet: Subnet, rng: random.Random, fits: Callable[[Subnet], bool]) -> Subnet:
        """A subnet made smaller step by step, in random dimensions, until it fits; the min net ends that at the latest.

        The min net need not be the fastest on a device: where it does not fit, one of the even subnets that do is drawn.

        Raises:
            UserError: none of these fits.
        """
        while not fits(subnet) and subnet != self.min:
            subnet = rng.choice(list(self.smaller(subnet)))
        if fits(subnet):
            return subnet
        fitting = list(filter(fits, self.even()))
        if not fitting:
            raise UserError(
                f"budget: neither the smallest subnet, {self.min}, nor one whose layers are alike is within it"
            )
        return rng.choice(fitting)

    def even(self) -> Iterator[Subnet]:
        """Every subnet whose layers are all alike; the cheapest subnet is among them by any cost that adds up over layers."""
        shared = self.shared()
        for depth, width, heads, *rest in product(
            self.depths, self.ffn_dims, self.heads or (None,), *(values or (None,) for values in shared.values())
        ):
            same = (heads,) * depth if self.heads else ()
            yield Subnet(self.kept(depth), (width,) * depth, same, **dict(zip(shared, rest, strict=True)))

    def smaller(self, subnet: Subnet) -> Iterator[Subnet]:
        """The subnets one step smaller in one dimension; none for the min net."""
        position = self.depths.index(len(subnet.layers))
        if position:
            layers = self.kept(self.depths[position - 1])
            stay = [i for i, layer in enumerate(subnet.layers) if layer in layers]
            ffn, heads = ([values[i] for i in stay] if values else [] for values in (subnet.ffn, subnet.heads))
            yield replace(subnet, layers=layers, ffn=tuple(ffn), heads=tuple(heads))
        for name, allowed in (("ffn", self.ffn_dims), ("heads", self.heads)):
            values = getattr(subnet, name)
            for i, value in enumerate(values):
                if value != allowed[0]:
                    less = allowed[allowed.index(value) - 1]
                    yield replace(subnet, **{name: (*values[:i], less, *values[i + 1 :])})
        for name, allowed in self.shared().items():
            value = getattr(subnet, name)
            if value is not None and value != allowed[0]:
                yield replace(subnet, **{name: allowed[allowed.index(value) - 1]})

    def shared(self) -> dict[str, tuple]:
        """Dimension of a `Subnet` that its layers share -> allowed values, none where it is fixed."""
        return {
            "dim": self.model_dims,
            "prediction": self.prediction_dims,
            "joiner": self.joiner_dims,
            "direction": self.directions,
        }

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
        values = {"heads": (subnet.heads, self.heads)}
        values |= {name: ((getattr(subnet, name),), allowed) for name, allowed in self.shared().items()}
        for name, (chosen, allowed) in values.items():
            chosen = [value for value in chosen if value is not None]
            if chosen and not allowed:
                raise UserError(f"subnet '{subnet}': {name} {chosen[0]}, but {name} is fixed in this search space")
            if allowed and not chosen:
                raise UserError(f"subnet '{subnet}': {name} is missing, allowed are {list(allowed)}")
            for value in chosen:
                if value not in allowed:
                    raise UserError(f"subnet '{subnet}': {name} {value} is not one of {list(allowed)}")
        return subnet

    def named(self) -> dict[str, Subnet]:
        """``max``, ``min`` and, with a choice of directions, ``max_forward``, ``min_bidirectional`` and so on."""
        names = {"max": self.max, "min": self.min}
        if len(self.directions) > 1:
            for direction in self.directions:
                one = self.only(direction)
                names |= {f"max_{direction}": one.max, f"min_{direction}": one.min}
        return names

    def resolve(self, text: str) -> Subnet:
        """A subnet from its name (see `named`) or its text form.

        Raises:
            UserError: the text is neither, or the subnet is outside the space.
        """
        names = self.named()
        return names[text] if text in names else self.check(Subnet.parse(text))

    def __str__(self) -> str:
        digits = math.log10(self.size)
        count = str(self.size) if digits < 7 else f"about 10^{digits:.0f}"
        parts = [f"depths {list(self.depths)}", f"feed-forward widths {list(self.ffn_dims)}"]
        parts += [
            f"{name} {list(values)}"
            for name, values in (
                ("heads", self.heads),
                ("model dimensions", self.model_dims),
                ("prediction widths", self.prediction_dims),
                ("joiner widths", self.joiner_dims),
                ("directions", self.directions),
            )
            if values
        ]
        return f"{', '.join(parts)}: {count} subnets"


def are_integers(values) -> bool:
    """Whether it is a list of integers, which true and false are not."""
    return isinstance(values, list | tuple) and all(isinstance(v, int) and not isinstance(v, bool) for v in values)


def is_ascending(values) -> bool:
    """Whether it is a non-empty ascending list of positive integers."""
    return are_integers(values) and len(values) > 0 and values[0] > 0 and list(values) == sorted(set(values))
