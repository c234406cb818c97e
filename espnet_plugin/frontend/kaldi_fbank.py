"""ESPnet frontend ``kaldi_fbank``: log-mel filter banks as kaldi-native-fbank, and so sherpa-onnx, computes them."""

import math
import warnings

import torch
from lhotse.features.kaldi.layers import Wav2LogFilterBank

from espnet_plugin.common.bounds import Bounds, Count
from espnet_plugin.common.rate import hertz

FRAME_LENGTH, FRAME_SHIFT = 0.025, 0.010  # s


class KaldiFbank(torch.nn.Module):
    """Kaldi's fbank: Povey window, DC removal, pre-emphasis 0.97, no dither, 20 Hz to Nyquist - 400 Hz, ``snip_edges=False``.

    Audio in [-1, 1]. Kaldi reflects an utterance at both ends; here each utterance is reflected at its own end, so that its features do
    not depend on what it is batched with.

    Args:
        fs: sampling rate, Hz, or a string such as ``16k``.
        n_mels: filters.

    Raises:
        UserError: no number, or a rate below 2 kHz, where hardly a filter is left between 20 Hz and Nyquist - 400 Hz.
    """

    def __init__(self, fs: int | str = 16000, n_mels: Count = 80):
        super().__init__()
        self.fs = hertz(fs)
        self.window = int(FRAME_LENGTH * self.fs)
        bins = 2 ** math.ceil(math.log2(self.window)) // 2
        Bounds(1, bins, why=f"bins of the spectrum at {self.fs} Hz").check("frontend_conf.n_mels", n_mels)
        self.n_mels = n_mels
        self.shift = int(FRAME_SHIFT * self.fs)
        with (
            warnings.catch_warnings()
        ):  # lhotse warns of snip_edges=True; the edges are reflected here, an utterance at a time
            warnings.simplefilter("ignore")
            self.fbank = Wav2LogFilterBank(
                sampling_rate=self.fs,
                frame_length=FRAME_LENGTH,
                frame_shift=FRAME_SHIFT,
                num_filters=n_mels,
                snip_edges=True,
            )
        # lhotse holds its constants as parameters; as buffers they neither count as weights nor enter checkpoints.
        for module in self.fbank.modules():
            for name, constant in list(module.named_parameters(recurse=False)):
                delattr(module, name)
                module.register_buffer(name, constant.data, persistent=False)

    def output_size(self) -> int:
        return self.n_mels

    def frames(self, samples):
        """Frames of so many samples (int or tensor)."""
        return (samples + self.shift // 2) // self.shift

    @torch.no_grad()
    def forward(self, input: torch.Tensor, input_lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute features, in float32 also inside autocast.

        Args:
            input: (B, samples) in [-1, 1].
            input_lengths: (B,) samples.

        Returns:
            (B, S, n_mels), zero beyond an utterance's end, and (B,) frames, one each 10 ms, rounded: none below 5 ms.
        """
        frames = self.frames(input_lengths)
        # Elsewhere than on a CPU the lengths would have to be waited for: the longest utterance is taken to fill the batch.
        longest = max(int(frames.max()) if frames.device.type == "cpu" else self.frames(input.shape[1]), 1)
        left = self.window // 2 - self.shift // 2
        size = (longest - 1) * self.shift + self.window
        position = torch.arange(size, device=input.device) - left  # of a sample in the utterance, before reflection
        ends = input_lengths.clamp(min=1).unsqueeze(1)
        position = position % (2 * ends)  # mirrored, the signal repeats after there and back, however short it is
        reflected = input.gather(1, torch.minimum(position, 2 * ends - 1 - position))
        with torch.autocast(input.device.type, enabled=False):
            feats = self.fbank(reflected.float())
        valid = torch.arange(longest, device=input.device) < frames.unsqueeze(1)
        return feats * valid.unsqueeze(-1), frames
