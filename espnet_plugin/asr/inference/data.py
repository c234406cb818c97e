"""Audio in batches, for a model."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from espnet_plugin.audio.mono import read_mono
from espnet_plugin.common.bounds import Bounds

BATCH_SECONDS = Bounds(above=0, most=36_000, why="a batch is held in memory")
POOL = 16  # batches whose audio is held and sorted by length at a time, so that little is padded


@dataclass(frozen=True)
class AudioBatch:
    """Utterances padded to one length. Args: keys; speech (B, samples); lengths (B,) samples."""

    keys: tuple[str, ...]
    speech: torch.Tensor
    lengths: torch.Tensor


def grouped(waves: Iterable[tuple[str, np.ndarray]], most_samples: int) -> Iterator[AudioBatch]:
    """All of some audio in batches of similar length, longest first.

    Args:
        waves: key and samples (n,), n above 0.
        most_samples: padded, in a batch of more than one.
    """
    rest = sorted(waves, key=lambda wave: -len(wave[1]))
    while rest:
        count = max(1, most_samples // len(rest[0][1]))
        taken, rest = rest[:count], rest[count:]
        lengths = torch.tensor([len(wave) for _, wave in taken])
        padded = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(wave) for _, wave in taken], batch_first=True)
        yield AudioBatch(tuple(key for key, _ in taken), padded, lengths)


def batches(paths: Mapping[str, str], fs: int, batch_seconds: float = 60.0) -> Iterator[AudioBatch]:
    """Recordings in batches of similar length; some batches are in memory at a time, however many recordings there are.

    Args:
        paths: utterance id -> source, see `audio.source`.
        fs: Hz.
        batch_seconds: padded audio in a batch, s.

    Raises:
        UserError: see `audio.mono.MonoAudio`.
    """
    most, pool, held = int(batch_seconds * fs), [], 0
    for key, path in paths.items():
        pool.append((key, read_mono(str(path), fs)))
        held += len(pool[-1][1])
        if held >= POOL * most:
            yield from grouped(pool, most)
            pool, held = [], 0
    yield from grouped(pool, most)
