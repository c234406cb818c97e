"""A folder of files with their SHA-256 sums."""

import hashlib
from pathlib import Path

from espnet_plugin.common.files import is_plain_name, read_text
from espnet_plugin.errors import UserError

SUMS = "SHA256SUMS"


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sums_text(folder: Path) -> str:
    """SHA-256 sums of a folder's files as ``sha256sum -c`` reads them."""
    return "".join(f"{digest(path)}  {path.name}\n" for path in sorted(folder.iterdir()) if path.name != SUMS)


def check_sums(folder: Path) -> set[str]:
    """Compare all files with SHA256SUMS. Returns: names that it lists.

    Raises:
        UserError: the list is missing, not UTF-8 or broken, or a file is missing or was changed.
    """
    listing = folder / SUMS
    if not listing.is_file():
        raise UserError(f"'{listing}' does not exist")
    names = set()
    for line in read_text(listing).splitlines():
        expected, _, name = line.partition("  ")
        if not is_plain_name(name):
            raise UserError(f"'{listing}': '{line}' must be a sum and the name of a file beside it")
        if not (folder / name).is_file():
            raise UserError(f"'{folder / name}' does not exist, though {SUMS} lists it")
        if digest(folder / name) != expected:
            raise UserError(f"'{folder / name}' was changed: its sum is not the one in {SUMS}")
        names.add(name)
    return names
