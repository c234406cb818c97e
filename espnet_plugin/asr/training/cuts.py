"""lhotse's cuts as a source of training data: a manifest that is opened lazily, or a folder in the Shar format.

Nothing here is in proportion to the number of cuts: some thousands are in memory at a time, out of which batches are made. The order of
batches depends on seed and epoch alone.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import Any

from tqdm import tqdm

from espnet_plugin.common.text import TextConf
from espnet_plugin.errors import UserError

KIND = "lhotse_cuts"  # as the type in --train_data_path_and_name_and_type PATH,speech,lhotse_cuts
ENDINGS = (".jsonl", ".jsonl.gz")
BUFFER = 10_000  # cuts in memory, out of which batches are made; as many are read to find out which lengths there are
BUCKETS = 30  # of similar length
SHORTEST = 0.1  # s, as in the recipe's formatting of Kaldi directories: less has no encoder frame


def words_of(cut: Any, text: TextConf | None = None) -> str:
    """Transcript of a cut: those of its supervisions, one after the other. Args: text: normalisation, None: as it is."""
    words = " ".join(one.text.strip() for one in cut.supervisions if one.text and one.text.strip())
    return words if text is None else text.normalise(words)


@dataclass(frozen=True)
class Usable:
    """Cuts that can be trained on; at the end of each pass it is told how many others there were, and why.

    Args:
        cuts: lhotse's, read anew in each pass.
        name: of the source.
        reason: why a cut cannot be trained on, None where it can.
    """

    cuts: Iterable
    name: str
    reason: Callable[[Any], str | None]

    def __iter__(self) -> Iterator[Any]:
        left_out: Counter[str] = Counter()
        for cut in self.cuts:
            reason = self.reason(cut)
            if reason is None:
                yield cut
            else:
                left_out[reason] += 1
        if left_out:
            reasons = ", ".join(f"{number} with {reason}" for reason, number in sorted(left_out.items()))
            logging.warning(f"{self.name}: {left_out.total()} cuts left out: {reasons}")


@dataclass(frozen=True)
class CutSource:
    """Where cuts are read from.

    Args:
        path: a manifest ``*.jsonl`` or ``*.jsonl.gz``, or a folder with ``cuts.000000.jsonl.gz``, ``recording.000000.tar``, ...
        text: normalisation of the transcripts, None: as they are.
    """

    path: Path
    text: TextConf | None = None

    @property
    def is_shar(self) -> bool:
        return self.path.is_dir()

    def shards(self) -> list[Path]:
        return sorted(file for ending in ENDINGS for file in self.path.glob(f"cuts.*{ending}"))

    def fields(self, shards: Sequence[Path], audio: bool) -> dict[str, list[str]]:
        """Files of some shards, as lhotse wants them.

        Raises:
            UserError: some shards have audio and others have none.
        """
        found = {"cuts": [str(shard) for shard in shards]}
        tars = [self.path / f"recording.{shard.name.split('.')[1]}.tar" for shard in shards]
        there = [tar.is_file() for tar in tars]
        if any(there) and not all(there):
            raise UserError(f"'{tars[there.index(False)]}' does not exist, other shards have such a file")
        return found | {"recording": [str(tar) for tar in tars]} if audio and all(there) else found

    def cuts(self, seed: int | None = None, rank: int = 0, ranks: int = 1, audio: bool = True) -> Usable:
        """All usable cuts, or those of every ranks-th shard.

        Args:
            seed: determines the order of the shards; None: that of their names. A manifest is read as it is.
            audio: False: Shar folders without their audio.

        Raises:
            UserError: see `fields`; fewer shards than ranks.
        """
        from lhotse import CutSet

        if not self.is_shar:
            return Usable(CutSet.from_jsonl_lazy(self.path), str(self.path), self.reason_against)
        shards = self.shards()
        if len(shards) < ranks:
            raise UserError(f"'{self.path}': {len(shards)} shards must be at least {ranks}, one for each worker")
        fields = self.fields(shards[rank::ranks], audio)
        order = dict(shuffle_shards=seed is not None, seed=seed or 0, stateful_shuffle=False)
        reason = partial(self.reason_against, audio=audio)
        return Usable(CutSet.from_shar(fields=fields, **order), str(self.path), reason)

    def check(self, option: str) -> None:
        """
        Raises:
            UserError: nothing that lhotse can read, or no cut that can be trained on among the first ones.
        """
        if self.is_shar and not self.shards():
            raise UserError(f"{option}: '{self.path}' has no cuts.*.jsonl.gz of lhotse's Shar format")
        if not self.is_shar and not self.path.name.endswith(ENDINGS):
            raise UserError(
                f"{option}: '{self.path}' must end in {' or '.join(ENDINGS)}, or be a folder of lhotse's Shar format"
            )
        try:
            first = list(islice(self.all(), BUFFER // 10))
        except UserError:
            raise
        except Exception as error:  # whatever lhotse's reader may raise
            raise UserError(f"{option}: '{self.path}' holds none of lhotse's cuts: {error}") from error
        if not any(self.reason_before_audio(cut) is None for cut in first):
            why = f"the first has {self.reason_before_audio(first[0])}" if first else "it is empty"
            raise UserError(f"{option}: '{self.path}' has no cut with recording and transcript, {why}")

    def reason_against(self, cut: Any, audio: bool = True) -> str | None:
        """Why a cut cannot be trained on, None where it can. Args: audio: whether its recording is to be there."""
        if audio and not getattr(cut, "has_recording", False):
            return "no recording"
        if cut.duration < SHORTEST:
            return f"less than {SHORTEST} s"
        return None if words_of(cut, self.text) else "no transcript"

    def reason_before_audio(self, cut: Any) -> str | None:
        """The same for a cut of `all`: recordings of Shar folders are in other files."""
        return self.reason_against(cut, audio=not self.is_shar)

    def all(self) -> Iterator[Any]:
        """All cuts, usable or not, without reading audio."""
        return iter(self.cuts(audio=False).cuts)


@dataclass(frozen=True)
class BatchPlan:
    """How cuts become batches.

    Args:
        max_duration: s of audio in a batch, padding counted; a longer cut is a batch by itself.
        seed: of the order.
        shuffle: False: the order of the source as far as batches of similar length allow, the same in each pass.
        rank, ranks: this worker and how many there are. All get the same number of batches.
        num_batches: of an epoch of each worker; None: as many as a pass over the source has.
    """

    max_duration: float
    seed: int = 0
    shuffle: bool = True
    rank: int = 0
    ranks: int = 1
    num_batches: int | None = None

    def own_shards(self, source: CutSource) -> bool:
        """Whether a worker reads some of the files only. Their lengths differ: then an epoch cannot be a pass."""
        return source.is_shar and self.ranks > 1 and self.num_batches is not None


def length_bins(source: CutSource, max_duration: float) -> list[float]:
    """Limits between buckets of similar length (s), from the first cuts of the source."""
    from lhotse.dataset.sampling.base import TimeConstraint
    from lhotse.dataset.sampling.dynamic_bucketing import estimate_duration_buckets

    usable = (cut for cut in source.all() if source.reason_before_audio(cut) is None)
    first = list(islice(((cut.duration, cut) for cut in usable), BUFFER))
    buckets = min(BUCKETS, len({duration for duration, _ in first}))
    if buckets < 2:
        return []
    return estimate_duration_buckets((cut for _, cut in first), buckets, TimeConstraint(max_duration=max_duration))


def one_pass(source: CutSource, plan: BatchPlan, bins: list[float], number: int, audio: bool = True) -> Iterator[Any]:
    """Batches (lhotse's CutSet) of one pass over the source.

    Args:
        number: of the pass, which changes the order.
        audio: False: Shar folders without their audio.
    """
    from lhotse.dataset import DynamicBucketingSampler

    seed, own = plan.seed + number if plan.shuffle else plan.seed, plan.own_shards(source)
    shards: dict[str, Any] = dict(rank=plan.rank, ranks=plan.ranks) if own else {}
    cuts = source.cuts(seed=seed if plan.shuffle else None, audio=audio, **shards)
    workers = dict(rank=0, world_size=1) if own else dict(rank=plan.rank, world_size=plan.ranks)
    return iter(
        DynamicBucketingSampler(
            cuts,
            max_duration=plan.max_duration,
            shuffle=plan.shuffle,
            duration_bins=bins,
            buffer_size=BUFFER,
            seed=seed,
            **workers,
        )
    )


def batches_in_a_pass(source: CutSource, plan: BatchPlan, bins: list[float]) -> int:
    """Batches that a worker gets in the first pass; the others have about as many. Reads all cuts, and no audio."""
    passed = tqdm(one_pass(source, plan, bins, 1, audio=False), f"batches of {source.path}", disable=None)
    return sum(1 for _ in passed)


def epoch_batches(source: CutSource, plan: BatchPlan, bins: list[float], epoch: int) -> Iterator[Any]:
    """Batches of an epoch, which depend on nothing but the arguments.

    Without `num_batches` an epoch is a pass. With it, epochs go on from one another through pass after pass of a manifest: what earlier
    epochs had is passed over, without reading audio. Of Shar folders, whose audio comes along with the cuts, each epoch begins with other
    shards instead.

    Args:
        epoch: from 1.

    Raises:
        UserError: the source gives no batch.
    """
    if plan.num_batches is None:
        yield from one_pass(source, plan, bins, epoch)
        return
    # Passes of epochs that begin anew must not meet those of the next epoch.
    first, skip = (epoch << 16, 0) if source.is_shar else (0, (epoch - 1) * plan.num_batches)
    yield from islice(endless(source, plan, bins, first), skip, skip + plan.num_batches)


def endless(source: CutSource, plan: BatchPlan, bins: list[float], first: int) -> Iterator[Any]:
    """Pass after pass."""
    for number in count(first):
        empty = True
        for batch in one_pass(source, plan, bins, number):
            empty = False
            yield batch
        if empty:
            raise UserError(f"'{source.path}' has no cut with recording and transcript")
