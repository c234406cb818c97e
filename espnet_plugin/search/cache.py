"""Evaluated subnets in an append-only file, so that a search that was killed goes on where it was."""

import json
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path

from espnet_plugin.common.files import need_file, write_errors
from espnet_plugin.errors import UserError
from espnet_plugin.supernet.subnet import Subnet


class EvaluationCache:
    """A value for each (measure, subnet), kept as a line of JSON as soon as it is known.

    A line that was torn by a kill, at the end or in front of what a later run appended, is left out. Values of other keys, as of another
    checkpoint, stay in the file and are not seen.

    Args:
        path: file, made when the first value comes; None to keep nothing.
        keys: measure -> what its values depend on, in a short text.
        parse: a subnet from its text form, such as `SearchSpace.parse`.

    Raises:
        UserError: the file holds something else.
    """

    def __init__(self, path: Path | None, keys: dict[str, str], parse: Callable[[str], Subnet]):
        self.path, self.keys, self.parse = path, keys, parse
        self.values: dict[tuple[str, Subnet], float] = {}
        self.torn = False
        if path is not None and path.exists():
            self.read(need_file("cache", path))

    def read(self, path: Path) -> None:
        lines = path.read_bytes().split(b"\n")
        self.torn = bool(lines.pop())  # behind the last line break
        known, broken = 0, 0
        for line in filter(None, lines):
            try:
                entry = json.loads(line)
                measure, key, subnet, value = (entry[k] for k in ("measure", "key", "subnet", "value"))
                value = float(value)
                if not 0 <= value < math.inf:  # as of no error rate or loss
                    raise ValueError(value)
                if self.keys.get(measure) == key:  # others may be of another space
                    self.values[measure, self.parse(subnet)] = value
            except (ValueError, KeyError, TypeError, UserError):
                broken += 1
                continue
            known += 1
        if broken > known:
            raise UserError(f"cache '{self.path}' is not a file of evaluated subnets, name another one")
        if broken:
            print(f"note: cache '{path}': {broken} lines hold no value and are left out", file=sys.stderr)

    def get(self, measure: str, subnet: Subnet) -> float | None:
        return self.values.get((measure, subnet))

    def put(self, measure: str, subnet: Subnet, value: float) -> None:
        """Remember a value and append it to the file."""
        self.values[measure, subnet] = value
        if self.path is None or not math.isfinite(value):
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        entry = {"measure": measure, "key": self.keys[measure], "subnet": str(subnet), "value": value}
        line = json.dumps(entry) + "\n"
        with write_errors(self.path), self.path.open("ab") as file:
            file.write((("\n" if self.torn else "") + line).encode())
            file.flush()
            os.fsync(file.fileno())
        self.torn = False
