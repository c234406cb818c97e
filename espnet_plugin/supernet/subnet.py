"""A subnet of a supernet as a value, with a short text form."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

from espnet_plugin.supernet.dimensions import Dimension

Value = int | str


@dataclass(frozen=True, order=True)
class LayerAddress:
    """Where a layer is in a supernet. Args: stack: of layers at one frame rate, from 0; index: within the stack, from 0."""

    stack: int
    index: int


@dataclass(frozen=True)
class Subnet:
    """One network inside the supernet: the layers that it keeps, and a value of each dimension. Search spaces make them.

    The text form joins ``LAYERSxWIDTH`` by ``_``: ``0-3x512_5x256`` keeps layers 0 to 3 with 512 feed-forward channels and layer 5 with
    256. Where the space has them, ``h8`` after a width is the number of heads of those layers, and at the end come ``d192`` (model
    dimension), ``p128`` (prediction network), ``j128`` (joiner) and the direction: ``0-3x512h8_5x256h4_d192_p128_j128_forward``. Layers of
    several stacks have the stack in front: ``0.0-1x512_1.0x256``. What the space leaves fixed is not written. `SearchSpace.parse` reads it.
    It is safe in file names of up to 255 characters: with widths and heads of their own for each of 24 layers it can be longer.

    Args:
        layers: addresses of the kept layers, ascending.
        values: each dimension with its value, or with a tuple of values, one for each kept layer; in the order of the table.
        fixed: names of the dimensions that the text form leaves out.
    """

    layers: tuple[LayerAddress, ...]
    values: tuple[tuple[Dimension, Any], ...]
    fixed: frozenset[str] = field(default=frozenset(), compare=False)

    def __getitem__(self, name: str) -> Any:
        """Value of a dimension (a number or a word), or a tuple of those of the kept layers. Args: name: of the dimension."""
        for dimension, value in self.values:
            if dimension.name == name:
                return value
        raise KeyError(name)

    def __contains__(self, name: str) -> bool:
        return any(dimension.name == name for dimension, _ in self.values)

    def per_layer(self, *names: str) -> Iterator[tuple]:
        """Address and values of each kept layer. Args: names: of the dimensions."""
        return zip(self.layers, *(self[name] for name in names), strict=True)

    def with_values(self, **values: Value | tuple[Value, ...]) -> "Subnet":
        """The same subnet with other values of some dimensions, by name."""
        return replace(self, values=tuple((d, values.get(d.name, value)) for d, value in self.values))

    def settings(self) -> Mapping[LayerAddress, tuple[Value, ...]]:
        """Layer -> its values of the dimensions that each layer has its own of, in the order of the table."""
        columns = [value for dimension, value in self.values if dimension.per_layer]
        return {layer: tuple(column[i] for column in columns) for i, layer in enumerate(self.layers)}

    def __str__(self) -> str:
        written = [(dimension, value) for dimension, value in self.values if dimension.name not in self.fixed]
        columns = [[f"{d.letter}{each}" for each in value] for d, value in written if d.per_layer]
        layers = [(layer, "".join(column[i] for column in columns)) for i, layer in enumerate(self.layers)]
        stacks = any(layer.stack for layer in self.layers)
        parts = []
        for _, run in groupby(
            enumerate(layers), key=lambda item: (item[1][0].stack, item[1][0].index - item[0], item[1][1])
        ):
            first, *rest = [item for _, item in run]
            name = f"{first[0].stack}." if stacks else ""
            name += f"{first[0].index}-{rest[-1][0].index}" if rest else f"{first[0].index}"
            parts.append(name + first[1])
        return "_".join(parts + [f"{d.letter}{value}" for d, value in written if not d.per_layer])
