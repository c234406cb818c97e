"""ESPnet specaug ``perturbed_specaug``: SpecAugment after a change of voice, level, microphone and tempo."""

import logging
from collections.abc import Sequence

import torch
from espnet2.asr.specaug.specaug import SpecAug

from espnet_plugin.common.rate import hertz
from espnet_plugin.errors import UserError
from espnet_plugin.frontend.augment import Perturbation


class PerturbedSpecAug(SpecAug):
    """Voice, level, microphone and tempo of each utterance are changed (see `Perturbation`), then ESPnet's SpecAugment masks it.

    What is changed are log energies, as they come from the frontend. ``model: todm`` normalises between the change and the masks.

    It costs little, runs on GPUs, and works with features that were dumped.

    Args:
        fs: sampling rate, Hz; None for the frontend's, and 16 kHz where no frontend tells one.
        vocal_tract, tempo: lowest and highest factor, drawn evenly; [1, 1] for none.
        microphone: most by which a frequency's level is changed, dB; 0 for none.
        level: most by which an utterance is louder or quieter, dB; 0 for none.
        others: of ESPnet's SpecAugment.

    Raises:
        UserError: a value that is not allowed.
    """

    def __init__(
        self,
        fs: int | str | None = None,
        vocal_tract: Sequence[float] = (0.85, 1.15),
        tempo: Sequence[float] = (0.9, 1.1),
        microphone: float = 0.0,
        level: float = 0.0,
        apply_time_warp: bool = False,
        time_warp_window: int = 5,
        time_warp_mode: str = "bicubic",
        apply_freq_mask: bool = True,
        freq_mask_width_range: int | Sequence[int] = (0, 20),
        num_freq_mask: int = 2,
        apply_time_mask: bool = True,
        time_mask_width_range: int | Sequence[int] | None = None,
        time_mask_width_ratio_range: float | Sequence[float] | None = (0.0, 0.05),
        num_time_mask: int = 2,
        replace_with_zero: bool = True,
    ):
        super().__init__(
            apply_time_warp=apply_time_warp,
            time_warp_window=time_warp_window,
            time_warp_mode=time_warp_mode,
            apply_freq_mask=apply_freq_mask,
            freq_mask_width_range=freq_mask_width_range,
            num_freq_mask=num_freq_mask,
            apply_time_mask=apply_time_mask,
            time_mask_width_range=time_mask_width_range,
            time_mask_width_ratio_range=time_mask_width_ratio_range,
            num_time_mask=num_time_mask,
            replace_with_zero=replace_with_zero,
        )
        try:
            self.given = None if fs is None else hertz(fs)
            self.perturbation = Perturbation(self.given or 16000, vocal_tract, tempo, microphone, level)
        except UserError as error:
            raise UserError(f"specaug_conf.{error}") from error

    def listen_at(self, fs: int | None) -> None:
        """Take the frontend's rate, with a warning where another one is configured. Args: fs: Hz, None where it tells none."""
        if fs is not None and self.given not in (None, fs):
            logging.warning(
                f"specaug_conf.fs: {self.given} is not the frontend's {fs}, which is taken; leave the key out"
            )
        self.perturbation.fs = fs or self.perturbation.fs

    def masked(self, x: torch.Tensor, x_lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """SpecAugment alone. Args: x (B, S, F); x_lengths (B,) frames. Returns: the same."""
        return super().forward(x, x_lengths)

    def forward(self, x: torch.Tensor, x_lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Args: x (B, S, F) log mel energies; x_lengths (B,) frames. Returns: the same, S may differ."""
        return self.masked(*self.perturbation(x, x_lengths))
