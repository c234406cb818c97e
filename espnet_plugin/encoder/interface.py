"""What an encoder is to the rest of the package: this contract is all that `asr`, `search` and `deploy` know of one.

An encoder of one size is an `Encoder`. A supernet is an `ElasticEncoder`, which besides runs at any subnet of its search space and cuts
one out. What not every encoder can do (run on a stream, be exported, have its blocks timed) is an ability: a method that an encoder
overrides, and that refuses by name where it does not.

Shapes: B batch, S input frames (10 ms), T encoder frames, F input features, D model dimension.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from espnet_plugin.encoder.checks import check_lengths
from espnet_plugin.errors import UserError
from espnet_plugin.supernet.cost import Cost
from espnet_plugin.supernet.slices import leading
from espnet_plugin.supernet.space import SearchSpace
from espnet_plugin.supernet.subnet import Subnet


class Stem(ABC):
    """What every net of a step shares: computed once a batch. Subclasses are frozen dataclasses.

    Attributes:
        lengths: (B,) valid encoder frames.
    """

    lengths: torch.Tensor

    @abstractmethod
    def select(self, rows: torch.Tensor | list[int]) -> "Stem":
        """The stem of some utterances. Args: rows: (b,) indices into the batch."""


class EncoderStream(ABC):
    """An encoder on a stream, chunk by chunk. A state is a value, so that one object serves many streams.

    Attributes:
        look_ahead: input frames behind its own ones that an encoder frame waits for.
    """

    look_ahead: int

    @abstractmethod
    def start(self) -> Any:
        """State before the first frame."""

    @abstractmethod
    def advance(self, feats: torch.Tensor, state: Any) -> tuple[torch.Tensor, Any]:
        """Encoder frames that a chunk completes. Args: feats (B, S, F), any S. Returns: (B, T, D), T may be 0, and the next state."""


class ExportParts(ABC):
    """An encoder of one size as modules that become graphs on a device; they take features that are not normalised.

    Attributes:
        stream_frames: input frames that a call on a stream takes.
        stream_shift: input frames by which the next call moves on.
    """

    stream_frames: int
    stream_shift: int

    @abstractmethod
    def offline(self) -> torch.nn.Module:
        """Whole utterances: x (B, S, F), lengths (B,) -> (B, T, D), (B,)."""

    @abstractmethod
    def streaming(self) -> torch.nn.Module:
        """The next frames of a stream: x (B, stream_frames, F), state (B, n) -> (B, T, D), next state. Its ``state_size`` is n.

        Raises:
            UserError: the encoder needs the whole audio.
        """

    @abstractmethod
    def ends(self, streaming: bool) -> torch.nn.Module:
        """What comes before and behind the layers: the inputs of `offline` (or x alone of `streaming`) -> (B, T, D)."""


@dataclass(frozen=True)
class Block:
    """A part of a layer whose time is measured, of ordinary modules as in an encoder of one size.

    Args:
        name: in a latency table.
        width: D, channels that it takes and gives.
        module: makes it for torch, x (1, T, D), mask (1, T, 1) -> (1, T, D).
        chain: makes so many copies, one after the other, as a device runs them. Returns the module, and name -> (shape, kind) of its
            inputs after x; a state is called ``c``, its next value is the second output.
    """

    name: str
    width: int
    module: Callable[[], torch.nn.Module]
    chain: Callable[[int], tuple[torch.nn.Module, dict[str, tuple]]]


@dataclass(frozen=True)
class Audio:
    """What is timed. Args: streaming: a chunk, else an utterance; frames: S; encoder_frames: T; seconds: of audio."""

    streaming: bool
    frames: int
    encoder_frames: int
    seconds: float

    @property
    def name(self) -> str:
        return "chunk" if self.streaming else "utterance"


class TimingBlocks(ABC):
    """The blocks of a supernet, whose times add up to that of any subnet."""

    @abstractmethod
    def shapes(self) -> dict[str, int]:
        """Sizes that no block's name tells: a latency table is for supernets of these sizes."""

    @abstractmethod
    def names(self, subnet: Subnet) -> list[str]:
        """Blocks that a subnet runs, one as often as it runs; the one of the encoder's ends first."""

    @abstractmethod
    def ends(self, width: int) -> torch.nn.Module:
        """What comes before and behind the layers, for torch: normalised features (1, S, F) -> (1, T, width)."""

    @abstractmethod
    def widths(self, space: SearchSpace) -> dict[int, Subnet]:
        """Widths of the encoder's output in a space, and for each the smallest subnet that has it."""

    @abstractmethod
    def layers(self, space: SearchSpace, audio: Audio) -> Iterator[Block]:
        """Every block of the layers in a space."""

    @abstractmethod
    def audio(self, seconds: float, streaming: bool) -> Audio:
        """An utterance of about `seconds`, or the chunk of a stream that the exported encoder takes."""


ABSENT = "absent"  # attribute of a method that refuses an ability


def absent(method: Callable) -> Callable:
    """Mark a method as one that refuses an ability."""
    setattr(method, ABSENT, True)
    return method


class Encoder[S: Stem](torch.nn.Module, ABC):
    """An encoder of one size. Type parameter: its stem.

    Class attributes:
        name: in configurations.
        frame_rate: encoder frames a second, of 100 input frames.
        shortest: input frames behind one encoder frame; an utterance must have as many.
    """

    name: ClassVar[str]
    frame_rate: ClassVar[int]
    shortest: ClassVar[int]
    search_space: SearchSpace | None = None  # of one size

    @classmethod
    def has(cls, ability: str) -> bool:
        """Whether an ability is there. Args: ability: name of its method."""
        return not hasattr(getattr(cls, ability), ABSENT)

    @abstractmethod
    def output_size(self) -> int:
        """D, of the largest net."""

    def check(self, ilens: torch.Tensor) -> None:
        """Refuse utterances that are too short. It waits for the device where `ilens` lie on one.

        Args:
            ilens: (B,) input frames.

        Raises:
            TooShort: an utterance has fewer than `shortest` frames.
        """
        check_lengths(ilens, self.shortest)

    def frames(self, ilens: torch.Tensor) -> torch.Tensor | None:
        """Encoder frames, where lengths alone tell them, so that training need not ask a device for those of a stem; else None.

        Args:
            ilens: (B,) input frames.

        Returns:
            (B,) what ``stem(...).lengths`` are.
        """
        return None

    @abstractmethod
    def stem(self, xs_pad: torch.Tensor, ilens: torch.Tensor, subnet: Subnet | None = None) -> S:
        """What all nets of a step share.

        Args:
            xs_pad: (B, S, F).
            ilens: (B,) input frames, enough of them (see `check`).
            subnet: in a supernet, the only net that is going to run, for which less may be computed; None: any.
        """

    @abstractmethod
    def run(self, stem: S, subnet: Subnet | None = None) -> torch.Tensor:
        """The rest of the encoder. Args: subnet: None, or in a supernet the one that runs. Returns: (B, T, D)."""

    def forward(self, xs_pad: torch.Tensor, ilens: torch.Tensor, prev_states: torch.Tensor | None = None):
        """ESPnet's encoder interface.

        Args:
            xs_pad: (B, S, F).
            ilens: (B,) input frames.
            prev_states: not used.

        Returns:
            (B, T, D), lengths (B,), None.

        Raises:
            TooShort: see `check`.
        """
        self.check(ilens)
        stem = self.stem(xs_pad, ilens)
        return self.run(stem), stem.lengths, None

    @absent
    def on_stream(self) -> EncoderStream:
        """Ability: the encoder on a stream.

        Raises:
            UserError: it has none, or this one needs the whole audio.
        """
        raise UserError(f"streaming: encoder '{self.name}' cannot run on a stream")

    @absent
    def export_parts(self, mean: torch.Tensor | None = None, std: torch.Tensor | None = None) -> ExportParts:
        """Ability: the encoder as graphs for a device.

        Args:
            mean, std: (F,) normalisation of the features, which becomes a part of the graphs.

        Raises:
            UserError: it has none.
        """
        raise UserError(f"encoder: '{self.name}' cannot be exported")


class ElasticEncoder[S: Stem](Encoder[S]):
    """A supernet: an encoder that runs at any subnet of its search space. It comes before its plain class among the bases.

    Class attributes:
        plain_class: encoder of one size, whose state has the names of the elastic one's.
        layer_prefixes: of each stack of layers, the first part of the names of what is in one, before its number.

    Attributes:
        search_space: of the supernet.
        input_size: F, features a frame.
    """

    plain_class: ClassVar[type[Encoder]]
    layer_prefixes: ClassVar[tuple[str, ...]]
    search_space: SearchSpace
    input_size: int

    @abstractmethod
    def extracted_conf(self, subnet: Subnet) -> dict:
        """Configuration of the plain encoder of a subnet."""

    @abstractmethod
    def cost(self, subnet: Subnet) -> Cost:
        """Of the plain encoder of a subnet, without building it."""

    def forward(
        self,
        xs_pad: torch.Tensor,
        ilens: torch.Tensor,
        prev_states: torch.Tensor | None = None,
        subnet: Subnet | None = None,
    ):
        """ESPnet's encoder interface with the active subnet (None: the max net) as a further argument; see `Encoder.forward`."""
        self.check(ilens)
        subnet = subnet or self.search_space.max
        stem = self.stem(xs_pad, ilens, subnet)
        return self.run(stem, subnet), stem.lengths, None

    @classmethod
    @absent
    def grown_conf(cls, conf: dict) -> dict:
        """Ability: configuration of a supernet whose max net is a plain encoder, or holds it where its layers differ in width.

        Args:
            conf: configuration of the plain encoder.

        Raises:
            UserError: there is no such supernet.
        """
        raise UserError(f"encoder: '{cls.plain_class.name}' cannot be grown into a supernet")

    def extracted_state(self, subnet: Subnet) -> dict[str, torch.Tensor]:
        """State of the plain encoder of a subnet, by its names; tensors are copies."""
        with torch.device("meta"):  # shapes without memory
            plain = self.plain_class(self.input_size, **self.extracted_conf(subnet))
        whole = self.state_dict()
        return {
            name: leading(whole[self.source(name, subnet)], value.shape) for name, value in plain.state_dict().items()
        }

    def source(self, name: str, subnet: Subnet) -> str:
        """Name in this encoder's state of what has a name in the plain encoder's, where layers are numbered anew in each stack."""
        for number, prefix in enumerate(self.layer_prefixes):
            if name.startswith(f"{prefix}."):
                position, rest = name.removeprefix(f"{prefix}.").split(".", 1)
                kept = [layer.index for layer in subnet.layers if layer.stack == number]
                return f"{prefix}.{kept[int(position)]}.{rest}"
        return name

    def num_parameters(self, subnet: Subnet) -> int:
        """Parameters of the plain encoder of a subnet, without building it."""
        return self.cost(subnet).params

    @absent
    def on_stream(self) -> EncoderStream:
        raise UserError(f"streaming: '{self.name}' is a supernet, extract a size from it first")

    @absent
    def export_parts(self, mean: torch.Tensor | None = None, std: torch.Tensor | None = None) -> ExportParts:
        raise UserError("encoder: a supernet is not deployed, cut a size out of it with 'espnet-todm extract' first")

    @absent
    def streaming_space(self) -> SearchSpace:
        """Ability: the part of the search space whose sizes run on a stream.

        Raises:
            UserError: none does.
        """
        raise UserError(f"--streaming: no size of encoder '{self.name}' can run on a stream")

    @absent
    def products(self, subnet: Subnet) -> list[tuple[int, int]]:
        """Ability: inputs and outputs of each matrix product of a subnet that int8 quantisation reaches when it is exported.

        Raises:
            UserError: sizes of this supernet cannot be exported.
        """
        raise UserError(
            f"--int8: sizes of encoder '{self.name}' cannot be exported to a device, so they have no int8 weights"
        )

    @absent
    def timing_blocks(self) -> TimingBlocks:
        """Ability: the blocks of a latency table. It goes with that of being exported.

        Raises:
            UserError: it has none.
        """
        raise UserError(f"latency: encoder '{self.name}' has no blocks whose times could be measured")
