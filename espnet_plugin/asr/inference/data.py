"""Audio for decoding: formatted Kaldi directories and single files."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch

from espnet_plugin.errors import UserError


def read_audio(path: Path, fs: int) -> np.ndarray:
    """Mono audio in [-1, 1] at a sampling rate.

    Args:
        path: a file that libsndfile reads; several channels are averaged.
        fs: Hz wanted, other rates are resampled.

    Returns:
        (samples,) float32.

    Raises:
        UserError: missing, unreadable, empty, or with samples that are no numbers.
    """
    try:
        audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (OSError, soundfile.SoundFileError) as error:
        reason = "does not exist" if not Path(path).exists() else "is not audio that libsndfile reads"
        raise UserError(f"audio '{path}' {reason}") from error
    audio = audio.mean(axis=1)
    if not np.isfinite(audio).all():
        raise UserError(f"audio '{path}' has samples that are infinite or no numbers")
    # The resampler of the recipe's formatting: another one leaves other traces above the old Nyquist frequency, and a model hears them.
    audio = audio if rate == fs else soxr.resample(audio, rate, fs)
    if not len(audio):
        raise UserError(f"audio '{path}' has no samples at {fs} Hz")
    return audio


@dataclass(frozen=True)
class AudioBatch:
    """Utterances padded to one length. Args: keys; speech (B, samples); lengths (B,) samples."""

    keys: tuple[str, ...]
    speech: torch.Tensor
    lengths: torch.Tensor


def batches(paths: dict[str, str], fs: int, batch_seconds: float = 60.0) -> Iterator[AudioBatch]:
    """Audio files in batches of similar length, longest first.

    Args:
        paths: utterance id -> audio file.
        fs: Hz.
        batch_seconds: padded audio in a batch, s.
    """
    audio = {key: torch.from_numpy(read_audio(path, fs)) for key, path in paths.items()}
    keys = sorted(audio, key=lambda key: -len(audio[key]))
    while keys:
        count = max(1, int(batch_seconds * fs / len(audio[keys[0]])))
        taken, keys = keys[:count], keys[count:]
        waves = [audio.pop(key) for key in taken]
        lengths = torch.tensor([len(wave) for wave in waves])
        yield AudioBatch(tuple(taken), torch.nn.utils.rnn.pad_sequence(waves, batch_first=True), lengths)
