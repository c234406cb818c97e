"""What a subnet costs on a device, and the limits that a user sets to it."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from espnet_plugin.asr.inference.extract import cost, space_of
from espnet_plugin.asr.training.model import TODMModel
from espnet_plugin.errors import UserError
from espnet_plugin.search.blocks import ModelBlocks
from espnet_plugin.search.latency import LatencyTable
from espnet_plugin.supernet.subnet import Subnet

UNITS = {
    "params": {"": 1, "k": 1e3, "M": 1e6, "G": 1e9},
    "macs": {"": 1, "k": 1e3, "M": 1e6, "G": 1e9},
    "size": {"": 1, "B": 1, "kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 2**10, "MiB": 2**20},
    "latency": {"s": 1, "ms": 1e-3, "us": 1e-6},
}
NAMES = {
    "params": "parameters",
    "macs": "multiply-adds a second",
    "size": "bytes of weights",
    "latency": "seconds of latency",
}


def quantity(kind: str, text: str) -> float:
    """``10M`` parameters or multiply-adds a second, ``12MB`` of weights, ``80ms``: as a number in units, bytes, seconds.

    Args:
        kind: a key of `UNITS`.

    Raises:
        UserError: not a positive number with one of the kind's units.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?([A-Za-z]*)", text.strip())
    units = UNITS[kind]
    if match is None or match[2] not in units or not 0 < float(match[1]) < math.inf:
        allowed = ", ".join(unit for unit in units if unit)
        raise UserError(f"--max-{kind}: '{text}' must be a number above 0 and a unit, one of {allowed}")
    return float(match[1]) * units[match[2]]


def matrices(model: TODMModel, subnet: Subnet) -> Iterator[tuple[int, int]]:
    """Inputs and outputs of each matrix product that int8 quantisation reaches: convolutions, linear layers, joiner."""
    d, prediction, joiner = (subnet[name] for name in ("d_model", "prediction", "joiner"))
    yield from model.encoder.products(subnet)
    yield d, joiner
    yield prediction, joiner
    yield joiner, model.vocab_size


def weight_bytes(model: TODMModel, subnet: Subnet, params: int, int8: bool) -> int:
    """Bytes of the weights of a subnet's stand-alone model: 4 for each, or with `int8` 1 for those of matrix products.

    Each output of a quantised product has a scale (4 bytes) and a zero point (1 byte) besides. What a file format adds is not counted.

    Args:
        params: of the stand-alone model.
    """
    if not int8:
        return 4 * params
    products = list(matrices(model, subnet))
    weights = sum(inputs * outputs for inputs, outputs in products)
    return 4 * (params - weights) + weights + 5 * sum(outputs for _, outputs in products)


@dataclass(frozen=True)
class Costs:
    """All costs of any subnet, without building it; each is counted once, since a search asks for the same ones many times.

    Args:
        model: supernet.
        int8: whether sizes are those of int8 weights.
        table: of a device, None where no latency is asked for.
        threads: of that device that the model may use.

    Raises:
        UserError: the table is of another supernet; or sizes of this one cannot be exported, where int8 weights or latency are asked for.
    """

    model: TODMModel
    int8: bool = False
    table: LatencyTable | None = None
    threads: int = 1
    counted: dict[Subnet, dict[str, float]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self):
        if self.int8:
            self.model.encoder.products(space_of(self.model).min)
        if self.table is not None:
            self.table.check(self.blocks.sizes)

    @cached_property
    def blocks(self) -> ModelBlocks:
        return ModelBlocks(self.model)

    def of(self, subnet: Subnet) -> dict[str, float]:
        """Kind (see `UNITS`) -> cost; ``latency`` only with a table."""
        if subnet not in self.counted:
            self.counted[subnet] = self.count(subnet)
        return self.counted[subnet]

    def count(self, subnet: Subnet) -> dict[str, float]:
        whole = cost(self.model, subnet)
        size = weight_bytes(self.model, subnet, whole.params, self.int8)
        costs: dict[str, float] = {"params": whole.params, "macs": whole.macs, "size": size}
        if self.table is not None:
            costs["latency"] = self.table.latency(self.blocks, subnet, self.threads)
        return costs


@dataclass(frozen=True)
class Limits:
    """The most that each kind of cost may be. Args: most: kind -> number, kinds without a limit are missing."""

    most: dict[str, float]

    def excess(self, costs: dict[str, float]) -> dict[str, float]:
        """Kind -> how many times its limit a cost is, of those that are beyond."""
        return {kind: share for kind, share in self.shares(costs).items() if share > 1}

    def shares(self, costs: dict[str, float]) -> dict[str, float]:
        """Limited kind -> how many times its limit a cost is."""
        return {kind: costs[kind] / most for kind, most in self.most.items()}
