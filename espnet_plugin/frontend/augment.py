"""Augmentation: voices, speeds and rooms that a training set lacks. Plain torch, so that any training loop can use it.

In ESPnet's configurations: `espnet_plugin.asr.training.specaug` for what changes features, and the effects ``noise`` and ``bandwidth`` of
its data augmentation for what changes the waveform.

Shapes: B batch, S frames, F mel filters.
"""

from collections.abc import Sequence

import numpy as np
import torch

from espnet_plugin.common.bounds import Bounds
from espnet_plugin.errors import UserError

LOWEST, BELOW_NYQUIST = 20.0, 400.0  # Hz: the edges of Kaldi's filter banks
KEPT = (
    4800 / 8000
)  # share of the band, from below, that is warped by the factor alone (Jaitly and Hinton: 4800 of 8000 Hz)
LEVELS = Bounds(0, 40)  # dB; above, speech is lost
DECIBEL = float(np.log(10)) / 10  # in nats of energy
BANDS = 6  # in which a microphone's level is drawn: some 500 mel each at 16 kHz; our choice


def mel(frequency: torch.Tensor | float) -> torch.Tensor:
    """Kaldi's mel scale. Args: frequency: Hz."""
    return 1127.0 * torch.log1p(torch.as_tensor(frequency) / 700.0)


def need_range(key: str, value: Sequence[float], least: float, most: float) -> tuple[float, float]:
    """Two numbers, ascending, within bounds.

    Raises:
        UserError: anything else.
    """
    numbers = isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2
    if not numbers or not all(isinstance(x, int | float) and least <= x <= most for x in value) or value[0] > value[1]:
        raise UserError(f"{key}: {value!r} must be two numbers from {least} to {most}, the smaller one first")
    return float(value[0]), float(value[1])


def warped_filters(factors: torch.Tensor, filters: int, fs: int) -> torch.Tensor:
    """Where each mel filter of a longer or shorter vocal tract lies among the filters of the unchanged one.

    A frequency f becomes f times the factor up to a boundary, from there it goes linearly to the upper edge, so that no frequency leaves
    the band (vocal tract length perturbation: Jaitly and Hinton, ICML workshop 2013; here on the mel axis of log energies).

    Args:
        factors: (B,) above 1 moves formants up.
        filters: F.
        fs: sampling rate, Hz.

    Returns:
        (B, F) positions, 0 to F - 1.
    """
    top = fs / 2 - BELOW_NYQUIST
    low, high = mel(LOWEST), mel(top)
    steps = torch.arange(1, filters + 1, device=factors.device) / (filters + 1)
    centres = 700.0 * torch.expm1((low + steps * (high - low)) / 1127.0)  # Hz, (F,)
    factors = factors.unsqueeze(1)
    # What is heard at f was spoken at f / factor.
    boundary = KEPT * top * factors.clamp(max=1.0)
    spoken_boundary = boundary / factors
    above = spoken_boundary + (centres - boundary) * (top - spoken_boundary) / (top - boundary)
    spoken = torch.where(centres <= boundary, centres / factors, above)
    position = (mel(spoken) - low) / (high - low) * (filters + 1) - 1
    return position.clamp(0, filters - 1)


def interpolated(x: torch.Tensor, position: torch.Tensor) -> torch.Tensor:
    """Values of x (B, N, C) between its rows, at positions (B, M) from 0 to N - 1, linearly. Returns: (B, M, C)."""
    before = position.floor().long().clamp(max=max(x.shape[1] - 2, 0))
    share = (position - before).unsqueeze(2).to(x.dtype)
    rows = (i.clamp(max=x.shape[1] - 1).unsqueeze(2).expand(-1, -1, x.shape[2]) for i in (before, before + 1))
    left, right = (x.gather(1, i) for i in rows)
    return left + share * (right - left)


def microphones(count: int, filters: int, most: float, device: torch.device) -> torch.Tensor:
    """Frequency responses of random microphones: a level at each of `BANDS` frequencies, straight lines between them on the mel axis.

    Returns:
        (count, filters) to add to log energies.
    """
    levels = torch.empty(count, BANDS, device=device).uniform_(-most, most) * DECIBEL
    return torch.nn.functional.interpolate(levels.unsqueeze(1), size=filters, mode="linear", align_corners=True)[:, 0]


class Perturbation(torch.nn.Module):
    """Changes vocal tract, level, microphone and tempo, each drawn anew for each utterance.

    Args:
        fs: sampling rate, Hz.
        vocal_tract: lowest and highest factor on frequencies, as (0.85, 1.15); (1, 1) for none.
        tempo: lowest and highest factor on the length, pitch and formants stay; (1, 1) for none.
        microphone: most by which a microphone is too loud or too quiet at a frequency, dB; 0 for none.
        level: most by which an utterance is louder or quieter, dB; 0 for none.

    Raises:
        UserError: a value that is not allowed.
    """

    def __init__(
        self, fs: int, vocal_tract: Sequence[float], tempo: Sequence[float], microphone: float = 0.0, level: float = 0.0
    ):
        super().__init__()
        self.fs = fs
        self.vocal_tract = need_range("vocal_tract", vocal_tract, 0.5, 2.0)
        self.tempo = need_range("tempo", tempo, 0.5, 2.0)
        self.microphone = LEVELS.check("microphone", microphone)
        self.level = LEVELS.check("level", level)

    def forward(self, x: torch.Tensor, x_lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Args:
            x: (B, S, F) log mel energies; normalised ones where `microphone` and `level` are 0.
            x_lengths: (B,) frames.

        Returns:
            (B, S', F), zero beyond an utterance's end where lengths change, and (B,).
        """

        def drawn(ends: tuple[float, float]) -> torch.Tensor:
            return ends[0] + (ends[1] - ends[0]) * torch.rand(len(x), device=x.device)

        if self.vocal_tract != (1.0, 1.0):
            position = warped_filters(drawn(self.vocal_tract), x.shape[2], self.fs)
            x = interpolated(x.transpose(1, 2), position).transpose(1, 2)
        if self.microphone > 0:
            x = x + microphones(len(x), x.shape[2], self.microphone, x.device).unsqueeze(1)
        if self.level > 0:
            x = x + drawn((-self.level, self.level)).view(-1, 1, 1) * DECIBEL
        if self.tempo != (1.0, 1.0):
            longer = (x_lengths * drawn(self.tempo)).round().long().clamp(min=1)
            longer = torch.where(x_lengths > 0, longer, 0)
            last = (x_lengths - 1).clamp(min=0).unsqueeze(1)
            frames = torch.arange(int(longer.max()), device=x.device)
            position = torch.minimum(frames * (last / (longer - 1).clamp(min=1).unsqueeze(1)), last)
            x = interpolated(x, position) * (frames < longer.unsqueeze(1)).unsqueeze(2)
            x_lengths = longer
        return x, x_lengths


def noise(
    waveform: torch.Tensor, sample_rate: int, snr: Sequence[float] = (5.0, 30.0), slope: float = 6.0
) -> torch.Tensor:
    """Add noise whose spectrum falls by a random amount, one amount for each utterance.

    Args:
        waveform: (samples,).
        sample_rate: Hz.
        snr: lowest and highest signal-to-noise ratio, dB.
        slope: most dB an octave by which the noise's power falls; 0 for white noise only.

    Returns:
        (samples,).
    """
    spectrum = np.fft.rfft(np.random.standard_normal(len(waveform)))
    frequency = np.maximum(np.fft.rfftfreq(len(waveform), 1 / sample_rate), LOWEST)
    spectrum *= (frequency / LOWEST) ** (-np.random.uniform(0, slope) / (20 * np.log10(2)))
    added = torch.from_numpy(np.fft.irfft(spectrum, len(waveform))).to(waveform.dtype)
    loudness = waveform.square().mean() / added.square().mean().clamp(min=1e-20)
    return waveform + added * (loudness * 10 ** (-np.random.uniform(snr[0], snr[1]) / 10)).sqrt()


def bandwidth(waveform: torch.Tensor, sample_rate: int, rates: Sequence[int] = (8000,)) -> torch.Tensor:
    """Take away what a lower sampling rate could not hold: down to one of the rates and up again.

    The resampler is that of formatting and of use, so that training hears what audio of a lower rate will sound like.

    Args:
        waveform: (samples,).
        sample_rate: Hz.
        rates: Hz; those that are not below `sample_rate` change nothing.

    Returns:
        (samples,).
    """
    import soxr  # not every training loop changes waveforms

    rate = int(np.random.choice(rates))
    if rate >= sample_rate or not len(waveform):
        return waveform
    low = soxr.resample(waveform.cpu().numpy(), sample_rate, rate)
    back = torch.from_numpy(soxr.resample(low, rate, sample_rate))[: len(waveform)]
    return torch.nn.functional.pad(back, (0, len(waveform) - len(back))).to(waveform)


def with_bandwidth(conf: dict, fs: int) -> dict:
    """Options of ESPnet's preprocessor with narrow-band copies of utterances among what its data augmentation draws from.

    Args:
        conf: ``preprocessor_conf``; where it augments nothing yet, every second utterance is changed.
        fs: Hz.
    """
    effects = conf.get("data_aug_effects") or []
    share = conf.get("data_aug_prob") or 0.5
    return conf | {"fs": fs, "data_aug_prob": share, "data_aug_effects": [*effects, [1.0, "bandwidth", {}]]}
