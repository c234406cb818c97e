"""A simulated accelerator: tensors that say they are on a device, are computed on the CPU, and count what a GPU's host would do.

A step that runs on it shows with real values what would fail on a GPU or keep it waiting. Counted are operations of torch, not kernels: one
operation of torch starts one kernel as a rule, some start several, and operations on lists of tensors (``_foreach``) one for some dozens
of tensors. Views and allocations start none. Not simulated: time, memory, streams, half precision.

Built on torch's Python backend for PrivateUse1, which is experimental: only counting depends on it.
"""

import collections
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from types import FrameType
from typing import Any

import torch
import torch.utils.backend_registration as registration
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

NAME = "simulated"
PACKAGE = "/espnet_plugin/"
# Operations whose result or whose shape Python has to know.
WAITS = {"_local_scalar_dense", "nonzero", "is_nonzero", "equal", "masked_select", "_unique2", "unique_dim"}
ALLOCATIONS = {"empty", "empty_like", "new_empty", "empty_strided", "new_empty_strided", "_unsafe_view", "resize_"}
COPIES = {"_to_copy", "copy_", "_copy_from"}
MASKS = {"index", "index_put", "index_put_"}  # they wait where an index is a mask


@dataclass
class Counts:
    """What was counted, by operation and the line of this package that ran; "autograd" where none did.

    Args:
        launches: operations started on the device.
        waits: times at which the host waited for the device.
        mixed_devices: operations on tensors of the device and of the CPU, which a GPU refuses.
        host_tensors: tensors made on the host and sent over.
    """

    launches: collections.Counter = field(default_factory=collections.Counter)
    waits: collections.Counter = field(default_factory=collections.Counter)
    mixed_devices: collections.Counter = field(default_factory=collections.Counter)
    host_tensors: collections.Counter = field(default_factory=collections.Counter)

    def totals(self) -> dict[str, int]:
        return {key: counter.total() for key, counter in vars(self).items()}

    def launches_in(self, *files: str) -> int:
        """Launches whose line is in one of the files, as ``transducer/lattice.py``."""
        return sum(count for (_, place), count in self.launches.items() if place.startswith(files))

    def report(self, most: int = 12) -> str:
        """The most frequent places of each count."""
        lines = []
        for key, counter in vars(self).items():
            places: collections.Counter[str] = collections.Counter()
            for (name, place), count in counter.items():
                places[place if key == "launches" else f"{place}: {name}"] += count
            lines.append(f"{key}: {counter.total()}")
            lines += [f"  {count:6} {place}" for place, count in places.most_common(most)]
        return "\n".join(lines)


class Backend(registration._DummyBackendModule):
    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16, torch.float16]


@cache
def device() -> torch.device:
    """The simulated device, registered with torch on first use."""
    registration._setup_privateuseone_for_python_backend(NAME, backend_module=Backend())
    # A GPU has a kernel for it; elsewhere torch takes it to pieces.
    LIBRARY.impl("silu_backward", lambda *args: execute(torch.ops.aten.silu_backward.default, args, {}), "PrivateUse1")
    EVERYTHING.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")  # no cast is simulated
    return torch.device(NAME, 0)


def running_line() -> str:
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        file = frame.f_code.co_filename
        if PACKAGE in file and file != __file__:
            return f"{file.rsplit(PACKAGE, 1)[-1]}:{frame.f_lineno} {frame.f_code.co_name}"
        frame = frame.f_back
    return "autograd"


LIBRARY, EVERYTHING = torch.library.Library("aten", "IMPL"), torch.library.Library("_", "IMPL")
counts: Counts | None = None  # of the counting that runs


def note(kind: str, name: str) -> None:
    if counts is not None:
        getattr(counts, kind)[(name, running_line())] += 1


class Simulated(torch.Tensor):
    """A tensor on the simulated device. Args: host: the CPU tensor that holds its numbers."""

    host: torch.Tensor

    @staticmethod
    def __new__(cls, host: torch.Tensor):
        layout: dict[str, Any] = dict(
            strides=host.stride(), storage_offset=host.storage_offset(), dtype=host.dtype, layout=host.layout
        )
        tensor = torch.Tensor._make_wrapper_subclass(cls, host.size(), **layout, requires_grad=False, device=device())
        tensor.host = host
        return tensor

    def __repr__(self, **_) -> str:  # type: ignore[override]
        return f"Simulated({self.host})"

    # These two go around the dispatcher.
    def new_tensor(self, data, dtype=None, **_) -> "Simulated":  # type: ignore[override]
        note("host_tensors", "new_tensor")
        return Simulated(torch.tensor(data, dtype=dtype or self.dtype))

    def tolist(self) -> list:
        note("waits", "tolist")
        return self.host.tolist()

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return execute(func, args, kwargs or {})


class Factories(TorchDispatchMode):
    """Lets tensors be made on the device."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return execute(func, args, kwargs or {})


class HostTensors(TorchFunctionMode):
    """Lets ``torch.tensor(numbers, device=...)`` make tensors on the device; it goes around the dispatcher, too."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        asked = kwargs.get("device")
        if func not in (torch.tensor, torch.as_tensor) or asked is None or torch.device(asked).type != NAME:
            return func(*args, **kwargs)
        note("host_tensors", func.__name__)
        return Simulated(func(*args, **kwargs | {"device": "cpu"}))


def observe(func, args: tuple, kwargs: dict, tensors: list[torch.Tensor]) -> bool:
    """Count an operation. Returns: whether its result is on the device."""
    name = func._schema.name.split("::")[-1]
    ours = [x for x in tensors if isinstance(x, Simulated)]
    others = [x for x in tensors if not isinstance(x, Simulated) and x.dim() > 0]  # numbers may be on the CPU
    asked = kwargs.get("device")
    asked = None if asked is None else torch.device(asked).type
    on_device = bool(ours) if asked is None else asked == NAME
    copy = name in COPIES
    if name == "copy_":
        on_device = isinstance(args[0], Simulated)
    if ours and others and not (copy or name in MASKS):
        note("mixed_devices", name)
    if (copy and on_device and len(ours) < len(tensors)) or (name in MASKS and ours and others):
        note("host_tensors", name)
    masked = name in MASKS and any(isinstance(x, torch.Tensor) and x.dtype == torch.bool for x in args[1])
    if ours and (name in WAITS or (copy and not on_device) or masked):
        note("waits", name)
    elif on_device and not (func.is_view or name in ALLOCATIONS):
        note("launches", name)
    return on_device


def execute(func, args: tuple, kwargs: dict):
    """Run an operation on the CPU tensors behind its arguments."""
    if (
        func is torch.ops.aten._conj.default
    ):  # a view that is computed when it is used, which nothing below here would do
        func = torch.ops.aten._conj_physical.default
    tensors = [x for x in tree_flatten((args, kwargs))[0] if isinstance(x, torch.Tensor)]
    on_device = observe(func, args, kwargs, tensors)

    def inside(x):
        if isinstance(x, torch.device):
            return torch.device("cpu") if x.type == NAME else x
        return x.host if isinstance(x, Simulated) else x

    args, kwargs = tree_map(inside, args), tree_map(inside, kwargs)
    if "device" in kwargs and isinstance(kwargs["device"], str):
        kwargs["device"] = "cpu"
    if kwargs.get("pin_memory"):
        kwargs["pin_memory"] = False
    out = func(*args, **kwargs)
    if not on_device:
        return out
    known = {id(x.host): x for x in tensors if isinstance(x, Simulated)}  # of operations in place

    def outside(x):
        if not isinstance(x, torch.Tensor) or isinstance(x, Simulated):
            return x
        return known.get(id(x)) if id(x) in known else Simulated(x)

    return tree_map(outside, out)


def to_device(value):
    """A module (in place), a tensor, or a dictionary of tensors, on the simulated device; anything else as it is."""
    if isinstance(value, torch.nn.Module):
        for module in value.modules():
            for name, parameter in module._parameters.items():
                if parameter is not None:
                    moved = torch.nn.Parameter(Simulated(parameter.data), requires_grad=parameter.requires_grad)
                    module._parameters[name] = moved
            for name, buffer in module._buffers.items():
                if buffer is not None:
                    module._buffers[name] = Simulated(buffer)
        return value
    if isinstance(value, dict):
        return {key: to_device(x) for key, x in value.items()}
    return Simulated(value) if isinstance(value, torch.Tensor) and not isinstance(value, Simulated) else value


@contextmanager
def counting() -> Iterator[Counts]:
    """Count what runs inside, on tensors and modules of `to_device`."""
    global counts
    device()
    before, counts = counts, Counts()
    try:
        with HostTensors(), Factories():
            yield counts
    finally:
        counts = before
