"""Configurations made of others: a YAML file whose ``base`` names another file says only what differs from it."""

import os
from pathlib import Path

import yaml

from espnet_plugin.errors import UserError


def read_yaml(path: Path) -> dict:
    """One file as it stands.

    Raises:
        UserError: no such file, or no YAML dictionary.
    """
    if not path.is_file():
        raise UserError(f"configuration '{path}' does not exist")
    try:
        conf = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1}" if where else ""
        raise UserError(f"configuration '{path}'{line}: is not YAML") from error
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
    path = Path(path)
    if path.resolve() in above:
        raise UserError(f"configuration '{path}': base leads back to the file itself")
    if above and not path.is_file():
        raise UserError(f"configuration '{above[-1]}': base '{path}' does not exist")
    conf = read_yaml(path)
    if "base" not in conf:
        return conf
    base = conf.pop("base")
    if not isinstance(base, str):
        raise UserError(f"configuration '{path}': base {base!r} must be the name of one YAML file")
    return merge(compose(path.parent / base, (*above, path.resolve())), conf)


def write_composed(path: Path, out: Path) -> dict:
    """Write a composed configuration as one plain file, whole, and return it."""
    conf = compose(path)
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    text = yaml.safe_dump(conf, sort_keys=False, allow_unicode=True)
    temporary.write_text(f"# Composed of {path} and its bases.\n{text}", encoding="utf-8")
    temporary.replace(out)
    return conf


def composed_arguments(argv: list[str]) -> list[str]:
    """A training's arguments with a ``--config`` that has a base replaced by one plain file, ``composed.yaml`` in ``--output_dir``.

    Raises:
        UserError: see `compose`; or no ``--output_dir`` to write to.
    """
    found = {}
    for position, word in enumerate(argv):
        key, equals, value = word.partition("=")
        if key in ("--config", "--output_dir") and (equals or position + 1 < len(argv)):
            found[key] = (position, 1, value) if equals else (position, 2, argv[position + 1])
    if "--config" not in found or "base" not in read_yaml(Path(found["--config"][2])):
        return argv
    if "--output_dir" not in found:
        raise UserError("--config: a configuration with a base needs --output_dir, where it is stored in one piece")
    position, words, config = found["--config"]
    out = Path(found["--output_dir"][2]) / "composed.yaml"
    write_composed(Path(config), out)
    return [*argv[:position], "--config", str(out), *argv[position + words :]]
