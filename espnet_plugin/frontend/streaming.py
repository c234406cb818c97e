"""`KaldiFbank` on a signal that comes in pieces."""

import torch

from espnet_plugin.frontend.kaldi_fbank import KaldiFbank


class StreamingFbank:
    """Frames as soon as their samples are there; together those of `KaldiFbank` on the whole signal, both reflected edges included.

    Args:
        frontend: the features wanted.
    """

    def __init__(self, frontend: KaldiFbank):
        self.frontend = frontend
        self.left = frontend.window // 2 - frontend.shift // 2  # samples of the first frame before the signal
        self.samples, self.frames, self.begun = 0, 0, False
        self.pending = torch.zeros(0)  # from the first sample of the next frame on

    def feed(self, samples: torch.Tensor) -> torch.Tensor:
        """Args: samples (n,) in [-1, 1], any n. Returns: (S, n_mels), the frames that they complete."""
        self.samples += len(samples)
        self.pending = torch.cat([self.pending.to(samples), samples])
        if not self.begun and len(self.pending) >= self.left:
            self.pending = torch.cat([self.pending[: self.left].flip(0), self.pending])
            self.begun = True
        window, shift = self.frontend.window, self.frontend.shift
        ready = (len(self.pending) - window) // shift + 1 if self.begun else 0
        return self.take(max(ready, 0))

    def finish(self) -> torch.Tensor:
        """The last frames, whose ends are reflected. Returns: (S, n_mels)."""
        if not self.samples:
            return self.take(0)
        if not self.begun:
            length = torch.tensor([len(self.pending)], device=self.pending.device)
            feats, frames = self.frontend(self.pending.unsqueeze(0), length)
            return feats[0, : int(frames)]
        window, shift = self.frontend.window, self.frontend.shift
        rest = (self.samples + shift // 2) // shift - self.frames
        missing = max((rest - 1) * shift + window - len(self.pending), 0)
        self.pending = torch.cat([self.pending, self.pending.flip(0)[:missing]])
        return self.take(rest)

    @torch.no_grad()
    def take(self, count: int) -> torch.Tensor:
        """The next `count` frames, (count, n_mels)."""
        if count == 0:
            return self.pending.new_zeros(0, self.frontend.n_mels)
        window, shift = self.frontend.window, self.frontend.shift
        part = self.pending[: (count - 1) * shift + window]
        self.pending = self.pending[count * shift :]
        self.frames += count
        return self.frontend.fbank(part.unsqueeze(0).float())[0]
