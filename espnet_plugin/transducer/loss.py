"""The transducer loss of one net on its lattice, full or pruned, behind one interface.

Shapes: B batch, T encoder frames, U symbols, R prune range, V vocabulary, J joint space.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, TypedDict

import torch

from espnet_plugin.common.bounds import Bounds, NotNegative, Share
from espnet_plugin.common.conf import check_fields
from espnet_plugin.errors import UserError
from espnet_plugin.supernet.layers import ElasticLinear
from espnet_plugin.transducer.backend import may_use_torchaudio, recursion_of
from espnet_plugin.transducer.cells import LogitsInParts, joiner_logits, over_parts
from espnet_plugin.transducer.distill import DIVERGENCES, DistillConf, three_way
from espnet_plugin.transducer.lattice import EarlyEmission, Recursion, rnnt_loss
from espnet_plugin.transducer.pruned import cell_mask, prune_ranges, pruned_rnnt_loss, simple_loss

LOSSES = ("pruned", "full")
RNNT_TYPES = ("regular", "modified")


@dataclass(frozen=True)
class TransducerConf:
    """How the transducer loss is computed (defaults: icefall's practice).

    Args:
        loss: ``pruned`` evaluates the joiner on `prune_range` symbols a frame (Kuang et al. 2022, arXiv 2206.13236), ``full`` everywhere.
        rnnt_type: ``regular``, or ``modified`` (k2's name) for one symbol a frame at most, as searches on devices have it; short units such
            as characters need that in training too. An utterance with more symbols than encoder frames is left out of the loss then.
        prune_range: R, symbols a frame.
        simple_weight: weight of the simple loss after warm-up.
        lm_scale, am_scale: smoothing of the simple loss.
        warmup_steps: updates over which the simple weight falls from 1 and the pruned weight rises from 0.1 to 1.
        fast_emit, delay_penalty: for streaming models, see `EarlyEmission`; they act on the simple loss too, and so on the prune ranges.
        backend: who runs the dynamic programme, ``auto``, ``torch``, ``triton`` or ``k2``, see `recursion_of`.
        max_lattice_mb: a lattice with larger logits (10^6 bytes, counted as float32) is worked through a few utterances at a time, at least
            one, and its joiner runs once more in the backward pass; None for no limit. The results are the same.

    Raises:
        UserError: a value that is not allowed.
    """

    loss: str = "pruned"
    rnnt_type: str = "regular"
    prune_range: Annotated[int, Bounds(2, 1000, why="with more, loss: full is the same")] = 5
    simple_weight: NotNegative = 0.5
    lm_scale: Share = 0.25
    am_scale: Share = 0.0
    warmup_steps: Annotated[int, Bounds(0)] = 2000
    fast_emit: NotNegative = 0.0
    delay_penalty: NotNegative = 0.0
    backend: str = "auto"
    max_lattice_mb: Annotated[float | None, Bounds(above=0)] = None

    def __post_init__(self):
        if self.loss not in LOSSES:
            raise UserError(f"transducer_conf.loss: '{self.loss}' is not one of {list(LOSSES)}")
        if self.rnnt_type not in RNNT_TYPES:
            raise UserError(f"transducer_conf.rnnt_type: '{self.rnnt_type}' is not one of {list(RNNT_TYPES)}")
        check_fields("transducer_conf", self)
        if self.lm_scale + self.am_scale > 1:
            raise UserError(
                f"transducer_conf.lm_scale: {self.lm_scale} and am_scale, {self.am_scale}, must be at most 1 together"
            )

    @property
    def modified(self) -> bool:
        return self.rnnt_type == "modified"

    def weights(self, step: int) -> tuple[float, float]:
        """Weights of the simple and of the pruned loss after `step` updates."""
        if self.loss == "full":
            return 0.0, 1.0
        ramp = min(1.0, step / self.warmup_steps) if self.warmup_steps else 1.0
        return 1.0 - ramp * (1.0 - self.simple_weight), 0.1 + 0.9 * ramp


@dataclass(frozen=True)
class Targets:
    """Labels of a batch and what the prediction network makes of them, shared by all nets of a step with its width and the joiner's.

    Args:
        labels: (B, U) symbols, blank beyond an utterance's end.
        lengths: (B,) symbols of each utterance.
        prediction: (B, U + 1, J) output of the prediction network, projected to the joint space.
        simple_lm: (B, U + 1, V) prediction part of the simple loss, None with the full loss.
    """

    labels: torch.Tensor
    lengths: torch.Tensor
    prediction: torch.Tensor
    simple_lm: torch.Tensor | None

    def select(self, rows: torch.Tensor) -> "Targets":
        """Of some utterances. Args: rows: (b,) indices into the batch."""
        simple_lm = None if self.simple_lm is None else self.simple_lm[rows]
        return Targets(self.labels[rows], self.lengths[rows], self.prediction[rows], simple_lm)


@dataclass(frozen=True)
class Lattice:
    """One net's lattice.

    Args:
        cost: (B,) negative log-likelihood of each utterance, summed over the lattice (nats).
        simple_cost: (B,) the same of the simple lattice, None where it was not needed.
        logits: (B, T, R, V) pruned or (B, T, U + 1, V) full, see `joiner_logits`.
        mask: (B, T, R) or (B, T, U + 1), True at cells inside the utterance.
        ranges: (B, T, R) symbol index of each cell, None with the full loss.
    """

    cost: torch.Tensor
    simple_cost: torch.Tensor | None
    logits: torch.Tensor | LogitsInParts
    mask: torch.Tensor
    ranges: torch.Tensor | None

    def select(self, rows: torch.Tensor) -> "Lattice":
        """Of some utterances. Args: rows: (b,) indices into the batch."""
        logits = self.logits[rows] if isinstance(self.logits, torch.Tensor) else self.logits.select(rows)
        simple_cost, ranges = (None if x is None else x[rows] for x in (self.simple_cost, self.ranges))
        return Lattice(self.cost[rows], simple_cost, logits, self.mask[rows], ranges)


class Programme(TypedDict):
    """What all losses of a criterion are told, see `lattice` and `recursion_of`."""

    blank: int
    early: EarlyEmission
    recursion: Recursion


class TransducerCriterion(torch.nn.Module):
    """Computes lattices and their losses.

    Args:
        conf: see `TransducerConf`.
        encoder_size, decoder_size: widths of what encoder and prediction network put out.
        vocab_size: V.
        blank_id: index of blank.
        simple: projections to V of the simple loss, of encoder and prediction network, where they belong to another module.
    """

    def __init__(
        self,
        conf: TransducerConf,
        encoder_size: int,
        decoder_size: int,
        vocab_size: int,
        blank_id: int,
        simple: tuple[Callable, Callable] | None = None,
    ):
        super().__init__()
        self.conf = conf
        self.blank_id = blank_id
        early = EarlyEmission(conf.fast_emit, conf.delay_penalty)
        self.programme = Programme(blank=blank_id, early=early, recursion=recursion_of(conf.backend, conf.modified))
        if simple is not None:
            self.simple_am, self.simple_lm = simple
        elif conf.loss == "pruned":
            self.simple_am = ElasticLinear(encoder_size, vocab_size)
            self.simple_lm = ElasticLinear(decoder_size, vocab_size)

    def targets(self, labels: torch.Tensor, lengths: torch.Tensor, decoder, joint_network) -> Targets:
        """Run the prediction network on blank followed by the labels.

        Args:
            labels: (B, U), padded with anything beyond `lengths`.
            lengths: (B,).
        """
        valid = torch.arange(labels.shape[1], device=labels.device) < lengths.unsqueeze(1)
        labels = torch.where(valid, labels, self.blank_id)
        prediction = decoder(torch.nn.functional.pad(labels, (1, 0), value=self.blank_id))
        simple_lm = self.simple_lm(prediction) if self.conf.loss == "pruned" else None
        return Targets(labels, lengths, joint_network.lin_dec(prediction), simple_lm)

    def forward(
        self,
        encoder_out: torch.Tensor,
        lengths: torch.Tensor,
        targets: Targets,
        joint_network,
        ranges: torch.Tensor | None = None,
        least: int | None = None,
    ) -> Lattice:
        """Lattice and loss of one net.

        Args:
            encoder_out: (B, T, D).
            lengths: (B,) frames.
            targets: from `targets`.
            joint_network: see `Joiner`.
            ranges: (B, T, R) prune ranges of another net (the teacher); then the simple loss is not computed.
            least: see `prune_ranges`.
        """
        problem = (targets.labels, lengths, targets.lengths)
        simple_cost = None
        if ranges is None and self.conf.loss == "pruned":
            am, lm = self.simple_am(encoder_out), targets.simple_lm
            assert lm is not None
            lm_scale, am_scale = self.conf.lm_scale, self.conf.am_scale
            simple = simple_loss(am, lm, *problem, lm_scale=lm_scale, am_scale=am_scale, **self.programme)
            simple_cost = simple.cost
            occupation = (simple.occupation_blank, simple.occupation_emit)
            s_range, modified = self.conf.prune_range, self.conf.modified
            ranges = prune_ranges(*occupation, lengths, targets.lengths, s_range, modified, least)
        acoustic = joint_network.lin_enc(encoder_out)
        logits = joiner_logits(acoustic, targets.prediction, ranges, joint_network, self.conf.max_lattice_mb)

        def cost(rows) -> torch.Tensor:
            labels, T_lens, U_lens = (x[rows] for x in problem)
            if ranges is None:
                torchaudio = may_use_torchaudio(self.conf.backend, self.conf.modified, lengths.device)
                return rnnt_loss(logits[rows], labels, T_lens, U_lens, **self.programme, by_torchaudio=torchaudio)
            return pruned_rnnt_loss(logits[rows], ranges[rows], labels, T_lens, U_lens, **self.programme)

        symbols = torch.arange(targets.prediction.shape[1], device=lengths.device)
        symbols = symbols.expand(1, acoustic.shape[1], -1) if ranges is None else ranges
        mask = cell_mask(symbols, lengths, targets.lengths)
        return Lattice(over_parts(cost, logits), simple_cost, logits, mask, ranges)


def distillation_cost(
    teacher: Lattice,
    student: Lattice,
    labels: torch.Tensor,
    conf: DistillConf,
    blank_id: int,
    frames: slice = slice(None),
) -> torch.Tensor:
    """Divergence of a student's lattice from its teacher's, on the same cells.

    Args:
        teacher, student: lattices of one batch with the same ranges.
        labels: (B, U), blank beyond an utterance's end as in `Targets`.
        conf: see `DistillConf`.
        blank_id: index of blank.
        frames: those that are compared, from any first one in steps of k; each stands for k.

    Returns:
        (B,): the mean over a frame's cells inside the utterance, summed over its frames (nats), so that it is on the scale of the
        transducer loss whatever the range is, and no other utterance of the batch matters.
    """
    theirs, ours = teacher.logits.detach(), student.logits
    following = torch.nn.functional.pad(labels, (0, 1), value=blank_id)  # symbol after u, (B, U + 1)
    following = following.unsqueeze(1).expand(-1, student.mask.shape[1], -1)
    if student.ranges is not None:
        following = following.gather(2, student.ranges)

    def cost(rows) -> torch.Tensor:
        pair = (x[rows] if frames == slice(None) else x[rows][:, frames] for x in (theirs, ours))
        if conf.form == "three_way":
            pair = (three_way(x, following[rows][:, frames], blank_id) for x in pair)
        p, q = pair
        cells = DIVERGENCES[conf.divergence](p, q, conf)
        real = student.mask[rows][:, frames]
        means = torch.where(real, cells, 0).sum(2) / real.sum(2).clamp(min=1)
        return (frames.step or 1) * means.sum(1)

    return over_parts(cost, ours)
