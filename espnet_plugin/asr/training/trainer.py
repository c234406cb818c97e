"""ESPnet's trainer with a training loop that goes through the nets of a step one by one."""

import argparse
import dataclasses
import logging
import math
import resource
import time
from pathlib import Path

import torch
from espnet2.schedulers.abs_scheduler import AbsBatchStepScheduler
from espnet2.torch_utils.add_gradient_noise import add_gradient_noise
from espnet2.train.reporter import aggregate
from espnet2.train.trainer import Trainer, TrainerOptions
from espnet2.utils.types import int_or_none

from espnet_plugin.asr.training.batch import Batch
from espnet_plugin.asr.training.checkpoint import averages_of_saved, finish_epoch, whole_saves
from espnet_plugin.asr.training.cost import CostRecord
from espnet_plugin.asr.training.data_files import reading
from espnet_plugin.asr.training.progress import tell
from espnet_plugin.asr.training.ranks import Reduction, everyones, means, sums, world_size
from espnet_plugin.asr.training.rates import base_rates, options_of, put_back, remember_rates
from espnet_plugin.asr.training.step import BadNumber, clip, figures_of, start, update
from espnet_plugin.errors import UserError
from espnet_plugin.optim.eden import Eden

STATS = ("loss", *(f"{key}_{name}" for name in ("max", "min", "random") for key in ("loss", "distill")))


@dataclasses.dataclass
class TODMTrainerOptions(TrainerOptions):
    """ESPnet's options and ours. Args: max_bad_updates: skipped updates in a row after which training stops, None for no limit."""

    max_bad_updates: int | None
    cost: CostRecord | None = dataclasses.field(default=None, init=False)
    reduction: Reduction | None = dataclasses.field(default=None, init=False)
    bad_in_a_row: int = dataclasses.field(default=0, init=False)  # skipped updates up to now, over the ends of epochs


def memory_gb(device: torch.device) -> float:
    """Peak memory so far, 10^9 bytes: tensors on a GPU, the whole process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


class TODMTrainer(Trainer):
    """Trainer of `TODMTask`.

    A batch goes through the nets of its step one by one, so that one net's graph is alive at a time; gradients are reduced over
    data-parallel workers once, after the last net; one clipping, one update. AMP is bfloat16. An update whose loss or gradient is not
    finite is left out. Everything around the loop over batches is ESPnet's.
    """

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--max_bad_updates",
            type=int_or_none,
            default=20,
            help="Stop after so many updates in a row that were skipped because a loss or gradient was not finite",
        )

    @classmethod
    def check_options(cls, args: argparse.Namespace) -> None:
        """Before anything is built.

        Raises:
            UserError: an option of ESPnet that this loop has no use for.
        """
        # ESPnet decides between the two checks of a run whether it is distributed.
        parallel = args.ngpu > 1 and not getattr(args, "distributed", True)
        refused = {
            "sharded_ddp": (args.sharded_ddp, "no optimizer state is sharded"),
            "ddp_comm_hook": (args.ddp_comm_hook is not None, "gradients are reduced as they are"),
            "ngpu": (parallel, "several GPUs need --multiprocessing_distributed true"),
            "multiple_iterator": (args.multiple_iterator, "data in parts are lhotse's Shar folders"),
            "create_graph_in_tensorboard": (args.create_graph_in_tensorboard, "an elastic network has no single graph"),
        }
        for key, (asked, why) in refused.items():
            if asked:
                raise UserError(f"--{key}: {getattr(args, key)!r} is not possible with model 'todm', {why}")
        if args.max_bad_updates is not None and args.max_bad_updates < 1:
            raise UserError(f"--max_bad_updates: {args.max_bad_updates} must be at least 1, or none for no limit")

    @classmethod
    def build_options(cls, args: argparse.Namespace) -> TODMTrainerOptions:
        """Options from the command line. Raises `UserError`, see `check_options`."""
        cls.check_options(args)
        fields = [f for f in dataclasses.fields(TODMTrainerOptions) if f.init]
        return TODMTrainerOptions(**{f.name: getattr(args, f.name) for f in fields})

    @classmethod
    def run(cls, trainer_options: TODMTrainerOptions, distributed_option, **parts) -> None:
        """ESPnet's run, from a folder in order, with whole checkpoints and a record of costs."""
        folder, first = Path(trainer_options.output_dir), (distributed_option.dist_rank or 0) == 0
        gpu, workers = trainer_options.ngpu > 0, world_size()
        trainer_options.cost = CostRecord(folder if first else None, workers, gpu, trainer_options.resume)
        with whole_saves(), averages_of_saved():
            if trainer_options.resume and first:
                finish_epoch(folder, trainer_options)
            remember_rates(parts["optimizers"], parts["schedulers"])
            super().run(trainer_options=trainer_options, distributed_option=distributed_option, **parts)

    @classmethod
    def resume(cls, checkpoint, model, reporter, optimizers, schedulers, scaler, ngpu=0, strict=True) -> None:
        """ESPnet's, but rates and other options of the optimizers are those of this run, which the checkpoint's would replace.

        Args: as in ESPnet's trainer.
        """
        options, rates = map(options_of, optimizers), map(base_rates, optimizers, schedulers)
        given = list(zip(optimizers, schedulers, options, rates))
        super().resume(checkpoint, model, reporter, optimizers, schedulers, scaler, ngpu, strict)
        for each in given:
            put_back(*each)

    @classmethod
    def train_one_epoch(
        cls,
        model,
        iterator,
        optimizers,
        schedulers,
        scaler,
        reporter,
        summary_writer,
        options: TODMTrainerOptions,
        distributed_option,
    ) -> bool:
        """Train on all batches of an epoch.

        Args:
            model: ours, or ESPnet's data-parallel wrapper of it, which is passed by.
            scaler: not used: bfloat16 needs no scaling.
            others: as in ESPnet's trainer.

        Returns:
            False: ESPnet would end a run that made no update as if it were finished.

        Raises:
            UserError: too many updates in a row were skipped, the epoch had no update at all, or its length, which the schedule needs, is
                not known.
        """
        net = getattr(model, "module", model)
        device = next(net.parameters()).device
        batches = number_of(iterator)
        log_interval = options.log_interval or (100 if batches is None else max(batches // 20, 10))  # as ESPnet
        set_epoch_lengths(schedulers, iterator, options)
        cost = options.cost
        assert cost is not None  # made by `run`
        cost.begin(reporter.get_epoch())
        if options.reduction is None:
            options.reduction = Reduction(list(net.parameters()))
        reduction = options.reduction
        tell(cost.folder, begun=reporter.get_epoch(), of=options.max_epoch, batches=batches)
        net.train()
        # Batches that were left over at the end of the last epoch, too few for an update, are not in its checkpoint either.
        net.zero_grad()
        bad: list[BadNumber] = []  # of the update in the making
        seen: list[tuple[str, ...]] = []  # its utterances
        number, updates, last = 0, 0, BadNumber((), ())
        began = time.perf_counter()
        for number, (utt_id, batch) in enumerate(each_together(reporter, iterator), 1):
            if options.no_forward_run:
                updates += 1
                continue
            utterances, audio = sums([len(utt_id), audio_seconds(net, batch)])
            batch = Batch.of(**batch, utt_id=utt_id).to(device)
            ends = number % options.accum_grad == 0  # the batch ends an update
            scale = len(utt_id) / utterances / options.accum_grad
            figures = start(net, batch, scale, options.use_amp, reduction if ends else None)
            more: list[torch.Tensor] = []
            if ends:
                reduction.finish()
                if options.grad_noise:
                    add_gradient_noise(net, reporter.get_total_count(), duration=100, eta=1.0, scale_factor=0.55)
                total = clip(net, options.grad_clip, options.grad_clip_type)
                more = [total.reshape(1).double(), *figures_of(optimizers)]
            # One wait for the device: figures for the log, whether all is finite, and what the optimizers have to know.
            result, read = figures.read(*more)
            bad += [result.bad.of_audio(batch)] if result.bad else []
            seen.append(tuple(utt_id))
            reporter.register(means(result.stats, len(utt_id), STATS), utterances)
            cost.add(audio_seconds=audio, utterances=len(utt_id), left_out=result.left_out)
            if ends:
                (norm,), *gradients = read
                problems = [b for bads in everyones(bad) for b in bads] if sums([len(bad)])[0] else []
                if not math.isfinite(norm) and not problems:
                    problems = [BadNumber(sum(seen, ()), result.subnets)]
                if problems:
                    options.bad_in_a_row, last = options.bad_in_a_row + 1, problems[0]
                    cost.add(skipped_updates=1)
                    logging.warning(f"update skipped, loss or gradient not finite: {'; '.join(map(str, problems))}")
                    if options.bad_in_a_row == options.max_bad_updates:
                        raise UserError(
                            f"training stopped at update {net.update_number()}: {options.bad_in_a_row} in a row had a loss or gradient "
                            f"that is not finite, the last one with {problems[0]}; {problems[0].advice}, or raise --max_bad_updates"
                        )
                else:
                    options.bad_in_a_row = 0
                    updates += 1
                    reporter.register({"grad_norm": norm, "clip": 100.0 * (norm > options.grad_clip)})
                    with reporter.measure_time("optim_step_time"):
                        for optimizer, scheduler, numbers in zip(optimizers, schedulers, gradients):
                            update(optimizer, numbers)
                            if isinstance(scheduler, AbsBatchStepScheduler):
                                scheduler.step()
                    net.count_update()
                    cost.add(updates=1)
                net.zero_grad()
                bad, seen = [], []
                rates = {
                    f"optim{i}_lr{j}": group["lr"]
                    for i, optimizer in enumerate(optimizers)
                    for j, group in enumerate(optimizer.param_groups)
                }
                now = time.perf_counter()
                took = {"train_time": now - began, "memory_gb": memory_gb(device), "skipped": float(bool(problems))}
                reporter.register(rates | took)
                began = now
            reporter.next()
            if number % log_interval == 0:
                logging.info(reporter.log_message(-log_interval))
                cost.save()
                if summary_writer is not None:
                    reporter.tensorboard_add_scalar(summary_writer, -log_interval)
                if options.use_wandb:
                    reporter.wandb_log()
        cost.save()
        if not updates:
            raise UserError(
                f"training stopped: epoch {reporter.get_epoch()} had no update in {number} batches with --accum_grad {options.accum_grad}: "
                f"{number // options.accum_grad} had a loss or gradient that is not finite; {last.advice} or lower --accum_grad"
            )
        return False

    @classmethod
    def validate_one_epoch(cls, model, iterator, reporter, options: TODMTrainerOptions, distributed_option) -> None:
        """ESPnet's validation; its time counts, its figures are told."""
        super().validate_one_epoch(
            model=model,
            iterator=told(iterator),
            reporter=reporter,
            options=options,
            distributed_option=distributed_option,
        )
        cost = options.cost
        assert cost is not None
        cost.save()
        figures = {key: aggregate(values) for key, values in reporter.stats.items()}
        tell(cost.folder, epoch=reporter.get_epoch(), valid=figures)


def number_of(iterator) -> int | None:
    """Batches of an epoch; None for an iterator without a length, as those of ``iterator_type: chunk`` are."""
    return len(iterator) if hasattr(iterator, "__len__") else None


def told(iterator):
    """Batches of an iterator, whose failure is told in a sentence."""
    with reading():
        yield from iterator


def set_epoch_lengths(schedulers, iterator, options: TODMTrainerOptions) -> None:
    """Tell `Eden` how many updates an epoch has. Args: iterator: with a length, or with a method `count` that finds it out.

    Raises:
        UserError: an epoch is too small for an update, or its length is needed and not known.
    """
    batches = number_of(iterator)
    if batches is not None and batches < options.accum_grad:
        raise UserError(
            f"--accum_grad: {options.accum_grad} is more than the {batches} batches of an epoch, so nothing is ever updated"
        )
    for scheduler in schedulers:
        if isinstance(scheduler, Eden) and scheduler.batches_per_epoch is None:
            if batches is None and hasattr(iterator, "count"):
                batches = iterator.count()
            if batches is None:
                raise UserError(
                    "scheduler_conf.batches_per_epoch: must be given where data come without a length, as with --iterator_type"
                )
            scheduler.set_epoch_length(batches // options.accum_grad)


def each_together(reporter, iterator):
    """Batches, until the first worker has none left, with ESPnet's measurement of waiting time."""
    for item in reporter.measure_iter_time(told(iterator), "iter_time"):
        if sums([0.0])[0] > 0:
            return
        yield item
    sums([1.0])


def audio_seconds(net, batch: dict) -> float:
    """Seconds of audio in a batch of audio or features, 0 where the frontend does not tell its sampling rate and frame shift."""
    fs = getattr(net.frontend, "fs", None)
    samples = 1 if batch["speech"].dim() == 2 else getattr(net.frontend, "shift", 0)
    return float(batch["speech_lengths"].sum()) * samples / fs if fs else 0.0
