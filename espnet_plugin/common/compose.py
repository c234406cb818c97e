"""Configurations made of others: a YAML file whose ``base`` names another file says only what differs from it."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from yaml.composer import Composer

from espnet_plugin.common.files import read_text, write_whole
from espnet_plugin.errors import UserError

DEEPEST = 50  # dictionaries in dictionaries; ESPnet's have up to six


Loader: Any = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader  # libyaml's reads several times faster


class StrictLoader(Loader):
    """YAML in which no key stands twice, nothing holds itself, and nothing is nested deeper than a configuration can mean."""

    # PyYAML's own, in place of libyaml's, which call nothing that can be overridden.
    check_node, get_node, get_single_node = Composer.check_node, Composer.get_node, Composer.get_single_node
    compose_document, compose_scalar_node = Composer.compose_document, Composer.compose_scalar_node
    compose_sequence_node = Composer.compose_sequence_node

    def __init__(self, stream: str):
        super().__init__(stream)
        self.anchors: dict = {}
        self.open: list[str | None] = []  # anchors of what is being read, outermost first

    def compose_node(self, parent, index):
        event = self.peek_event()
        anchor = getattr(event, "anchor", None)
        if isinstance(event, yaml.AliasEvent):
            if anchor in self.open:
                raise Refused(f"'*{anchor}' stands within what it names", event.start_mark)
            return Composer.compose_node(self, parent, index)
        self.open.append(anchor)
        if len(self.open) > DEEPEST:
            raise Refused(f"is nested more than {DEEPEST} deep", event.start_mark)
        node = Composer.compose_node(self, parent, index)
        self.open.pop()
        return node

    def compose_mapping_node(self, anchor):
        node = Composer.compose_mapping_node(self, anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise Refused(f"key '{key.value}' stands twice", key.start_mark)
                seen.add(key.value)
        return node


class Refused(yaml.MarkedYAMLError):
    """YAML that is well-formed and not allowed. Args: problem: in words; mark: its place."""

    def __init__(self, problem: str, mark: yaml.Mark):
        super().__init__(problem=problem, problem_mark=mark)


def read_yaml(path: Path) -> dict:
    """One file as it stands.

    Raises:
        UserError: no such file, or no YAML dictionary, see `StrictLoader`; with the line's number.
    """
    if not path.is_file():
        raise UserError(f"configuration '{path}' {'is a folder' if path.is_dir() else 'does not exist'}")
    try:
        conf = yaml.load(read_text(path), StrictLoader)
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date that is none, an integer of thousands of digits
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1}" if where else ""
        problem = error.problem if isinstance(error, Refused) else "is not YAML"
        raise UserError(f"configuration '{path}'{line}: {problem}") from error
    if conf is None:
        return {}
    if not isinstance(conf, dict):
        raise UserError(f"configuration '{path}': must hold 'key: value' lines")
    return conf


def merge(base: dict, changes: dict) -> dict:
    """`base` with `changes`: dictionaries are merged key by key, any other value (a list, null) replaces what was there.

    Where ``NAME`` changes to another class, as ``optim: adam``, the base's options ``NAME_conf`` are those of a class that is gone, and are
    dropped. Neither argument is changed.
    """
    gone = {f"{key}_conf" for key, value in changes.items() if f"{key}_conf" in base and base.get(key) != value}
    merged = {key: value for key, value in base.items() if key not in gone}
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge(merged[key], value) if both else value
    return merged


def compose(path: Path, above: tuple[Path, ...] = ()) -> dict:
    """A configuration with its bases merged into it, without the key ``base``.

    Args:
        path: YAML file; ``base`` in it is relative to its folder.
        above: files that led here by their bases.

    Raises:
        UserError: a file that does not exist or is not YAML, a ``base`` that is not a file name, or bases that form a circle.
    """
    return compose_files(path, above)[0]


def compose_files(path: Path, above: tuple[Path, ...] = ()) -> tuple[dict, list[Path]]:
    """`compose`, and the files that it is made of."""
    path = Path(path)
    if path.resolve() in above:
        raise UserError(f"configuration '{path}': base leads back to the file itself")
    if above and not path.is_file():
        raise UserError(f"configuration '{above[-1]}': base '{path}' does not exist")
    conf = read_yaml(path)
    if "base" not in conf:
        return conf, [path]
    base = conf.pop("base")
    if not isinstance(base, str):
        raise UserError(f"configuration '{path}': base {base!r} must be the name of one YAML file")
    below, files = compose_files(path.parent / base, (*above, path.resolve()))
    return merge(below, conf), [path, *files]


def write_conf(conf: dict, out: Path, path: Path, inputs: Iterable[Path] = ()) -> None:
    """Write a composed configuration as one plain file, whole. Args: path: what it is composed of; inputs: files not to be replaced."""
    text = yaml.safe_dump(conf, sort_keys=False, allow_unicode=True)
    text = f"# Composed of {path} and its bases.\n{text}"
    write_whole(out, lambda whole: whole.write_text(text, encoding="utf-8"), inputs=inputs)


def write_composed(path: Path, out: Path) -> dict:
    """`compose` a configuration, `write_conf` it and return it.

    Raises:
        UserError: see both; or `out` is one of the files that it is made of.
    """
    conf, files = compose_files(path)
    write_conf(conf, out, path, files)
    return conf
