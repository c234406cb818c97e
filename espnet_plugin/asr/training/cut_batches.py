"""Batches of lhotse's cuts for ESPnet's trainer, with the preprocessing that audio and transcripts of Kaldi directories get."""

import argparse
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch.distributed as dist
from espnet2.iterators.abs_iter_factory import AbsIterFactory
from espnet2.iterators.sequence_iter_factory import worker_init_fn
from torch.utils.data import DataLoader, Dataset

from espnet_plugin.asr.training.cuts import (
    KIND,
    BatchPlan,
    CutSource,
    batches_in_a_pass,
    epoch_batches,
    length_bins,
    words_of,
)
from espnet_plugin.common.rate import hertz
from espnet_plugin.common.text import TextConf
from espnet_plugin.errors import UserError


def text_conf(args: argparse.Namespace) -> TextConf | None:
    """Normalisation of transcripts that a training asks for."""
    conf = (args.model_conf or {}).get("text_conf")
    return None if conf is None else TextConf(**conf)


def cut_source(files: Sequence[Sequence[str]], text: TextConf | None = None) -> CutSource | None:
    """The source that ``--train_data_path_and_name_and_type`` names, None where it names files of other types."""
    return next((CutSource(Path(path), text) for path, _, kind in files if kind == KIND), None)


def check_sources(args: argparse.Namespace) -> None:
    """
    Raises:
        UserError: cuts beside other files, under another name, or with options that they cannot go with; see `CutSource.check`.
    """
    for key in ("train_data_path_and_name_and_type", "valid_data_path_and_name_and_type"):
        files = getattr(args, key)
        if (source := cut_source(files)) is None:
            continue
        if len(files) > 1 or files[0][1] != "speech":
            raise UserError(
                f"--{key}: '{source.path}' of type {KIND} must be named speech and be alone, it has the transcripts"
            )
        if args.multiple_iterator:
            raise UserError(f"--multiple_iterator: true is not possible with type {KIND}, which streams as it is")
        if not args.use_preprocessor:
            raise UserError(f"--use_preprocessor: false is not possible with type {KIND}, whose transcripts are texts")
        source.check(f"--{key}")


@dataclass(frozen=True)
class CutReader(Dataset):
    """Audio and tokens of a batch of cuts. Channels are averaged; audio of another sampling rate is resampled.

    Args:
        fs: Hz.
        text: normalisation of transcripts, None: as they are.
        preprocess: ESPnet's, of (utterance id, {"speech": (samples,), "text": words}).
        collate: ESPnet's, of such utterances.
    """

    fs: int
    text: TextConf | None
    preprocess: Callable
    collate: Callable

    @classmethod
    def of(cls, args: argparse.Namespace, preprocess: Callable, collate: Callable) -> "CutReader":
        fs = hertz((args.frontend_conf or {}).get("fs", 16000))
        return cls(fs, text_conf(args), preprocess, collate)

    def utterance(self, cut: Any) -> tuple[str, dict[str, np.ndarray]]:
        """
        Raises:
            UserError: the audio cannot be read.
        """
        try:
            audio = (cut if cut.sampling_rate == self.fs else cut.resample(self.fs)).load_audio()
        except Exception as error:  # of any library that reads audio
            raise UserError(f"audio of cut '{cut.id}' cannot be read: {' '.join(str(error).split())}") from error
        mono = audio.mean(axis=0, dtype=np.float32) if len(audio) > 1 else audio[0]
        data = {"speech": mono, "text": words_of(cut, self.text)}
        made = self.preprocess(cut.id, data)
        return cut.id, {
            name: value.astype(np.float32 if value.dtype.kind == "f" else np.int64) for name, value in made.items()
        }

    def __getitem__(self, cuts: Any) -> tuple[list[str], dict]:
        return self.collate([self.utterance(cut) for cut in cuts])


def unchanged(batch: Any) -> Any:
    return batch


@dataclass(frozen=True)
class Counted:
    """Batches whose number is known."""

    batches: Iterator
    number: int

    def __iter__(self) -> Iterator:
        return iter(self.batches)

    def __len__(self) -> int:
        return self.number


@dataclass(frozen=True)
class Pass:
    """Batches of a pass, whose number only another pass over the cuts tells. Args: count: tells it."""

    batches: Iterable
    count: Callable[[], int]

    def __iter__(self) -> Iterator:
        return iter(self.batches)


@dataclass(frozen=True)
class CutIterFactory(AbsIterFactory):
    """Batches of an epoch. Args: source, plan: see there; reader: makes them; num_workers, pin_memory: as PyTorch's DataLoader has them."""

    source: CutSource
    plan: BatchPlan
    reader: CutReader
    num_workers: int = 0
    pin_memory: bool = False

    @cached_property
    def bins(self) -> list[float]:
        return length_bins(self.source, self.plan.max_duration)

    def build_iter(self, epoch: int, shuffle: bool | None = None) -> Iterable:
        """Batches as ESPnet has them, with a length only where the plan knows it; the order is the plan's."""
        batches = epoch_batches(self.source, self.plan, self.bins, epoch)
        known = self.plan.num_batches
        loader = loader_of(
            self.reader,
            batches if known is None else Counted(batches, known),
            num_workers=self.num_workers,
            pin_memory=self.pin_memory,
            worker_init_fn=partial(worker_init_fn, base_seed=epoch + self.plan.seed),
        )
        return Pass(loader, self.batches_in_a_pass) if known is None else loader

    def batches_in_a_pass(self) -> int:
        logging.info(f"counting the batches of a pass over {self.source.path}, without reading audio")
        return batches_in_a_pass(self.source, self.plan, self.bins)


def loader_of(reader: CutReader, batches: Any, **options) -> DataLoader:
    """Reads batches of cuts, in other processes if asked to."""
    return DataLoader(reader, sampler=batches, batch_size=None, collate_fn=unchanged, **options)


def iter_factory(args: argparse.Namespace, options: Any, mode: str) -> CutIterFactory | None:
    """Batches of ``--max_duration`` a worker; without it ``--batch_bins`` are those of all workers together, as in ESPnet.

    Args: args: of training; options: as `ASRTask.build_iter_options` makes them; mode: train, valid or plot_att.

    Returns:
        None where the data are of another type.

    Raises:
        UserError: several workers that read Shar folders and no number of batches.
    """
    source = cut_source(options.data_path_and_name_and_type, text_conf(args))
    if source is None:
        return None
    reader = CutReader.of(args, options.preprocess_fn, options.collate_fn)
    rank, ranks = (dist.get_rank(), dist.get_world_size()) if options.distributed else (0, 1)
    longest = args.max_duration or (options.batch_bins or args.batch_bins) / reader.fs / ranks
    number = options.num_batches if mode == "plot_att" else options.num_iters_per_epoch
    plan = BatchPlan(longest, args.seed, options.train, rank, ranks, num_batches=number)
    if options.train and source.is_shar and plan.ranks > 1 and number is None:
        raise UserError(
            f"--num_iters_per_epoch: must be given where {plan.ranks} workers read shards of '{source.path}', which differ in length"
        )
    return CutIterFactory(source, plan, reader, args.num_workers, args.ngpu > 0)


def in_order(source: CutSource, batch_size: int, every: int = 1) -> Iterator[Any]:
    """Usable cuts in their order, every n-th of them, in batches of a number."""
    from lhotse import CutSet

    cuts = islice(source.cuts(), 0, None, every)
    while batch := list(islice(cuts, batch_size)):
        yield CutSet.from_cuts(batch)
