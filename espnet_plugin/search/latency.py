"""How long a subnet takes on a device, as the sum of its blocks that were timed there.

A table is a JSON file: it is made on the device and used anywhere.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from espnet_plugin.common.conf import build_conf, is_of
from espnet_plugin.common.files import read_json
from espnet_plugin.errors import UserError
from espnet_plugin.search.blocks import ModelBlocks
from espnet_plugin.supernet.subnet import Subnet

VERSION = 3
AGAIN = "make the table again with 'espnet-todm latency'"


@dataclass(frozen=True)
class LatencyTable:
    """Times of blocks on one device.

    The search is timed twice, with a symbol at no frame and at every frame (see `ModelBlocks`); a prediction lies between, by the symbols
    a second that are expected.

    Args:
        device: description of the machine and its software.
        runtime: what ran the blocks.
        audio: ``utterance``, or ``chunk`` of a stream.
        audio_seconds: length of it, s.
        symbols_per_second: expected in speech.
        fixed: sizes of the supernet by name, see `ModelBlocks.sizes`.
        times: threads -> block -> s.

    Raises:
        UserError: naming a key and its value that cannot be.
    """

    device: dict
    runtime: str
    audio: str
    audio_seconds: float
    symbols_per_second: float
    fixed: dict[str, int]
    times: dict[int, dict[str, float]]

    def __post_init__(self):
        if not 0 < self.audio_seconds < math.inf:
            raise UserError(f"audio_seconds: {self.audio_seconds} must be finite and above 0")
        if not 0 <= self.symbols_per_second < math.inf:
            raise UserError(f"symbols_per_second: {self.symbols_per_second} must be finite and at least 0")
        for name, size in self.fixed.items():
            if not is_of(size, int):
                raise UserError(f"fixed.{name}: {size!r} must be an integer")
        for threads, times in self.times.items():
            for block, time in times.items():
                if not is_of(time, float) or not 0 <= time < math.inf:
                    raise UserError(f"times.{threads}.{block}: {time!r} must be a finite number of at least 0, in s")

    def check(self, sizes: dict[str, int]) -> None:
        """
        Args:
            sizes: of the supernet to use the table for, see `ModelBlocks.sizes`.

        Raises:
            UserError: it was made of another one.
        """
        for name in sizes | self.fixed:
            there, here = self.fixed.get(name, "not noted"), sizes.get(name, "no such size")
            if there != here:
                raise UserError(
                    f"--device: the table is of a supernet with {name} {there}, this one has {here}: {AGAIN}"
                )

    def latency(self, blocks: ModelBlocks, subnet: Subnet, threads: int = 1) -> float:
        """Time to recognise `audio_seconds` of speech, s.

        Args:
            blocks: of the supernet; threads: of the device.

        Raises:
            UserError: a block, or the number of threads, was not timed.
        """
        if threads not in self.times:
            raise UserError(f"--threads: {threads} was not timed on this device, only {sorted(self.times)}")
        times = self.times[threads]
        weighted = blocks.weighted(subnet, blocks.share(self.symbols_per_second))
        for block, _ in weighted:
            if block not in times:
                raise UserError(f"--device: block '{block}' of subnet '{subnet}' was not timed, make the table anew")
        return sum(weight * times[block] for block, weight in weighted)

    def real_time_factor(self, blocks: ModelBlocks, subnet: Subnet, threads: int = 1) -> float:
        """Seconds of computing a second of audio, see `latency`."""
        return self.latency(blocks, subnet, threads) / self.audio_seconds

    def to_json(self) -> str:
        content = {"version": VERSION} | vars(self)
        content["times"] = {
            threads: {block: float(f"{t:.4g}") for block, t in times.items()} for threads, times in self.times.items()
        }
        return json.dumps(content, indent=1) + "\n"

    @classmethod
    def read(cls, path: Path) -> "LatencyTable":
        """Read what `to_json` wrote.

        Raises:
            UserError: no such file, or another content.
        """
        try:
            content = read_json(Path(path))
        except UserError as error:
            raise UserError(f"--device: {error}, so it is not what 'espnet-todm latency' writes") from error
        if content is None:
            raise UserError(f"--device: '{path}' does not exist, make it on the device with 'espnet-todm latency'")
        try:
            return cls.parse(content)
        except UserError as error:
            raise UserError(f"--device: '{path}': {error}") from error

    @classmethod
    def parse(cls, content: dict) -> "LatencyTable":
        """Args: content: of the file.

        Raises:
            UserError: naming the key, the value and what is allowed.
        """
        if not isinstance(content, dict) or "version" not in content:
            raise UserError(f"is not what 'espnet-todm latency' writes, {AGAIN}")
        if content["version"] != VERSION:
            raise UserError(
                f"version: {content['version']!r} must be {VERSION}, which notes the supernet's shapes: {AGAIN}"
            )
        parts = {key: value for key, value in content.items() if key != "version"}
        times: Any = parts.get("times")
        for threads, blocks in times.items() if isinstance(times, dict) else [(None, None)]:
            if not str(threads).isdecimal() or not isinstance(blocks, dict):
                raise UserError("times: must hold for each number of threads a dictionary of blocks and their times")
        return build_conf("table", cls, parts | {"times": {int(threads): blocks for threads, blocks in times.items()}})
