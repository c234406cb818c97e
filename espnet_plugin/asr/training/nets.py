"""The nets of a step: what they share, what each of them gives, and their figures for the log.

A batch goes one way: `step` -> here -> the parts of the model (features, encoder, prediction network, criterion, search), which know
nothing of steps.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import torch

from espnet_plugin.asr.training.batch import Batch
from espnet_plugin.asr.training.ranks import rank
from espnet_plugin.encoder.checks import TooShort
from espnet_plugin.encoder.interface import Stem
from espnet_plugin.errors import UserError
from espnet_plugin.supernet.subnet import Subnet
from espnet_plugin.transducer.elastic import at_subnet
from espnet_plugin.transducer.greedy import greedy_search
from espnet_plugin.transducer.loss import Lattice, Targets, distillation_cost
from espnet_plugin.transducer.pruned import least_range

if TYPE_CHECKING:
    from espnet_plugin.asr.training.model import TODMModel


@dataclass(frozen=True)
class Shared:
    """What all nets of a step share, computed once a batch.

    Args:
        stem: of the encoder.
        targets: labels and what the prediction network makes of them at the max net's widths.
        text: (B, U) token ids as they came, for word error rates.
        frames, symbols: (B,) encoder frames and symbols of each utterance, on the CPU.
    """

    stem: Stem
    targets: Targets
    text: torch.Tensor
    frames: torch.Tensor
    symbols: torch.Tensor

    def select(self, rows: list[int], there: torch.Tensor) -> "Shared":
        """Of some utterances. Args: rows: indices into the batch; there: (b,) the same on the device."""
        stem, targets = self.stem.select(there), self.targets.select(there)
        return Shared(stem, targets, self.text[there], self.frames[rows], self.symbols[rows])


@dataclass(frozen=True)
class NetLoss:
    """Loss of one net of a step, averaged over the batch (nats an utterance).

    Args:
        name: ``max``, ``min`` or ``random``; in validation also ``mid``.
        subnet: None for an encoder of one size.
        loss: what is added to the step's loss.
        transducer: transducer loss alone, detached.
        distillation: divergence from the teacher, detached; None for the teacher itself or without distillation.
        wer: word error rate of greedy search, in validation only.
        last: whether it is the last net of its step.
    """

    name: str
    subnet: Subnet | None
    loss: torch.Tensor
    transducer: torch.Tensor
    distillation: torch.Tensor | None
    wer: torch.Tensor | None = None
    last: bool = False


def host_lengths(
    model: "TODMModel", batch: Batch, feats_lengths: torch.Tensor, stem_lengths: torch.Tensor | None = None
):
    """Frames of features, or of the encoder where `stem_lengths` are given, (B,) on the CPU.

    Computed from what the batch knows, where the parts tell how; else read, which waits for the device.
    """
    lengths = feats_lengths if stem_lengths is None else stem_lengths
    if lengths.device.type == "cpu":
        return lengths
    known = batch.samples if batch.speech.dim() == 3 or model.frontend is None else None
    if known is None and hasattr(model.frontend, "frames"):
        known = model.frontend.frames(batch.samples)
    if known is not None and model.preencoder is not None:
        known = None
    if known is not None and stem_lengths is not None:
        known = model.encoder.frames(known)
    return lengths.cpu() if known is None else known


def share(model: "TODMModel", batch: Batch) -> Shared:
    """What a step computes once a batch.

    Raises:
        UserError: an utterance is too short for the encoder.
    """
    feats, lengths = model.features(batch.speech, batch.speech_lengths)
    input_frames = host_lengths(model, batch, lengths)
    try:
        model.encoder.check(input_frames)
    except TooShort as error:
        name = batch.utt_id[int(input_frames.argmin())]
        raise UserError(f"utterance '{name}': {error}, leave it out (the recipe's formatting stage does)") from error
    stem = model.encoder.stem(feats, lengths)
    widest = at_subnet(model.decoder, model.joint_network, model.search_space and model.search_space.max)
    targets = model.criterion.targets(batch.text, batch.text_lengths, *widest)
    frames = host_lengths(model, batch, lengths, stem.lengths)
    if model.training and model.criterion.conf.modified:
        for i in (frames < batch.symbols).nonzero().flatten().tolist():
            logging.warning(
                f"utterance '{batch.utt_id[i]}': {int(batch.symbols[i])} symbols do not fit into {int(frames[i])} frames, "
                "left out of the loss"
            )
    return Shared(stem, targets, batch.text, frames, batch.symbols)


def each_net(model: "TODMModel", shared: Shared) -> Iterator[NetLoss]:
    """The nets of the step, one after the other.

    A net's graph belongs to the loss that was handed out: a caller that goes backward before it asks for the next net holds one
    graph at a time. In training, nets after the max net see a share of the batch where the sampling rule says so.
    """
    teacher = rows = there = None
    subnets = model.step_subnets()
    for number, (name, subnet) in enumerate(subnets, 1):
        part = shared
        if rows is not None:  # cut out for each net anew, since a graph is gone after its backward
            part = shared.select(rows, there)
        net, lattice = net_loss(model, name, subnet, part, teacher)
        if name == "max":
            teacher = detached(lattice)
            if model.training and model.sampling.student_share < 1:
                rows = model.sampling.rows(len(shared.text), model.updates, rank())
                there = torch.tensor(rows).to(shared.text.device, non_blocking=True)
                teacher = teacher.select(there)
        del lattice
        yield replace(net, last=number == len(subnets))


def net_loss(
    model: "TODMModel", name: str, subnet: Subnet | None, shared: Shared, teacher: Lattice | None
) -> tuple[NetLoss, Lattice]:
    """One net: its simple, lattice and distillation costs, weighed; the teacher is the max net's lattice."""
    stem, targets, conf = shared.stem, shared.targets, model.criterion.conf
    decoder, joiner = at_subnet(model.decoder, model.joint_network, subnet)
    if not shares_prediction(model, subnet):
        targets = model.criterion.targets(targets.labels, targets.lengths, decoder, joiner)
    encoder_out = model.encoder.run(stem, subnet)
    ranges = None if teacher is None else teacher.ranges
    least = least_range(shared.frames, shared.symbols)
    lattice = model.criterion(encoder_out, stem.lengths, targets, joiner, ranges, least)
    step = model.updates if model.training else conf.warmup_steps
    simple_weight, weight = conf.weights(step)
    transducer = lattice.cost.mean()
    loss = weight * transducer
    if lattice.simple_cost is not None:
        loss = loss + simple_weight * lattice.simple_cost.mean()
    distillation = wer = None
    if teacher is not None and model.distill.weight > 0:
        frames = model.sampling.every(model.distill.frame_stride if model.training else 1, step, rank())
        costs = distillation_cost(teacher, lattice, targets.labels, model.distill, model.blank_id, frames)
        distillation = costs.mean()
        loss = model.distill.transducer_weight * loss + model.distill.weight * weight * distillation
        distillation = distillation.detach()
    if not model.training and model.report_wer:
        found = greedy_search(encoder_out, stem.lengths, decoder, joiner, model.blank_id)
        rate = model.word_error_rate(found, shared.text.tolist(), shared.symbols.tolist())
        wer = torch.full((), rate, device=shared.text.device)
    return NetLoss(name, subnet, loss, transducer.detach(), distillation, wer), lattice


def shares_prediction(model: "TODMModel", subnet: Subnet | None) -> bool:
    """Whether a subnet uses prediction network and joiner at the widths of the max net, at which `share` ran them."""
    if subnet is None:
        return True
    largest = model.search_space.max
    return (subnet.prediction, subnet.joiner) == (largest.prediction, largest.joiner)


def net_stats(nets: list[NetLoss]) -> dict[str, torch.Tensor | None]:
    """``loss_NAME``, ``distill_NAME`` and, in validation, ``wer_NAME``; nets of one name are averaged."""
    stats = {}
    for name in dict.fromkeys(net.name for net in nets):
        same = [net for net in nets if net.name == name]
        for key, values in (
            ("loss", [net.transducer for net in same]),
            ("distill", [net.distillation for net in same]),
            ("wer", [net.wer for net in same]),
        ):
            if key != "wer" or values[0] is not None:
                stats[f"{key}_{name}"] = None if values[0] is None else sum(values) / len(values)
    return stats


def detached(lattice: Lattice) -> Lattice:
    """A lattice that teaches but holds no graph."""
    parts = {f.name: getattr(lattice, f.name) for f in fields(lattice)}
    return replace(lattice, **{key: x.detach() for key, x in parts.items() if hasattr(x, "detach")})
