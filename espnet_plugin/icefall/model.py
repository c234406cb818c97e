"""icefall's ``AsrModel``, trained by the sandwich rule with distillation on the lattice.

Shapes: N batch, S input frames, F features, U symbols.
"""

from dataclasses import dataclass
from functools import cache
from typing import cast

import torch

from espnet_plugin.asr.training.nets import Shared
from espnet_plugin.asr.training.ranks import reduce_gradients, world_size
from espnet_plugin.asr.training.sandwich import Sandwich
from espnet_plugin.errors import UserError
from espnet_plugin.icefall.encoder import refresh
from espnet_plugin.icefall.parts import JoinerOf, PredictionOf, Sliced, narrow
from espnet_plugin.supernet.graph import one_by_one
from espnet_plugin.supernet.space import SearchSpace
from espnet_plugin.supernet.subnet import Subnet
from espnet_plugin.transducer.loss import Lattice, TransducerConf, TransducerCriterion


@dataclass(frozen=True)
class NetSums:
    """Losses of one net, summed over the batch as icefall sums them (nats).

    Args:
        name, subnet: of the net.
        simple: of the max net, 0 of the others.
        pruned: with the distillation, where the net has a teacher.
        loss: both, weighed by `AsrModel.scales`.
    """

    name: str
    subnet: Subnet
    simple: torch.Tensor
    pruned: torch.Tensor
    loss: torch.Tensor


def labels_of(y, blank_id: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Labels of a ``k2.RaggedTensor`` with axes [utterance][symbol], on its device, which is the CPU in icefall's loop.

    Returns:
        (N, U) padded with blank, (N,) symbols.
    """
    splits = y.shape.row_splits(1)
    return y.pad(mode="constant", padding_value=blank_id).long(), (splits[1:] - splits[:-1]).long()


@cache
def asr_model_class() -> type:
    """A subclass of the recipe's ``AsrModel``, made when the recipe is there.

    Raises:
        UserError: the recipe's folder is not on the path.
    """
    try:
        from model import AsrModel as RecipesModel
    except ImportError as error:
        raise UserError(f"the recipe's model does not import ({error}): run from the recipe's folder") from error

    class AsrModel(Sandwich, RecipesModel):
        """The recipe's model around a supernet from `get_encoder_model`.

        In training, forward runs max, min and random nets on the batch: what it returns goes through icefall's ``compute_loss`` as ever.
        In evaluation it is the loss of the size of ``--subnet`` alone.

        Args:
            args, kwargs: as the recipe's model takes them.

        Raises:
            UserError: another encoder, or a head beside the transducer.
        """

        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            options = getattr(self.encoder, "options", None)
            if options is None:
                raise UserError("encoder: AsrModel of espnet_plugin.icefall needs that of its get_encoder_model")
            if not self.use_transducer or self.use_ctc or self.use_attention_decoder:
                raise UserError(
                    "--use-ctc, --use-attention-decoder: must be 0 and --use-transducer 1, a supernet trains a transducer alone"
                )
            self.sampling, self.distill, self.backend = options.sampling, options.distill, options.backend
            self.blank_id = self.decoder.blank_id
            self.scales = (1.0, 1.0)
            self.criterion = None
            # Number of the present update, in the checkpoint; -1 before the first. Weights whose version is the one seen are not updated
            # yet, so that forward passes without an update, as in icefall's search for batches that need most memory, do not count.
            self.register_buffer("num_updates", torch.tensor(-1))
            self.version_seen = None
            # Data-parallel workers count alike; a broadcast would write the buffer, after which it had to be read.
            self._ddp_params_and_buffers_to_ignore = ["num_updates"]
            self.register_load_state_dict_post_hook(refresh)

        @property
        def search_space(self) -> SearchSpace:
            return cast(SearchSpace, super().search_space)  # the encoder is a supernet

        def parts_at(self, subnet: Subnet | None) -> tuple[PredictionOf, JoinerOf]:
            assert subnet is not None  # since the encoder is a supernet; likewise below
            return PredictionOf(self.decoder, subnet["prediction"]), JoinerOf(self.joiner, subnet["joiner"])

        def train(self, mode: bool = True):
            """Besides, in evaluation, set to zero what the chosen size does not use of prediction network and joiner."""
            super().train(mode)
            subnet, largest = cast(Subnet, self.encoder.subnet), self.search_space.max
            if not mode and subnet != largest:
                narrow(self.decoder, self.joiner, subnet["prediction"], subnet["joiner"])
            return self

        def step_subnets(self) -> tuple[tuple[str, Subnet | None], ...]:
            """Those of the sandwich rule; in evaluation the chosen size, as the only net."""
            return super().step_subnets() if self.training else (("max", cast(Subnet, self.encoder.subnet)),)

        def net(
            self, name: str, subnet: Subnet | None, shared: Shared, teacher: Lattice | None
        ) -> tuple[NetSums, Lattice]:
            """Losses of one net; those on a share of the batch stand for the whole."""
            assert subnet is not None
            costs = self.costs(subnet, shared, teacher)
            lattice, count = costs.lattice, self.batch_size
            pruned = count * lattice.cost.mean()
            simple = torch.zeros_like(pruned) if lattice.simple_cost is None else lattice.simple_cost.sum()
            if teacher is not None:
                pruned = self.distill.transducer_weight * pruned
            if costs.distillation is not None:
                pruned = pruned + self.distill.weight * count * costs.distillation.mean()
            pruned = self.weight_of(teacher) * pruned
            loss = self.scales[0] * simple + self.scales[1] * pruned
            return NetSums(name, subnet, simple, pruned, loss), lattice

        def begin(self, prune_range: int, am_scale: float, lm_scale: float) -> None:
            """Count an update, and make the criterion of the batch.

            Raises:
                UserError: training with ``--subnet``.
            """
            if self.training and self.encoder.subnet != self.search_space.max:
                raise UserError(
                    f"--subnet: '{self.encoder.subnet}' is for decoding and export, training trains all sizes"
                )
            version = self.simple_am_proj.weight._version
            if self.training and version != self.version_seen:
                self.count_update()
                self.version_seen = version
            conf = TransducerConf(
                prune_range=prune_range, am_scale=am_scale, lm_scale=lm_scale, backend=self.backend, warmup_steps=0
            )
            if self.criterion is None or self.criterion.conf != conf:
                simple = (Sliced(self.simple_am_proj), Sliced(self.simple_lm_proj))
                self.criterion = TransducerCriterion(conf, 0, 0, 0, self.blank_id, simple)

        def shared(self, x: torch.Tensor, x_lens: torch.Tensor, y) -> Shared:
            """What the nets of a step share. `x_lens` on another device than the CPU are read, which waits for it.

            Args:
                x: (N, S, F).
                x_lens: (N,) frames, on any device.
                y: ``k2.RaggedTensor``.

            Raises:
                TooShort: an utterance is too short for the encoder.
            """
            self.batch_size, frames = len(x), x_lens.cpu()
            x, x_lens = self.encoder_embed(x, x_lens.to(x.device, non_blocking=True))
            self.encoder.check(frames)
            stem, (labels, symbols) = self.encoder.stem(x, x_lens), labels_of(y, self.blank_id)
            labels, lengths = (tensor.to(x.device, non_blocking=True) for tensor in (labels, symbols))
            return self.share(stem, labels, lengths, self.encoder.frames(frames), symbols.cpu())

        def forward(
            self,
            x: torch.Tensor,
            x_lens: torch.Tensor,
            y,
            prune_range: int = 5,
            am_scale: float = 0.0,
            lm_scale: float = 0.0,
            use_cr_ctc: bool = False,
            **others,
        ) -> tuple[torch.Tensor, ...]:
            """icefall's forward.

            Args:
                x: (N, S, F).
                x_lens: (N,) frames.
                y: ``k2.RaggedTensor`` of labels.
                prune_range, am_scale, lm_scale: of the transducer loss.
                others: of what there is no use for here.

            Returns:
                simple loss of the max net, sum of all nets' pruned losses with their distillation, and three empty tensors, for CTC,
                attention decoder and consistency; summed over the batch.

            Raises:
                UserError: consistency regularisation was asked for, or see `begin`.
            """
            if use_cr_ctc:
                raise UserError("--use-cr-ctc: must be 0, a supernet trains a transducer alone")
            self.begin(prune_range, am_scale, lm_scale)
            nets = list(self.nets(self.shared(x, x_lens, y)))
            empty = torch.empty(0)
            return sum(net.simple for net in nets), sum(net.pruned for net in nets), empty, empty, empty

        def accumulate(
            self, x, x_lens, y, scale: float | torch.Tensor, simple_scale: float, pruned_scale: float, **conf
        ) -> list[NetSums]:
            """Add the batch's gradients to those of the parameters, one net's graph at a time.

            Args:
                x, x_lens, y: as in `forward`; nothing waits for a device where `x_lens` are on the CPU.
                scale: factor of the loss, a number or a scalar on the device.
                simple_scale, pruned_scale: weights of both losses.
                conf: prune_range, am_scale, lm_scale.
            """
            self.begin(**conf)
            self.scales = (simple_scale, pruned_scale)
            try:
                return one_by_one(lambda: self.shared(x, x_lens, y), self.nets, scale)
            finally:
                self.scales = (1.0, 1.0)

    return AsrModel


def loss_scales(params) -> tuple[float, float]:
    """Weights of simple and pruned loss over icefall's warm-up of ``params.warm_step`` batches."""
    done = min(1.0, params.batch_idx_train / params.warm_step)
    return 1.0 - done * (1.0 - params.simple_loss_scale), 0.1 + 0.9 * done


def accumulate(params, model, sp, batch: dict, scaler=None):
    """In place of ``compute_loss`` and ``scaler.scale(loss).backward()``: the same gradients with one net's graph in memory at a time.

    Args:
        params, model, sp, batch: as icefall's ``compute_loss`` takes them; a data-parallel wrapper is passed by, its reduction done here.
        scaler: icefall's gradient scaler.

    Returns:
        the loss (no graph) and icefall's ``MetricsTracker``.
    """
    import k2
    from icefall.utils import MetricsTracker

    net = getattr(model, "module", model)
    device = next(net.parameters()).device
    x, x_lens = batch["inputs"].to(device, non_blocking=True), batch["supervisions"]["num_frames"].cpu()
    y = k2.RaggedTensor(sp.encode(batch["supervisions"]["text"], out_type=int))
    scale = 1.0 if scaler is None else scaler.scale(torch.ones((), device=device))
    weights = dict(zip(("simple_scale", "pruned_scale"), loss_scales(params)))
    conf = dict(prune_range=params.prune_range, am_scale=params.am_scale, lm_scale=params.lm_scale)
    nets = net.accumulate(x, x_lens, y, scale / world_size(), **weights, **conf)
    if world_size() > 1:
        reduce_gradients([p for p in net.parameters() if p.requires_grad])
    info = MetricsTracker()
    info["frames"] = int((x_lens // params.subsampling_factor).sum())
    sums = torch.stack([torch.stack([one.loss, one.simple, one.pruned]).detach() for one in nets]).sum(0)
    for key, value in zip(("loss", "simple_loss", "pruned_loss"), sums.tolist()):  # the one wait for the device
        info[key] = value
    return sums[0], info
