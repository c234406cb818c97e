"""The search space of a supernet and the subnets in it, as values.

A subnet keeps some of the supernet's layers and has a value of each dimension (`supernet.dimensions`), such as the first ``c`` of ``c_max``
channels of each kept layer's feed-forward network (TODM, arXiv 2309.01947: depth and width; the other dimensions are beyond the paper).
Layers lie in stacks, one in most encoders, several where parts of an encoder run at other frame rates.  Which layers of a stack go first is
fixed by the space, so that smaller depths are nested in larger ones.
"""

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import Any

from espnet_plugin.errors import UserError
from espnet_plugin.supernet.dimensions import DIMENSIONS, Dimension
from espnet_plugin.supernet.subnet import LayerAddress, Subnet, Value
from espnet_plugin.supernet.text import read_text


@dataclass(frozen=True)
class Stack:
    """Layers of one frame rate.

    Args:
        num_layers: of the max net.
        depths: allowed numbers of kept layers, ascending; the largest equals ``num_layers``.
        drop_order: all layers, the one that goes first in front.
    """

    num_layers: int
    depths: tuple[int, ...]
    drop_order: tuple[int, ...]

    def kept(self, depth: int) -> tuple[int, ...]:
        """Layers that remain at a depth, ascending."""
        return tuple(sorted(self.drop_order[self.num_layers - depth :]))


@dataclass(frozen=True)
class Choice:
    """A dimension in a space.

    Args:
        dimension: row of the table.
        allowed: values, what costs least first.
        fixed: whether the configuration of the model gives the only value, and not the search space.
    """

    dimension: Dimension
    allowed: tuple[Value, ...]
    fixed: bool = False


@dataclass(frozen=True)
class SearchSpace:
    """All subnets that a supernet holds.

    Args:
        stacks: of layers, in the order in which they run.
        choices: dimensions, in the order of the table.
    """

    stacks: tuple[Stack, ...]
    choices: tuple[Choice, ...]

    def __getitem__(self, name: str) -> tuple[Any, ...]:
        """Allowed values of a dimension. Args: name: of the dimension."""
        for choice in self.choices:
            if choice.dimension.name == name:
                return choice.allowed
        raise KeyError(name)

    def __contains__(self, name: str) -> bool:
        return any(choice.dimension.name == name for choice in self.choices)

    def varies(self, name: str) -> bool:
        """Whether the configuration of the space names a dimension, which is so a part of text forms. Args: name: of the dimension."""
        return any(choice.dimension.name == name and not choice.fixed for choice in self.choices)

    @cached_property
    def layered(self) -> tuple[Choice, ...]:
        """Dimensions that each layer has a value of."""
        return tuple(choice for choice in self.choices if choice.dimension.per_layer)

    @cached_property
    def shared(self) -> tuple[Choice, ...]:
        """Dimensions whose value all layers share."""
        return tuple(choice for choice in self.choices if not choice.dimension.per_layer)

    @property
    def leading(self) -> Choice:
        """The first dimension of layers that the configuration names: what sizes of one width differ in besides their depth."""
        return next((choice for choice in self.layered if not choice.fixed), self.layered[0])

    @cached_property
    def depths(self) -> tuple[tuple[int, ...], ...]:
        """Every combination of the stacks' depths, ascending."""
        return tuple(product(*(stack.depths for stack in self.stacks)))

    def kept(self, depths: Sequence[int]) -> tuple[LayerAddress, ...]:
        """Layers that remain, ascending. Args: depths: of each stack."""
        return tuple(
            LayerAddress(number, layer)
            for number, (stack, depth) in enumerate(zip(self.stacks, depths, strict=True))
            for layer in stack.kept(depth)
        )

    def depths_of(self, subnet: Subnet) -> tuple[int, ...]:
        """Number of kept layers of each stack."""
        return tuple(sum(layer.stack == number for layer in subnet.layers) for number in range(len(self.stacks)))

    def subnet(self, depths: Sequence[int], pick: Callable[[Choice], Value]) -> Subnet:
        """A subnet whose values `pick` gives, layer by layer where each layer has its own. Args: depths: of each stack."""
        layers = self.kept(depths)
        values = (
            (choice.dimension, tuple(pick(choice) for _ in layers) if choice.dimension.per_layer else pick(choice))
            for choice in self.choices
        )
        return Subnet(layers, tuple(values), self.fixed)

    @cached_property
    def fixed(self) -> frozenset[str]:
        """Names of the dimensions that text forms leave out."""
        return frozenset(choice.dimension.name for choice in self.choices if choice.fixed)

    def uniform(self, depth: int | Sequence[int], width: Value) -> Subnet:
        """The subnet with one value of the leading dimension in all its layers, and the largest value of all others.

        Args:
            depth: of the stack, or of each.
        """
        depths = [depth] if isinstance(depth, int) else depth
        return self.subnet(depths, lambda choice: width if choice is self.leading else choice.allowed[-1])

    def uniforms(self) -> Iterator[Subnet]:
        """The subnets of `uniform`, of all depths and widths."""
        return (self.uniform(depths, width) for depths in self.depths for width in self.leading.allowed)

    @cached_property
    def max(self) -> Subnet:
        return self.subnet(self.depths[-1], lambda choice: choice.allowed[-1])

    @cached_property
    def min(self) -> Subnet:
        return self.subnet(self.depths[0], lambda choice: choice.allowed[0])

    @property
    def size(self) -> int:
        """Number of subnets in the space."""
        layer = math.prod(len(choice.allowed) for choice in self.layered)
        stacks = math.prod(sum(layer**depth for depth in stack.depths) for stack in self.stacks)
        return stacks * math.prod(len(choice.allowed) for choice in self.shared)

    def only(self, word: str) -> "SearchSpace":
        """The part of the space with one value of a dimension whose values are words, as with one direction.

        Raises:
            UserError: the space has no choice of this value.
        """
        for i, choice in enumerate(self.choices):
            if word in choice.dimension.words:
                if choice.fixed or word not in choice.allowed:
                    has = f"one, {choice.allowed[0]}" if choice.fixed else list(choice.allowed)
                    raise UserError(f"{choice.dimension.name} '{word}': the search space has {has}")
                one = replace(choice, allowed=(word,))
                return replace(self, choices=(*self.choices[:i], one, *self.choices[i + 1 :]))
        raise UserError(f"'{word}': is no value of a dimension of the search space")

    def sample(self, rng: random.Random, fits: Callable[[Subnet], bool] | None = None, draws: int = 50) -> Subnet:
        """A subnet with uniformly drawn depths, then uniformly drawn values of each other dimension.

        Args:
            fits: whether a subnet is within a budget.
            draws: random draws before the last one is made smaller, see `shrunk`.

        Raises:
            UserError: see `shrunk`.
        """
        if fits is None:
            return self.draw(rng)
        for _ in range(draws):
            subnet = self.draw(rng)
            if fits(subnet):
                return subnet
        return self.shrunk(subnet, rng, fits)

    def draw(self, rng: random.Random) -> Subnet:
        """A subnet as `sample` draws it, without a budget."""
        depths = [rng.choice(stack.depths) for stack in self.stacks]
        return self.subnet(depths, lambda choice: choice.allowed[0] if choice.fixed else rng.choice(choice.allowed))

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
        choices = (*self.layered, *self.shared)
        for depths in self.depths:
            for values in product(*(choice.allowed for choice in choices)):
                yield self.subnet(depths, dict(zip(choices, values, strict=True)).__getitem__)

    def smaller(self, subnet: Subnet) -> Iterator[Subnet]:
        """The subnets one step smaller in one dimension; none for the min net."""
        depths = self.depths_of(subnet)
        for number, stack in enumerate(self.stacks):
            position = stack.depths.index(depths[number])
            if position:
                fewer = (*depths[:number], stack.depths[position - 1], *depths[number + 1 :])
                yield self.at_depths(subnet, fewer, subnet.settings().__getitem__)
        for choice in (*self.layered, *self.shared):
            name, allowed = choice.dimension.name, choice.allowed
            if not choice.dimension.per_layer:
                if (value := subnet[name]) != allowed[0]:
                    yield subnet.with_values(**{name: allowed[allowed.index(value) - 1]})
                continue
            values = subnet[name]
            for i, value in enumerate(values):
                if value != allowed[0]:
                    less = allowed[allowed.index(value) - 1]
                    yield subnet.with_values(**{name: (*values[:i], less, *values[i + 1 :])})

    def at_depths(
        self, subnet: Subnet, depths: Sequence[int], setting: Callable[[LayerAddress], Sequence[Value]]
    ) -> Subnet:
        """A subnet at other depths. Args: setting: layer -> its values, see `Subnet.settings`."""
        layers = self.kept(depths)
        columns = zip(*map(setting, layers), strict=True)
        names = [choice.dimension.name for choice in self.layered]
        return replace(subnet.with_values(**dict(zip(names, columns, strict=True))), layers=layers)

    def check(self, subnet: Subnet, text: str | None = None) -> Subnet:
        """Return the subnet when it is in the space.

        Args:
            text: what the subnet was read from, for messages.

        Raises:
            UserError: it is not; the sentence says what is allowed.
        """
        text = str(subnet) if text is None else text
        depths = self.depths_of(subnet)
        for stack, depth in zip(self.stacks, depths):
            if depth not in stack.depths:
                raise UserError(f"subnet '{text}': depth {depth} is not one of {list(stack.depths)}")
        if subnet.layers != self.kept(depths):
            kept = [
                layer.index if len(self.stacks) == 1 else f"{layer.stack}.{layer.index}" for layer in self.kept(depths)
            ]
            raise UserError(f"subnet '{text}': at depth {' '.join(map(str, depths))} the layers kept must be {kept}")
        for choice in self.choices:
            name = choice.dimension.name
            if name not in subnet:
                raise UserError(f"subnet '{text}': {name} is missing, allowed are {list(choice.allowed)}")
            values = subnet[name] if choice.dimension.per_layer else (subnet[name],)
            for value in values:
                if value not in choice.allowed and choice.fixed:
                    raise UserError(f"subnet '{text}': {name} {value}, but {name} is fixed, to {choice.allowed[0]}")
                if value not in choice.allowed:
                    raise UserError(
                        f"subnet '{text}': {choice.dimension.title}: {value} is not one of {list(choice.allowed)}"
                    )
        if len(subnet.values) > len(self.choices):
            surplus = [d.name for d, _ in subnet.values if d.name not in self]
            raise UserError(f"subnet '{text}': the search space has no {', '.join(surplus)}")
        return subnet

    def named(self) -> dict[str, Subnet]:
        """``max``, ``min`` and, with a choice of directions, ``max_forward``, ``min_bidirectional`` and so on."""
        names = {"max": self.max, "min": self.min}
        for choice in self.shared:
            for word in choice.allowed if choice.dimension.words and len(choice.allowed) > 1 else ():
                one = self.only(str(word))
                names |= {f"max_{word}": one.max, f"min_{word}": one.min}
        return names

    def parse(self, text: str) -> Subnet:
        """A subnet from its text form, which may leave out each dimension with one allowed value.

        Raises:
            UserError: the text is none, or the subnet is outside the space.
        """
        layers, values = read_text(text, [choice.dimension for choice in self.choices])
        for choice in self.choices:
            name, allowed = choice.dimension.name, choice.allowed
            if name not in values and len(allowed) == 1:
                values[name] = allowed * len(layers) if choice.dimension.per_layer else allowed[0]
        rows = {choice.dimension.name: choice.dimension for choice in self.choices}
        for name in values.keys() - rows.keys():
            raise UserError(f"subnet '{text}': {name} {values[name]}, but the search space has no {name}")
        chosen = tuple((row, values[name]) for name, row in rows.items() if name in values)
        return self.check(Subnet(layers, chosen, self.fixed), text)

    def resolve(self, text: str) -> Subnet:
        """A subnet from its name (see `named`) or its text form, see `parse`.

        Raises:
            UserError: a name that this space lacks; or see `parse`.
        """
        names = self.named()
        if text in names:
            return names[text]
        if text.replace("_", "").isalpha():
            raise UserError(
                f"subnet '{text}': the search space names {', '.join(names)}; others are written as 0-3x512_5x256"
            )
        return self.parse(text)

    def completed(self, **sizes: Value) -> "SearchSpace":
        """The space with dimensions of the table that it does not have, each fixed to a value.

        Args:
            sizes: by the names of the dimensions, what the model has.

        Raises:
            UserError: the space has a dimension, and its largest value is another.
        """
        table = {row.name: row for row in DIMENSIONS}
        for name, size in sizes.items():
            if name in self and self[name][-1] != size:
                row, allowed = table[name], list(self[name])
                raise UserError(f"search_space.{row.key}: the largest of {allowed} must equal {row.largest[0]}, {size}")
        added = [Choice(table[name], (size,), fixed=True) for name, size in sizes.items() if name not in self]
        order = [*table, *(choice.dimension.name for choice in self.choices)]  # rows of the encoder's own come last
        choices = sorted([*self.choices, *added], key=lambda choice: order.index(choice.dimension.name))
        return replace(self, choices=tuple(choices))

    def __str__(self) -> str:
        digits = math.log10(self.size)
        count = str(self.size) if digits < 7 else f"about 10^{digits:.0f}"
        depths = [list(stack.depths) for stack in self.stacks]
        parts = [f"depths {depths[0] if len(depths) == 1 else depths}"]
        parts += [f"{choice.dimension.title} {list(choice.allowed)}" for choice in self.choices if not choice.fixed]
        return f"{', '.join(parts)}: {count} subnets"
