"""ESPnet model ``todm``: a transducer whose encoder is a supernet, trained at several sizes in every step."""

import math
from dataclasses import dataclass

import torch
import torch.distributed as dist
from espnet2.asr.espnet_model import ESPnetASRModel
from espnet2.asr_transducer.joint_network import JointNetwork
from espnet2.legacy.nets.pytorch_backend.transformer.subsampling import TooShortUttError
from espnet2.torch_utils.device_funcs import force_gatherable
from kaldialign import edit_distance

from espnet_plugin.asr.conf import build_conf
from espnet_plugin.errors import UserError
from espnet_plugin.supernet.sandwich import SubnetSampling
from espnet_plugin.supernet.space import SearchSpace
from espnet_plugin.supernet.subnet import Subnet
from espnet_plugin.transducer.distill import DistillConf
from espnet_plugin.transducer.elastic import ElasticJointNetwork, ElasticStatelessDecoder, at_subnet
from espnet_plugin.transducer.greedy import greedy_search
from espnet_plugin.transducer.loss import Lattice, Targets, TransducerConf, TransducerCriterion, distillation_cost


@dataclass(frozen=True)
class NetLoss:
    """Loss of one net of a step, averaged over the batch (nats an utterance).

    Args:
        name: ``max``, ``min`` or ``random``.
        loss: what is added to the step's loss.
        transducer: transducer loss alone, detached.
        distillation: divergence from the teacher, detached; None for the teacher itself or without distillation.
    """

    name: str
    loss: torch.Tensor
    transducer: torch.Tensor
    distillation: torch.Tensor | None


def build_joiner(given, space: SearchSpace | None, decoder, vocab_size: int, encoder_size: int, joint_space_size: int):
    """The joiner: the one given, or ESPnet's JointNetwork, elastic in a supernet.

    Raises:
        UserError: the search space asks of prediction network or joiner what they cannot do.
    """
    if space is None:
        return given or JointNetwork(vocab_size, encoder_size, decoder.dunits, joint_space_size)
    if space.prediction_dims and not isinstance(decoder, ElasticStatelessDecoder):
        raise UserError("search_space.prediction_dims: the decoder must be 'stateless_supernet'")
    space.check_largest("prediction_dims", "decoder_conf.embed_dim", decoder.dunits)
    if given is None:
        space.check_largest("joiner_dims", "model_conf.joint_space_size", joint_space_size)
        return ElasticJointNetwork(vocab_size, encoder_size, decoder.dunits, joint_space_size)
    if space.model_dims or space.joiner_dims:
        raise UserError("search_space: model_dims and joiner_dims need decoder 'stateless' or 'stateless_supernet'")
    return given


class TODMModel(ESPnetASRModel):
    """Supernet transducer (TODM, arXiv 2309.01947).

    In training, every batch goes once through frontend, normalisation, SpecAugment and time reduction, then through the layers of each
    subnet of the step. The max net learns from the transcripts; the others learn from the transcripts and from the max net's lattice.

    Args:
        joint_space_size: width of the joiner; with ESPnet's own ``decoder: transducer`` the joiner is given by ``joint_net_conf``.
        transducer_conf: see `TransducerConf`.
        sampling_conf: see `SubnetSampling`.
        distill_conf: see `DistillConf`.
        sym_space, sym_blank, ignore_id, report_wer, extract_feats_in_collect_stats: as in ESPnet's model.
        others: built by ESPnet's ASR task.

    Raises:
        UserError: a part that this model has no use for was configured.
    """

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
        joint_space_size: int = 256,
        transducer_conf: dict = {},  # noqa: B006 (ESPnet prints defaults; never changed)
        sampling_conf: dict = {},  # noqa: B006
        distill_conf: dict = {},  # noqa: B006
        ignore_id: int = -1,
        sym_space: str = "<space>",
        sym_blank: str = "<blank>",
        report_wer: bool = True,
        extract_feats_in_collect_stats: bool = True,
    ):
        if decoder is None or not hasattr(decoder, "dunits"):
            raise UserError("decoder: model 'todm' needs a prediction network, 'stateless' or 'transducer'")
        if not hasattr(encoder, "stem"):
            raise UserError("encoder: model 'todm' needs 'mhssm_supernet' or 'mhssm'")
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
        self.joint_network = build_joiner(
            joint_network, self.search_space, decoder, vocab_size, encoder.output_size(), joint_space_size
        )
        conf = build_conf("transducer_conf", TransducerConf, transducer_conf)
        self.criterion = TransducerCriterion(conf, encoder.output_size(), decoder.dunits, vocab_size, self.blank_id)
        # Blank starts with about half of the probability, near its share among a path's arcs: from a uniform start, ScaledAdam, whose steps
        # are relative to a parameter's size, takes about a hundred updates to grow that bias (our choice).
        with torch.no_grad():
            for layer in (self.joint_network.lin_out, getattr(self.criterion, "simple_am", None)):
                if layer is not None:
                    layer.bias[self.blank_id] = math.log(vocab_size)
        self.sampling = build_conf("sampling_conf", SubnetSampling, sampling_conf)
        self.distill = build_conf("distill_conf", DistillConf, distill_conf)
        self.sym_space = sym_space
        self.report_wer = report_wer
        # Updates so far: keys the choice of subnets and the warm-up of the loss, and belongs to the checkpoint.
        self.register_buffer("num_updates", torch.zeros((), dtype=torch.long))

    @property
    def search_space(self) -> SearchSpace | None:
        """The encoder's search space, None for an encoder of one fixed size."""
        return getattr(self.encoder, "search_space", None)

    def features(self, speech: torch.Tensor, speech_lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Frontend, normalisation, SpecAugment (training only), pre-encoder.

        Normalisation comes first, so that what SpecAugment masks with zeros is the mean.

        Args:
            speech: (B, samples).
            speech_lengths: (B,) samples.

        Returns:
            (B, S, F) and (B,) frames.
        """
        feats, lengths = self._extract_feats(speech, speech_lengths)
        if self.normalize is not None:
            feats, lengths = self.normalize(feats, lengths)
        if self.specaug is not None and self.training:
            feats, lengths = self.specaug(feats, lengths)
        if self.preencoder is not None:
            feats, lengths = self.preencoder(feats, lengths)
        return feats, lengths

    def encode(self, speech: torch.Tensor, speech_lengths: torch.Tensor, subnet: Subnet | None = None):
        """Speech to encoder output at a subnet (None: the max net); ESPnet's Speech2Text calls this.

        Returns:
            (B, T, D) and (B,) frames.
        """
        feats, lengths = self.features(speech, speech_lengths)
        chosen = {} if self.search_space is None else {"subnet": subnet}
        encoder_out, lengths, _ = self.encoder(feats, lengths, **chosen)
        return encoder_out, lengths

    def step_subnets(self) -> tuple[Subnet | None, ...]:
        """Subnets of the coming step: from the sampling rule in training, max and min in validation."""
        space = self.search_space
        if space is None:
            return (None,)
        if not self.training:
            return tuple(dict.fromkeys((space.max, space.min)))
        rank = dist.get_rank() if dist.is_available() and dist.is_initialized() else 0
        return self.sampling.subnets(space, int(self.num_updates), rank)

    def forward(self, speech, speech_lengths, text, text_lengths, **kwargs):
        """One step on a batch.

        Args:
            speech: (B, samples).
            speech_lengths: (B,).
            text: (B, U) token ids.
            text_lengths: (B,).

        Returns:
            loss (scalar, sum over the nets of the step), stats, weight (batch size), as ESPnet's trainer expects.
        """
        feats, lengths = self.features(speech, speech_lengths)
        try:
            stem = self.encoder.stem(feats, lengths)
        except TooShortUttError as error:
            shortest = int(lengths.argmin())
            name = kwargs.get("utt_id", range(len(lengths)))[shortest]
            raise UserError(
                f"utterance '{name}': {error}, leave it out (the recipe's formatting stage does)"
            ) from error
        stats, losses, teacher, targets_at = {}, [], None, {}
        for subnet in self.step_subnets():
            decoder, joiner = at_subnet(self.decoder, self.joint_network, subnet)
            widths = subnet and (subnet.prediction, subnet.joiner)
            if widths not in targets_at:
                symbols = text[:, : text_lengths.max()]
                targets_at[widths] = self.criterion.targets(symbols, text_lengths, decoder, joiner)
            targets = targets_at[widths]
            encoder_out = self.encoder.run(stem) if subnet is None else self.encoder.run(stem, subnet)
            lattice = self.criterion(
                encoder_out, stem.lengths, targets, joiner, None if teacher is None else teacher.ranges
            )
            net = self.net_loss(self.net_name(subnet), lattice, teacher, targets)
            losses.append(net.loss)
            stats[f"loss_{net.name}"] = net.transducer
            stats[f"distill_{net.name}"] = net.distillation
            if not self.training and self.report_wer:
                found = greedy_search(encoder_out, stem.lengths, decoder, joiner, self.blank_id)
                stats[f"wer_{net.name}"] = self.word_error_rate(found, text, text_lengths)
            if net.name == "max":
                teacher = lattice
        if self.training:
            self.num_updates += 1
        loss = sum(losses)
        stats["loss"] = loss.detach() / len(losses)
        return force_gatherable((loss, stats, speech.shape[0]), loss.device)

    def net_name(self, subnet: Subnet | None) -> str:
        space = self.search_space
        if subnet is None or subnet == space.max:
            return "max"
        return "min" if subnet == space.min else "random"

    def net_loss(self, name: str, lattice: Lattice, teacher: Lattice | None, targets: Targets) -> NetLoss:
        """Weigh simple, lattice and distillation costs of one net; the teacher is the max net's lattice."""
        step = int(self.num_updates) if self.training else self.criterion.conf.warmup_steps
        simple_weight, weight = self.criterion.conf.weights(step)
        transducer = lattice.cost.mean()
        loss = weight * transducer
        if lattice.simple_cost is not None:
            loss = loss + simple_weight * lattice.simple_cost.mean()
        distillation = None
        if teacher is not None and self.distill.weight > 0:
            distillation = distillation_cost(teacher, lattice, targets.labels, self.distill, self.blank_id).mean()
            loss = self.distill.transducer_weight * loss + self.distill.weight * weight * distillation
            distillation = distillation.detach()
        return NetLoss(name, loss, transducer.detach(), distillation)

    @torch.no_grad()
    def word_error_rate(self, hypotheses: list[list[int]], text, text_lengths) -> torch.Tensor:
        """Word error rate of a batch (0 to 1, or above with many insertions)."""
        errors = words = 0
        for hypothesis, ids, count in zip(hypotheses, text.tolist(), text_lengths.tolist()):
            reference = self.words(ids[:count])
            errors += edit_distance(reference, self.words(hypothesis))["total"]
            words += len(reference)
        return torch.tensor(errors / max(words, 1), device=text.device)

    def words(self, ids: list[int]) -> list[str]:
        """Words of token ids: pieces joined, split at sentencepiece's mark or ESPnet's space symbol."""
        pieces = "".join(self.token_list[i] for i in ids)
        return pieces.replace("\u2581", " ").replace(self.sym_space, " ").split()
