"""The nets of a step on one batch: what ESPnet's model and icefall's have in common."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from espnet_plugin.asr.training.nets import Shared, detached
from espnet_plugin.asr.training.ranks import rank
from espnet_plugin.encoder.interface import Encoder, Stem
from espnet_plugin.supernet.sandwich import SubnetSampling
from espnet_plugin.supernet.space import SearchSpace
from espnet_plugin.supernet.subnet import Subnet
from espnet_plugin.transducer.distill import DistillConf
from espnet_plugin.transducer.loss import Lattice, TransducerCriterion, distillation_cost
from espnet_plugin.transducer.pruned import least_range


@dataclass(frozen=True)
class NetCosts:
    """Costs of one net, of each utterance (nats), not weighed.

    Args:
        encoder_out: (B, T, d).
        lattice: with the transducer and the simple cost.
        distillation: (B,) divergence from the teacher; None for the teacher itself or without distillation.
    """

    encoder_out: torch.Tensor
    lattice: Lattice
    distillation: torch.Tensor | None


class Sandwich:
    """Part of a model that trains several subnets in a step; the max net, which comes first, teaches the others.

    A model has a method `net`, which makes of a net's costs what it wants of them, and besides:

    Attributes:
        encoder, criterion, sampling, distill: see their classes.
        blank_id: index of blank.
        training: whether it is.
        num_updates: updates so far, a buffer; it keys every choice of a step.
    """

    encoder: Encoder
    criterion: TransducerCriterion
    sampling: SubnetSampling
    distill: DistillConf
    blank_id: int
    training: bool
    num_updates: torch.Tensor
    known_updates: tuple[torch.Tensor, int, int] | None = None  # buffer, its version, its number

    @property
    def search_space(self) -> SearchSpace | None:
        """The encoder's search space, None for an encoder of one fixed size."""
        return self.encoder.search_space

    def update_number(self) -> int:
        """`num_updates` as a Python number; the device is asked only after something else than `count_update` has written the buffer."""
        buffer, known = self.num_updates, self.known_updates
        if known is None or known[0] is not buffer or known[1] != buffer._version:
            known = self.known_updates = buffer, buffer._version, int(buffer)
        return known[2]

    def count_update(self) -> None:
        updates = self.update_number() + 1
        self.num_updates += 1
        self.known_updates = self.num_updates, self.num_updates._version, updates

    def parts_at(self, subnet: Subnet | None) -> tuple[Callable, Callable]:
        """Prediction network and joiner (see `Joiner`) as a subnet uses them."""
        raise NotImplementedError

    def shared(self, *args: Any, **kwargs: Any) -> Shared:
        """What all nets of a step share, see `share`, from a batch as the model takes it."""
        raise NotImplementedError

    def net(self, name: str, subnet: Subnet | None, shared: Shared, teacher: Lattice | None):
        """What a net gives, and its lattice."""
        raise NotImplementedError

    def step_subnets(self) -> tuple[tuple[str, Subnet | None], ...]:
        """Names and subnets of a step of training, from the sampling rule."""
        space = self.search_space
        if space is None:
            return (("max", None),)
        known = {space.min: "min", space.max: "max"}
        subnets = self.sampling.subnets(space, self.update_number(), rank())
        return tuple((known.get(subnet, "random"), subnet) for subnet in subnets)

    def misfits(self, shared: Shared) -> torch.Tensor:
        """Which utterances have more symbols than frames where the loss allows one a frame, and are left out: (B,) bool, on the CPU."""
        return (shared.frames < shared.symbols) & self.criterion.conf.modified

    def weight_of(self, teacher: Lattice | None) -> float:
        """Weight of a net's loss in a step: 1 for the max net, which has no teacher; of the others from the sampling rule."""
        return 1.0 if teacher is None or not self.training else self.sampling.weight(len(self.step_subnets()))

    def share(
        self,
        stem: Stem,
        text: torch.Tensor,
        text_lengths: torch.Tensor,
        frames: torch.Tensor | None = None,
        symbols: torch.Tensor | None = None,
    ) -> Shared:
        """What all nets of a step share.

        Args:
            stem: of the encoder.
            text: (B, U) token ids, any padding; text_lengths: (B,).
            frames, symbols: the stem's and the text's lengths on the CPU; without them they are read, which waits for a device.
        """
        frames = stem.lengths.cpu() if frames is None else frames
        symbols = text_lengths.cpu() if symbols is None else symbols
        space = self.search_space
        widest = self.parts_at(None if space is None else space.max)
        targets = self.criterion.targets(text[:, : int(symbols.max())], text_lengths, *widest)
        return Shared(stem, targets, text, frames, symbols)

    def shares_prediction(self, subnet: Subnet | None) -> bool:
        """Whether a subnet uses prediction network and joiner at the widths of the max net, at which `share` ran them."""
        space = self.search_space
        if subnet is None or space is None:
            return True
        largest = space.max
        return all(subnet[name] == largest[name] for name in ("prediction", "joiner") if name in subnet)

    def nets(self, shared: Shared) -> Iterator:
        """What `net` gives for the nets of the step, one after the other.

        A net's graph belongs to what was handed out: a caller that goes backward before it asks for the next net holds one graph at a
        time. In training, nets after the max net see a share of the batch where the sampling rule says so.
        """
        teacher = rows = there = None
        for name, subnet in self.step_subnets():
            part = shared
            if rows is not None and there is not None:
                # Cut out for each net anew, since a graph is gone after its backward.
                part = shared.select(rows, there)
            net, lattice = self.net(name, subnet, part, teacher)
            if name == "max":
                teacher = detached(lattice)
                if self.training and self.sampling.student_share < 1:
                    rows = self.sampling.rows(len(shared.text), self.update_number(), rank())
                    there = torch.tensor(rows).to(shared.text.device, non_blocking=True)
                    teacher = teacher.select(there)
            del lattice
            yield net

    def costs(self, subnet: Subnet | None, shared: Shared, teacher: Lattice | None) -> NetCosts:
        """Costs of one net; the teacher is the max net's lattice."""
        stem, targets = shared.stem, shared.targets
        decoder, joiner = self.parts_at(subnet)
        if not self.shares_prediction(subnet):
            targets = self.criterion.targets(targets.labels, targets.lengths, decoder, joiner)
        encoder_out = self.encoder.run(stem, subnet)
        ranges = None if teacher is None else teacher.ranges
        least = least_range(shared.frames, shared.symbols)
        lattice = self.criterion(encoder_out, stem.lengths, targets, joiner, ranges, least)
        distillation = None
        if teacher is not None and self.distill.weight > 0:
            stride = self.distill.frame_stride if self.training else 1
            frames = self.sampling.every(stride, self.update_number(), rank())
            distillation = distillation_cost(teacher, lattice, targets.labels, self.distill, self.blank_id, frames)
        return NetCosts(encoder_out, lattice, distillation)
