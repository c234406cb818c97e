"""ESPnet model ``todm``: a transducer whose encoder is a supernet, trained at several sizes in every step."""

import logging
import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cached_property
from typing import Annotated, cast

import torch
from espnet2.torch_utils.device_funcs import force_gatherable

from espnet_plugin.asr.espnet import ESPnetASRModel
from espnet_plugin.asr.training.batch import Batch
from espnet_plugin.asr.training.nets import NetLoss, Shared, net_stats
from espnet_plugin.asr.training.sandwich import Sandwich
from espnet_plugin.asr.training.specaug import PerturbedSpecAug
from espnet_plugin.common.bounds import Bounds, Width
from espnet_plugin.common.conf import build_conf
from espnet_plugin.common.text import SPACE_MARK, TextConf
from espnet_plugin.common.word_errors import edits
from espnet_plugin.encoder.checks import TooShort
from espnet_plugin.encoder.interface import ElasticEncoder, Encoder
from espnet_plugin.errors import UserError
from espnet_plugin.registry import encoder_names
from espnet_plugin.supernet.sandwich import SubnetSampling
from espnet_plugin.supernet.sizes import candidates, ladder
from espnet_plugin.supernet.space import SearchSpace
from espnet_plugin.supernet.subnet import Subnet
from espnet_plugin.transducer.distill import DistillConf
from espnet_plugin.transducer.elastic import at_subnet, build_joiner
from espnet_plugin.transducer.greedy import greedy_search
from espnet_plugin.transducer.joiner import AdditiveJoiner
from espnet_plugin.transducer.loss import Lattice, TransducerConf, TransducerCriterion


class TODMModel(Sandwich, ESPnetASRModel):
    """Supernet transducer (TODM, arXiv 2309.01947).

    In training, every batch goes once through frontend, normalisation, SpecAugment and time reduction, then through the layers of each
    subnet of the step. The max net learns from the transcripts; the others learn from the transcripts and from the max net's lattice.

    Args:
        joint_space_size: width of the joiner; with ESPnet's own ``decoder: transducer`` the joiner is given by ``joint_net_conf``.
        transducer_conf: see `TransducerConf`.
        sampling_conf: see `SubnetSampling`.
        distill_conf: see `DistillConf`.
        text_conf: how the transcripts were normalised, see `TextConf`; recorded for those who use the model, None: not known.
        sym_space, sym_blank, ignore_id, report_wer, extract_feats_in_collect_stats: as in ESPnet's model.
        others: built by ESPnet's ASR task.

    Raises:
        UserError: a part that this model has no use for was configured.
    """

    encoder: ElasticEncoder  # an `Encoder` where `search_space` is None
    joint_network: AdditiveJoiner  # or one with layers of the same names, as ESPnet's JointNetwork

    def __init__(
        self,
        vocab_size: int,
        token_list,
        frontend,
        specaug,
        normalize,
        preencoder,
        encoder,
        postencoder,
        decoder,
        ctc,
        joint_network,
        joint_space_size: Width = 256,
        transducer_conf: dict = {},  # noqa: B006 (ESPnet prints defaults; never changed)
        sampling_conf: dict = {},  # noqa: B006
        distill_conf: dict = {},  # noqa: B006
        text_conf: dict | None = None,
        ignore_id: Annotated[int, Bounds(most=-1)] = -1,
        sym_space: str = "<space>",
        sym_blank: str = "<blank>",
        report_wer: bool = True,
        extract_feats_in_collect_stats: bool = True,
    ):
        if decoder is None or not hasattr(decoder, "dunits"):
            raise UserError("decoder: model 'todm' needs a prediction network, 'stateless' or 'transducer'")
        if not isinstance(encoder, Encoder):
            raise UserError(
                f"encoder: model 'todm' needs one of {', '.join(encoder_names())}, {type(encoder).__name__} is none of them"
            )
        if postencoder is not None:
            raise UserError("postencoder: model 'todm' has none, remove the key")
        # ESPnet's constructor would import warprnnt_pytorch on seeing a joiner, so it is told of none.
        super().__init__(
            vocab_size=vocab_size,
            token_list=token_list,
            frontend=frontend,
            specaug=specaug,
            normalize=normalize,
            preencoder=preencoder,
            encoder=encoder,
            postencoder=None,
            decoder=decoder,
            ctc=ctc,
            joint_network=None,
            ctc_weight=0.0,
            ignore_id=ignore_id,
            report_cer=False,
            report_wer=False,
            sym_space=sym_space,
            sym_blank=sym_blank,
            extract_feats_in_collect_stats=extract_feats_in_collect_stats,
        )
        del self.criterion_att
        self.use_transducer_decoder = True
        if isinstance(specaug, PerturbedSpecAug):
            specaug.listen_at(getattr(frontend, "fs", None))
        joiner = build_joiner(
            joint_network, encoder.search_space, decoder, vocab_size, encoder.output_size(), joint_space_size
        )
        self.joint_network = cast(AdditiveJoiner, joiner)
        found, needed = getattr(normalize, "mean", None), None if frontend is None else frontend.output_size()
        if isinstance(found, torch.Tensor) and needed is not None and found.numel() != needed:
            raise UserError(
                f"normalize_conf.stats_file: '{normalize.stats_file}' has {found.numel()} features, the frontend makes {needed}"
            )
        if getattr(decoder, "blank_id", self.blank_id) != self.blank_id:
            raise UserError(
                f"decoder_conf.blank_id: {decoder.blank_id} must be {self.blank_id}, where the token list has {sym_blank}"
            )
        conf = build_conf("model_conf.transducer_conf", TransducerConf, transducer_conf)
        self.criterion = TransducerCriterion(conf, encoder.output_size(), decoder.dunits, vocab_size, self.blank_id)
        # ESPnet's Speech2Text hands the joiner to the search, which must know how it was trained (speech2text.py).
        self.joint_network.one_symbol_a_frame = conf.modified
        # Blank starts with about half of the probability, near its share among a path's arcs: from a uniform start, ScaledAdam, whose steps
        # are relative to a parameter's size, takes about a hundred updates to grow that bias (our choice).
        with torch.no_grad():
            for layer in (self.joint_network.lin_out, getattr(self.criterion, "simple_am", None)):
                if layer is not None:
                    layer.bias[self.blank_id] = math.log(vocab_size)
        self.sampling = build_conf("model_conf.sampling_conf", SubnetSampling, sampling_conf)
        self.distill = build_conf("model_conf.distill_conf", DistillConf, distill_conf)
        if text_conf is not None:
            build_conf("model_conf.text_conf", TextConf, text_conf)
        self.sym_space = sym_space
        self.report_wer = report_wer
        # Updates so far: keys the choice of subnets and the warm-up of the loss, and belongs to the checkpoint.
        self.register_buffer("num_updates", torch.zeros((), dtype=torch.long))

    @cached_property
    def search_space(self) -> SearchSpace | None:
        """The encoder's search space with the widths of prediction network and joiner, None for an encoder of one fixed size."""
        space, encoder = self.encoder.search_space, self.encoder
        if space is None:
            return None
        widths = dict(prediction=self.decoder.dunits, joiner=len(self.joint_network.lin_enc.weight))
        return space.completed(d_model=encoder.output_size(), **widths)

    def _extract_feats(self, speech: torch.Tensor, speech_lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The frontend, as ESPnet's model has it, but that features pass which it computed beforehand.

        Args:
            speech: (B, samples), or (B, S, F) features.
            speech_lengths: (B,) samples or frames.

        Raises:
            UserError: several columns that are not the frontend's features.
        """
        if (
            speech.device.type == "cpu"
        ):  # elsewhere that would wait for the device; ESPnet's batches are no longer than this
            speech = speech[:, : speech_lengths.max()]
        if self.frontend is None:
            return speech, speech_lengths
        if speech.dim() == 2:
            return self.frontend(speech, speech_lengths)
        if speech.shape[2] != self.frontend.output_size():
            raise UserError(
                f"speech: {speech.shape[2]} columns, allowed are mono audio or the frontend's {self.frontend.output_size()} features"
            )
        return speech, speech_lengths

    def features(self, speech: torch.Tensor, speech_lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Frontend, normalisation, SpecAugment (training only), pre-encoder.

        Normalisation comes before the masks, so that what SpecAugment masks with zeros is the mean, and after `Perturbation`, whose
        levels are those of log energies.

        Args:
            speech: (B, samples).
            speech_lengths: (B,) samples.

        Returns:
            (B, S, F) and (B,) frames.
        """
        feats, lengths = self._extract_feats(speech, speech_lengths)
        mask = self.specaug if self.training else None
        if isinstance(mask, PerturbedSpecAug):
            feats, lengths = mask.perturbation(feats, lengths)
            mask = mask.masked
        if self.normalize is not None:
            feats, lengths = self.normalize(feats, lengths)
        if mask is not None:
            feats, lengths = mask(feats, lengths)
        if self.preencoder is not None:
            feats, lengths = self.preencoder(feats, lengths)
        return feats, lengths

    def encode(self, speech: torch.Tensor, speech_lengths: torch.Tensor, subnet: Subnet | None = None):
        """Speech to encoder output at a subnet (None: the max net); ESPnet's Speech2Text calls this.

        Returns:
            (B, T, D) and (B,) frames.

        Raises:
            TooShortUttError: an utterance is too short for the encoder.
        """
        feats, lengths = self.features(speech, speech_lengths)
        chosen = {} if self.search_space is None else {"subnet": subnet}
        try:
            encoder_out, lengths, _ = self.encoder(feats, lengths, **chosen)
        except TooShort as error:  # Speech2Text goes on with the next utterance where it sees ESPnet's own exception
            from espnet2.legacy.nets.pytorch_backend.transformer.subsampling import TooShortUttError  # slow to import

            raise TooShortUttError(str(error), error.frames, error.need) from error
        return encoder_out, lengths

    @cached_property
    def mid(self) -> Subnet:
        """A subnet whose encoder has about the geometric mean of the parameters of min and max, for validation."""
        space, params = self.search_space, self.encoder.num_parameters
        assert space is not None  # validation of a supernet alone asks for it
        if space.min == space.max:
            return space.max
        target = ladder(params(space.min), params(space.max), 3)[1]
        return candidates(space, params, target, count=1, draws=50)[0]

    def reported(self) -> dict[str, set[str]]:
        """Figures of an epoch by which it can be judged: phase -> keys."""
        before, sizes = self.training, {"train": {"max", "min", "random"}}
        self.eval()
        sizes["valid"] = {name for name, _ in self.step_subnets()}
        self.train(before)
        found = {phase: {"loss", *(f"loss_{name}" for name in names)} for phase, names in sizes.items()}
        found["train"] |= {f"distill_{name}" for name in ("min", "random")} | {"grad_norm"}
        found["valid"] |= {f"distill_{name}" for name in sizes["valid"] - {"max"}}
        found["valid"] |= {f"wer_{name}" for name in sizes["valid"]} if self.report_wer else set()
        return found

    def parts_at(self, subnet: Subnet | None):
        return at_subnet(self.decoder, self.joint_network, subnet)

    def step_subnets(self) -> tuple[tuple[str, Subnet | None], ...]:
        """Names and subnets of the coming step: from the sampling rule in training; max, a mid size and min in validation."""
        space = self.search_space
        if self.training or space is None:
            return super().step_subnets()
        known = {space.min: "min", space.max: "max"}
        return tuple((name, subnet) for subnet, name in ({space.max: "max", self.mid: "mid"} | known).items())

    def lengths(
        self, batch: Batch, feats_lengths: torch.Tensor, stem_lengths: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Frames of features, or of the encoder where `stem_lengths` are given, (B,) on the CPU.

        Computed from what the batch knows, where frontend and encoder tell how and no tempo was drawn; else read, which waits for a device.
        """
        lengths = feats_lengths if stem_lengths is None else stem_lengths
        if lengths.device.type == "cpu":
            return lengths
        if (
            self.training
            and isinstance(self.specaug, PerturbedSpecAug)
            and self.specaug.perturbation.tempo != (1.0, 1.0)
        ):
            return lengths.cpu()
        counted = None
        if self.preencoder is None and (batch.speech.dim() == 3 or self.frontend is None):
            counted = batch.samples
        elif self.preencoder is None and hasattr(self.frontend, "frames"):
            counted = self.frontend.frames(batch.samples)
        if counted is not None and stem_lengths is not None:
            counted = self.encoder.frames(counted)
        return lengths.cpu() if counted is None else counted

    def shared(self, batch: Batch) -> Shared:
        """What a step computes once a batch.

        Raises:
            UserError: an utterance is too short for the encoder.
        """
        feats, lengths = self.features(batch.speech, batch.speech_lengths)
        input_frames = self.lengths(batch, lengths)
        try:
            self.encoder.check(input_frames)
        except TooShort as error:
            name = batch.utt_id[int(input_frames.argmin())]
            raise UserError(
                f"utterance '{name}': {error}, leave it out (the recipe's formatting stage does)"
            ) from error
        stem = self.encoder.stem(feats, lengths)
        frames = self.lengths(batch, lengths, stem.lengths)
        shared = self.share(stem, batch.text, batch.text_lengths, frames, batch.symbols)
        if self.training:
            for i in self.misfits(shared).nonzero().flatten().tolist():
                logging.warning(
                    f"utterance '{batch.utt_id[i]}': {int(batch.symbols[i])} symbols do not fit into {int(frames[i])} frames, "
                    "left out of the loss"
                )
        return shared

    def nets(self, shared: Shared) -> Iterator[NetLoss]:
        last = len(self.step_subnets())
        for number, net in enumerate(super().nets(shared), 1):
            yield replace(net, last=number == last)

    def net(self, name: str, subnet: Subnet | None, shared: Shared, teacher: Lattice | None) -> tuple[NetLoss, Lattice]:
        """One net: its simple, lattice and distillation costs, weighed; the teacher is the max net's lattice."""
        costs = self.costs(subnet, shared, teacher)
        lattice = costs.lattice
        step = self.update_number() if self.training else self.criterion.conf.warmup_steps
        simple_weight, weight = self.criterion.conf.weights(step)
        transducer = lattice.cost.mean()
        loss = weight * transducer
        if lattice.simple_cost is not None:
            loss = loss + simple_weight * lattice.simple_cost.mean()
        distillation = wer = None
        if costs.distillation is not None:
            distillation = costs.distillation.mean()
            loss = self.distill.transducer_weight * loss + self.distill.weight * weight * distillation
            distillation = distillation.detach()
        loss = self.weight_of(teacher) * loss
        if not self.training and self.report_wer:
            lengths = shared.stem.lengths
            found = greedy_search(costs.encoder_out, lengths, *self.parts_at(subnet), self.blank_id, silent=self.silent)
            rate = self.word_error_rate(found, shared.text.tolist(), shared.symbols.tolist())
            wer = torch.full((), rate, device=shared.text.device)
        return NetLoss(name, subnet, loss, transducer.detach(), distillation, wer), lattice

    def forward(self, speech, speech_lengths, text, text_lengths, **kwargs):
        """All nets of a step and the sum of their losses: validation, and training by ESPnet's own trainer.

        The trainer of this package goes through `nets` one by one instead, so that one graph is alive at a time.

        Returns:
            loss (scalar, sum over the nets of the step), stats, weight (batch size), as ESPnet's trainer expects.
        """
        nets = list(self.nets(self.shared(Batch.of(speech, speech_lengths, text, text_lengths, **kwargs))))
        if self.training:
            self.count_update()
        loss = sum(net.loss for net in nets)
        stats = net_stats(nets) | {"loss": loss.detach() / len(nets)}
        return force_gatherable((loss, stats, speech.shape[0]), loss.device)

    def word_error_rate(self, hypotheses: list[list[int]], text: list[list[int]], lengths: list[int]) -> float:
        """Word error rate of a batch (0 to 1, or above with many insertions)."""
        errors = words = 0
        for hypothesis, ids, count in zip(hypotheses, text, lengths):
            reference = self.words(ids[:count])
            errors += edits(reference, self.words(hypothesis)).edits
            words += len(reference)
        return errors / max(words, 1)

    @property
    def silent(self) -> tuple[int, ...]:
        """Symbols beside blank that a search passes over, as sherpa-onnx does: ``<unk>``."""
        return tuple(index for index, token in enumerate(self.token_list) if token == "<unk>")

    @property
    def one_symbol_a_frame(self) -> bool:
        """Whether the model learnt to emit at most one symbol a frame (``rnnt_type: modified``)."""
        return self.criterion.conf.modified

    def piece(self, index: int) -> str:
        """A token as it is written: sentencepiece's mark and ESPnet's space symbol are a space."""
        token = self.token_list[index]
        return " " if token == self.sym_space else token.replace(SPACE_MARK, " ")

    def words(self, ids: Iterable[int]) -> list[str]:
        """Words of token ids: pieces joined, split at spaces."""
        return "".join(map(self.piece, ids)).split()
