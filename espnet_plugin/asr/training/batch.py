"""A batch of training or validation, whose lengths Python knows without asking a device."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Batch:
    """Utterances, padded to the longest.

    Args:
        speech: (B, samples), or (B, S, F) features.
        speech_lengths: (B,) samples or frames.
        text: (B, U) token ids.
        text_lengths: (B,).
        samples, symbols: the lengths again, (B,) on the CPU.
        utt_id: names of the utterances, for messages; their numbers where they have none.
    """

    speech: torch.Tensor
    speech_lengths: torch.Tensor
    text: torch.Tensor
    text_lengths: torch.Tensor
    samples: torch.Tensor
    symbols: torch.Tensor
    utt_id: tuple[str, ...]

    @classmethod
    def of(cls, speech, speech_lengths, text, text_lengths, utt_id=None, **_) -> "Batch":
        """From the arguments of the model's forward; it waits for a device where the lengths lie on one."""
        names = tuple(map(str, range(len(speech)) if utt_id is None else utt_id))
        symbols = text_lengths.cpu()
        text = text[:, : int(symbols.max())]
        return cls(speech, speech_lengths, text, text_lengths, speech_lengths.cpu(), symbols, names)

    def to(self, device: torch.device) -> "Batch":
        """On a device; the host does not wait for the copies, which are complete when the device uses them."""
        parts = (self.speech, self.speech_lengths, self.text, self.text_lengths)
        speech, speech_lengths, text, text_lengths = (x.to(device, non_blocking=True) for x in parts)
        return Batch(speech, speech_lengths, text, text_lengths, self.samples, self.symbols, self.utt_id)
