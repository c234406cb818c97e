"""A search space from the configuration of an encoder."""

from collections.abc import Sequence

from espnet_plugin.common.bounds import WIDTH
from espnet_plugin.errors import UserError
from espnet_plugin.supernet.dimensions import DIMENSIONS, JOINER, PREDICTION, Dimension
from espnet_plugin.supernet.space import Choice, SearchSpace, Stack
from espnet_plugin.supernet.subnet import Value

OF_THE_TRANSDUCER = (PREDICTION, JOINER)  # any encoder's search space may name them


def search_space(
    num_layers: int | Sequence[int], conf: dict, dimensions: Sequence[Dimension], sizes: dict[str, int | bool]
) -> SearchSpace:
    """Read ``encoder_conf.search_space``: check its values and fill in what it does not name.

    Args:
        num_layers: of the max net, or of each stack; then ``depths`` and ``drop_order`` are lists of lists.
        conf: the dictionary.
        dimensions: rows that the encoder lets vary.
        sizes: key of the encoder's configuration -> its value, of the max net. A dimension's largest value must equal it; one that `conf`
            does not name is fixed to it.

    Raises:
        UserError: an unknown key, an impossible value, or one that contradicts the encoder's configuration.
    """
    sizes = {f"encoder_conf.{key}": value for key, value in sizes.items()}
    keys = ["depths", *(row.key for row in (*dimensions, *OF_THE_TRANSDUCER)), "drop_order"]
    needed = [row.key for row in dimensions if not set(row.largest) & sizes.keys()]
    if not isinstance(conf, dict):
        raise UserError(
            f"encoder_conf.search_space: {conf!r} must be a dictionary with {' and '.join(needed) or 'keys'}"
        )
    if not set(conf) <= set(keys) or not set(needed) <= set(conf):
        must = f"{' and '.join(needed)} and, if wanted, " if needed else ""
        others = ", ".join(key for key in keys if key not in needed)
        raise UserError(f"encoder_conf.search_space: keys {list(conf)} must be {must}some of {others}")
    choices = [choice(row, conf, sizes) for row in dict.fromkeys((*DIMENSIONS, *dimensions))]
    return SearchSpace(stacks(num_layers, conf), tuple(filter(None, choices)))


def choice(row: Dimension, conf: dict, sizes: dict[str, int | bool]) -> Choice | None:
    """A dimension in a space, None where nothing gives a value. Args: see `search_space`; sizes: by their full keys.

    Raises:
        UserError: an impossible value, or one that contradicts the encoder's configuration.
    """
    largest = next(((key, sizes[key]) for key in row.largest if key in sizes), None)
    allowed = conf.get(row.key)
    if allowed is None:
        return None if largest is None else Choice(row, (as_value(row, largest[1]),), fixed=True)
    if row.words:
        if not isinstance(allowed, list) or not allowed or any(word not in row.words for word in allowed):
            raise UserError(f"search_space.{row.key}: {allowed} must be a non-empty list of {list(row.words)}")
        allowed = [word for word in row.words if word in allowed]
    elif not is_ascending(allowed):
        raise UserError(f"search_space.{row.key}: {allowed} must be a non-empty ascending list of positive integers")
    else:
        WIDTH.check(f"search_space.{row.key}", allowed)
    if largest is not None and allowed[-1] != as_value(row, largest[1]):
        raise UserError(f"search_space.{row.key}: the largest of {allowed} must equal {largest[0]}, {largest[1]}")
    return Choice(row, tuple(allowed))


def as_value(row: Dimension, size: int | bool) -> Value:
    """A size as a value of a dimension: true and false are the last and the first of two words."""
    return row.words[-1 if size else 0] if row.words else size


def stacks(num_layers: int | Sequence[int], conf: dict) -> tuple[Stack, ...]:
    """Stacks of layers from ``depths`` and ``drop_order``.

    Raises:
        UserError: an impossible value.
    """
    one = isinstance(num_layers, int)
    counts = [num_layers] if isinstance(num_layers, int) else list(num_layers)
    columns = []
    for key in ("depths", "drop_order"):
        values = conf.get(key)
        values = [None] * len(counts) if values is None else [values] if one else values
        if not isinstance(values, list) or len(values) != len(counts):
            raise UserError(f"search_space.{key}: {values} must be a list of {len(counts)} lists, one for each stack")
        columns.append(values)
    return tuple(stack(count, *column) for count, *column in zip(counts, *columns, strict=True))


def stack(num_layers: int, depths: list[int] | None, drop_order: list[int] | None) -> Stack:
    """A stack of layers, with defaults for what is not given.

    By default every depth is ``num_layers``, and every second layer goes first, from the top down, the lowest layer last
    (our choice: neighbours of a dropped layer remain, as in LayerDrop, arXiv 1909.11556).

    Raises:
        UserError: an impossible value.
    """
    depths = [num_layers] if depths is None else depths
    if not is_ascending(depths):
        raise UserError(f"search_space.depths: {depths} must be a non-empty ascending list of positive integers")
    if depths[-1] != num_layers:
        raise UserError(f"search_space.depths: the largest of {depths} must equal num_layers, {num_layers}")
    if drop_order is None:
        seconds = list(range(num_layers - 2, 0, -2))
        rest = [layer for layer in range(num_layers - 1, 0, -1) if layer not in seconds]
        drop_order = [*seconds, *rest, 0]
    if not are_integers(drop_order) or sorted(drop_order) != list(range(num_layers)):
        raise UserError(f"search_space.drop_order: {drop_order} must hold each layer from 0 to {num_layers - 1} once")
    return Stack(num_layers, tuple(depths), tuple(drop_order))


def are_integers(values) -> bool:
    """Whether it is a list of integers, which true and false are not."""
    return isinstance(values, list | tuple) and all(isinstance(v, int) and not isinstance(v, bool) for v in values)


def is_ascending(values) -> bool:
    """Whether it is a non-empty ascending list of positive integers."""
    return are_integers(values) and len(values) > 0 and values[0] > 0 and list(values) == sorted(set(values))
