"""Names of the sizes of an experiment."""

from pathlib import Path

from espnet_plugin.common.files import is_plain_name, read_json
from espnet_plugin.errors import UserError


def size_names(path: Path) -> list[str]:
    """The names.

    Raises:
        UserError: no such file, or other content.
    """
    found = read_json(path)
    if found is None:
        raise UserError(f"'{path}' does not exist, run stage 7 first")
    try:
        names = [size["name"] for size in found["sizes"]]
    except (KeyError, TypeError):
        names = []
    if not names or not all(is_plain_name(name) and " " not in name for name in names):
        raise UserError(f"'{path}' is not what stage 7 writes, run it again with --redo true")
    return names
