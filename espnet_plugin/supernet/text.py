"""Reads the text form of a subnet, see `Subnet`."""

import re
from collections.abc import Sequence

from espnet_plugin.errors import UserError
from espnet_plugin.supernet.dimensions import DIMENSIONS, Dimension
from espnet_plugin.supernet.subnet import LayerAddress, Value

MOST_LAYERS = 1000  # that a text form may name, so that a typing error takes no memory
NUMBER = r"(\d{1,9})"


def read_text(
    text: str, dimensions: Sequence[Dimension] = ()
) -> tuple[tuple[LayerAddress, ...], dict[str, Value | tuple[Value, ...]]]:
    """Layers and values that a text form names.

    Args:
        dimensions: rows that are not in the table, those of it may be among them.

    Returns:
        addresses, ascending; name of a dimension -> value, or values of the layers.

    Raises:
        UserError: the text is not of the form ``0-3x512_5x256``, a layer is beyond `MOST_LAYERS`, or its layers do not ascend.
    """
    rows = list(dict.fromkeys([*DIMENSIONS, *dimensions]))
    layered, shared = ([row for row in rows if row.per_layer == kind] for kind in (True, False))
    parts, values = text.split("_"), {}
    for row in reversed(shared):
        match = re.fullmatch("|".join(row.words) if row.words else f"{row.letter}{NUMBER}", parts[-1], re.ASCII)
        if match is not None and len(parts) > 1:
            values[row.name] = match[0] if row.words else int(match[1])
            parts.pop()
    pattern = rf"(?:{NUMBER}\.)?{NUMBER}(?:-{NUMBER})?" + "".join(rf"(?:{row.letter}{NUMBER})?" for row in layered)
    layers: list[LayerAddress] = []
    columns: dict[str, list[int]] = {row.name: [] for row in layered}
    for part in parts:
        match = re.fullmatch(pattern, part, re.ASCII)
        if match is None:
            raise UserError(
                f"subnet {text[:80]!r}: {part[:40]!r} is not LAYERxWIDTH or FIRST-LASTxWIDTH of numbers below 10^9, as in 0-3x512_5x256"
            )
        stack, start, end, *numbers = match.groups()
        first, last = int(start), int(end or start)
        if max(first, last) >= MOST_LAYERS:
            raise UserError(f"subnet '{text}': layer {max(first, last)} must be below {MOST_LAYERS}")
        layers += [LayerAddress(int(stack or 0), index) for index in range(first, last + 1)]
        for row, number in zip(layered, numbers, strict=True):
            columns[row.name] += [] if number is None else [int(number)] * (last + 1 - first)
    if not layers or any(a >= b for a, b in zip(layers, layers[1:])):
        raise UserError(f"subnet '{text}': layer numbers must ascend")
    for row in layered:
        if len(columns[row.name]) not in (0, len(layers)):
            raise UserError(
                f"subnet '{text}': {row.name} (as in {row.letter}8) must be given for all layers or for none"
            )
    found: dict[str, int | str | tuple[int | str, ...]] = {name: tuple(c) for name, c in columns.items() if c}
    return tuple(layers), found | values
