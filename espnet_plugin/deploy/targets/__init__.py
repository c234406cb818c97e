"""Export formats, one file each: ``espnet-todm export --format NAME`` finds ``NAME.py`` here, with ``_`` for ``-``.

A file has:

- ``HELP``: what runs the format, for ``--help``;
- ``check(count, int8, streaming)``: raises a `UserError` for options that the format does not take, before anything is loaded;
- ``export(sizes, out, int8, streaming, inputs)``: writes ``out`` from extracted sizes (name -> `TrainedModel`) and returns the lines that
  the verb prints. ``inputs`` are their model directories, which ``out`` must not hold. It raises a `UserError` for a model that cannot be
  exported. Packages that the format needs are imported inside it, so that ``--help`` works without them.
"""

import pkgutil
from importlib import import_module
from types import ModuleType


def names() -> list[str]:
    """Of all formats."""
    return sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__))


def target(name: str) -> ModuleType:
    """The file of a format. Args: name: one of `names`."""
    return import_module(f"{__name__}.{name.replace('-', '_')}")
