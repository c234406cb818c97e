"""How long a subnet takes on a device, as the sum of its blocks that were timed there.

A table is a JSON file: it is made on the device and used anywhere; nothing here needs torch.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from espnet_plugin.errors import UserError
from espnet_plugin.supernet.subnet import DIRECTIONS, Subnet

VERSION = 2
FRAME_RATE = 25  # encoder frames a second


@dataclass(frozen=True)
class Fixed:
    """What a supernet's search space leaves fixed.

    Args:
        dim, heads, prediction, joiner: widths where a subnet names none; directions: 1 or 2.
    """

    dim: int
    heads: int
    prediction: int
    joiner: int
    directions: int

    def blocks(self, subnet: Subnet) -> list[str]:
        """Names of the blocks that a subnet runs for an utterance, each once; of the search there are two, see `LatencyTable`."""
        d, heads = subnet.dim or self.dim, subnet.heads or (self.heads,) * len(subnet.layers)
        way = subnet.direction or DIRECTIONS[self.directions - 1]
        search = f"d{d} p{subnet.prediction or self.prediction} j{subnet.joiner or self.joiner}"
        mixers = [f"mixer d{d} h{count} {way}" for count in heads]
        ffns = [f"feed-forward d{d} x{width}" for width in subnet.ffn]
        return [f"stem d{d}", *mixers, *ffns, f"silent {search}", f"emitting {search}"]


def share_of(symbols_per_second: float) -> float:
    """Frames at which search finds a symbol, of all."""
    return min(1.0, symbols_per_second / FRAME_RATE)


def weighted_blocks(fixed: Fixed, subnet: Subnet, share: float) -> list[tuple[str, float]]:
    """Blocks of a subnet and how often each counts. Args: share: see `share_of`."""
    *blocks, silent, emitting = fixed.blocks(subnet)
    return [*((block, 1.0) for block in blocks), (silent, 1 - share), (emitting, share)]


@dataclass(frozen=True)
class LatencyTable:
    """Times of blocks on one device.

    The search is timed twice, with a symbol at no frame (``silent``) and at every frame (``emitting``); a prediction lies between, by the
    symbols a second that are expected.

    Args:
        device: description of the machine and its software.
        runtime: what ran the blocks.
        audio: ``utterance``, or ``chunk`` of a stream.
        audio_seconds: length of it, s.
        symbols_per_second: expected in speech.
        fixed: see `Fixed`.
        times: threads -> block -> s.
    """

    device: dict
    runtime: str
    audio: str
    audio_seconds: float
    symbols_per_second: float
    fixed: Fixed
    times: dict[int, dict[str, float]]

    def latency(self, subnet: Subnet, threads: int = 1) -> float:
        """Time to recognise `audio_seconds` of speech, s.

        Raises:
            UserError: a block, or the number of threads, was not timed.
        """
        if threads not in self.times:
            raise UserError(f"--threads: {threads} was not timed on this device, only {sorted(self.times)}")
        times = self.times[threads]
        blocks = weighted_blocks(self.fixed, subnet, share_of(self.symbols_per_second))
        for block, _ in blocks:
            if block not in times:
                raise UserError(f"--device: block '{block}' of subnet '{subnet}' was not timed, make the table anew")
        return sum(weight * times[block] for block, weight in blocks)

    def real_time_factor(self, subnet: Subnet, threads: int = 1) -> float:
        """Seconds of computing a second of audio."""
        return self.latency(subnet, threads) / self.audio_seconds

    def to_json(self) -> str:
        content = {"version": VERSION} | vars(self) | {"fixed": vars(self.fixed)}
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
        if not Path(path).is_file():
            raise UserError(f"--device: '{path}' does not exist, make it on the device with 'espnet-todm latency'")
        try:
            return cls.parse(json.loads(Path(path).read_text()))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"--device: '{path}' is not what 'espnet-todm latency' writes") from error

    @classmethod
    def parse(cls, content: dict) -> "LatencyTable":
        """Args: content: of the file. It raises what its content raises."""
        if content["version"] != VERSION:
            raise ValueError(f"version {content['version']}")
        parts = {key: value for key, value in content.items() if key != "version"}
        parts["fixed"] = Fixed(**content["fixed"])
        parts["times"] = {int(threads): times for threads, times in content["times"].items()}
        return cls(**parts)
