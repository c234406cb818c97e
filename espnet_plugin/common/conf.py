"""Keys of a YAML file: what a class takes, and from a dictionary to a frozen dataclass."""

import dataclasses
import inspect
import math
from collections.abc import Mapping, Sequence
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from espnet_plugin.common.bounds import Bounds, bounds_of, shown
from espnet_plugin.errors import UserError

PARTS = ("frontend", "specaug", "normalize", "preencoder", "encoder", "decoder", "model")
# What ESPnet itself passes, so what a configuration file cannot.
PASSED = {
    "self",
    "input_size",
    "vocab_size",
    "token_list",
    "joint_network",
    "ctc",
    "encoder_output_size",
    "postencoder",
    "params",
    "optimizer",
    *PARTS,
}

WORDS = {
    bool: "true or false",
    int: "an integer",
    float: "a number",
    str: "a text",
    dict: "a dictionary",
    type(None): "null",
}


def kinds_of(annotation) -> tuple:
    """The members of a union, or the one type."""
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)


def words_for(kind) -> str:
    """A type as people say it."""
    origin, inner = get_origin(kind) or kind, get_args(kind)
    if origin in WORDS:
        return WORDS[origin]
    return f"a list of {WORDS[inner[0]].split()[-1]}s" if inner else "a list"


def is_of(value, kind) -> bool:
    """Whether a value of a YAML or JSON file is of a type: an integer is a number too, while true, false and not-a-number are none.

    The items of lists are looked at, those of dictionaries are not.
    """
    origin, inner = get_origin(kind) or kind, get_args(kind)
    if kind in (int, float):
        numbers = int if kind is int else int | float
        return isinstance(value, numbers) and not isinstance(value, bool) and value == value
    if issubclass(origin, Sequence) and origin is not str:
        return isinstance(value, list | tuple) and all(is_of(item, inner[0]) for item in value if inner)
    return isinstance(value, origin)


def reads_as_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def need_kind(key: str, value, kinds) -> None:
    """Raise a `UserError` that names the key for a value that is of none of the types."""
    if not any(is_of(value, kind) for kind in kinds):
        if isinstance(value, str) and float in kinds and reads_as_number(value):
            raise UserError(f"{key}: {shown(value)} must be a number, YAML reads 1.0e-3 as one and not 1e-3")
        raise UserError(f"{key}: {shown(value)} must be {' or '.join(map(words_for, kinds))}")


def need_value(key: str, value, annotation) -> None:
    """Raise a `UserError` that names the key for a value that is not of an annotation's type, or not within its bounds."""
    kind, bounds = bounds_of(annotation)
    need_kind(key, value, kinds_of(kind))
    for one in bounds:
        one.check(key, value)


def check_fields(within: str, value: Any) -> None:
    """Hold the fields of a dataclass against their types and bounds, for its ``__post_init__``.

    Args:
        within: what it is called where a user writes it, as ``sampling_conf``; "" for nothing.

    Raises:
        UserError: naming the field and what is allowed.
    """
    types = get_type_hints(type(value), include_extras=True)
    for field in dataclasses.fields(value):
        need_value(f"{within}.{field.name}" if within else field.name, getattr(value, field.name), types[field.name])


def build_conf(key: str, cls, values: dict):
    """Build a configuration value.

    Args:
        key: name of the dictionary in the YAML file, for the message; "" for the file as a whole.
        cls: a dataclass.
        values: its fields.

    Raises:
        UserError: no dictionary, a field that the dataclass lacks or needs, a value of another type than its annotation; or what the
            dataclass itself raises.
    """
    if not isinstance(values, Mapping):
        raise UserError(f"{key}: {shown(values)} must be a dictionary")
    fields, types, within = dataclasses.fields(cls), get_type_hints(cls, include_extras=True), f"{key}." if key else ""
    allowed = [field.name for field in fields]
    for name, value in values.items():
        if name not in allowed:
            raise UserError(f"{within}{name}: unknown key, allowed are {', '.join(allowed)}")
        need_value(f"{within}{name}", value, types[name])
    for field in fields:
        if field.name not in values and field.default is field.default_factory is dataclasses.MISSING:
            raise UserError(f"{within}{field.name}: is missing")
    return cls(**values)


def is_known(kind) -> bool:
    """Whether `is_of` can tell values of a type in a YAML file: no paths, tensors and the like."""
    origin, inner = get_origin(kind) or kind, get_args(kind)
    if origin in WORDS:
        return True
    return isinstance(origin, type) and issubclass(origin, Sequence) and all(item in WORDS for item in inner[:1])


def check_keys(part: str, cls: type, conf: dict, bounds: Mapping[str, Bounds] = {}) -> None:
    """Refuse what ``<part>_conf`` gives the chosen class and its constructor cannot take.

    Values are held against the annotations of the constructor, and the bounds in them.

    Args:
        bounds: of keys of a class of another package, which declares none.

    Raises:
        UserError: naming the key and what is allowed.
    """
    if not isinstance(conf, Mapping):
        raise UserError(f"{part}_conf: {shown(conf)} must be a dictionary")
    parameters = inspect.signature(cls).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    try:
        types = get_type_hints(inspect.getattr_static(cls, "__init__"), include_extras=True)
    except (NameError, TypeError):  # annotations of another package that mean nothing here
        types = {}
    allowed = [name for name in parameters if name not in PASSED]
    for key, value in conf.items():
        if key not in allowed:
            raise UserError(f"{part}_conf.{key}: unknown key of {cls.__name__}, allowed are {', '.join(allowed)}")
        kind, limits = bounds_of(types.get(key))
        if value != parameters[key].default and all(map(is_known, kinds_of(kind))):
            need_kind(f"{part}_conf.{key}", value, kinds_of(kind))
        for one in [*limits, *([bounds[key]] if key in bounds else [])]:
            one.check(f"{part}_conf.{key}", value)
    for key in allowed:
        if parameters[key].default is inspect.Parameter.empty and key not in conf:
            raise UserError(f"{part}_conf.{key}: is missing, {cls.__name__} needs it")
