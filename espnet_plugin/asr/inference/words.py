"""Words of a hypothesis: what was said, when, and how sure the model is."""

import math
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass

import torch

from espnet_plugin.asr.training.model import TODMModel
from espnet_plugin.common.scripts import may_part
from espnet_plugin.errors import UserError
from espnet_plugin.transducer.hypothesis import Hypothesis

COUNTS = 32, 64  # frames of which the shortest audio is looked for
SILENCE = 8  # s of audio in which they must be


@dataclass(frozen=True)
class Word:
    """A word of an utterance.

    Args:
        text: as written.
        start, end: s from the beginning of the audio: of the encoder frame that emitted its first symbol, and behind the one that emitted
            its last. A transducer is free to emit late, so both are later than the sound by what the model has learnt to wait.
        confidence: 0 to 1, the least of its symbols' probabilities, each given the symbols before it. That is how sure the model is, not
            how often it is right.
        spaced: whether a space divides it from the word before.
    """

    text: str
    start: float
    end: float
    confidence: float
    spaced: bool = True


@dataclass(frozen=True)
class Recognised:
    """One answer to an utterance. Args: text; words: of the text, in order; hypothesis: what they are made of."""

    text: str
    words: tuple[Word, ...]
    hypothesis: Hypothesis


@torch.no_grad()
def fewest_samples(model: TODMModel, fs: int, frames: int) -> int:
    """Of the shortest audio of which the frontend makes so many frames, looked for among `SILENCE` s; those, where it is longer."""
    device = next(model.parameters()).device

    def made(samples: int) -> int:
        try:
            _, lengths = model.features(torch.zeros(1, samples, device=device), torch.tensor([samples], device=device))
        except RuntimeError:  # a Fourier transform of less than half a window
            return 0
        return int(lengths)

    return bisect_left(range(SILENCE * fs), frames, key=made)


@torch.no_grad()
def frame_seconds(model: TODMModel, fs: int) -> float:
    """Audio between two encoder frames (s), found by running frontend and time reduction on silence.

    It is exact, whatever the frontend advances by: the shortest audio of 32 frames and the shortest one of 64 are 32 steps apart. Time
    reduction is by a factor up to 8 that divides the 96 frames by which its two inputs differ.

    Raises:
        UserError: the frontend advances by more than 125 ms.
    """
    device = next(model.parameters()).device
    few, many = (fewest_samples(model, fs, count) for count in COUNTS)
    feats, frames = model.features(torch.zeros(1, many, device=device), torch.tensor([many], device=device))
    if many == SILENCE * fs:
        raise UserError(
            f"frontend: makes {int(frames)} frames of {SILENCE} s of audio, must make at least {COUNTS[1]} of them"
        )
    given = torch.tensor([96, 192], device=device)
    reduced = model.encoder.stem(torch.zeros(2, 192, feats.shape[2], device=device), given).lengths
    return (many - few) / (COUNTS[1] - COUNTS[0]) / fs * int(given.diff()) / int(reduced.diff())


def words_of(model: TODMModel, hypothesis: Hypothesis, seconds: float) -> tuple[Word, ...]:
    """Words with their times. A symbol that is a space alone belongs to the word behind it.

    In scripts without spaces between words, a word ends wherever a symbol does, as far as `may_part` allows.

    Args:
        seconds: see `frame_seconds`.
    """
    pieces = [model.piece(token) for token in hypothesis.tokens]
    text = "".join(pieces)
    owners = [place for place, piece in enumerate(pieces) for _ in piece]  # of each letter, the place of its symbol

    def begins(at: int) -> bool:
        if at == 0 or text[at].isspace() or text[at - 1].isspace():
            return not text[at].isspace()
        return owners[at - 1] != owners[at] and may_part(text[at - 1], text[at])

    places = [at for at in range(len(text)) if begins(at)]
    words, last = [], -1
    for at, following in zip(places, [*places[1:], len(text)]):
        spelled = text[at:following].rstrip()
        before, first = owners[max(at - 1, 0)], owners[at]
        first, last = min(max(before, last + 1), first), owners[at + len(spelled) - 1]
        start, end = hypothesis.frames[first] * seconds, (hypothesis.frames[last] + 1) * seconds
        confidence = math.exp(min(hypothesis.log_probs[first : last + 1]))
        words.append(Word(spelled, start, end, confidence, spaced=at == 0 or text[at - 1].isspace()))
    return tuple(words)


def text_of(words: Iterable[Word]) -> str:
    """Words as they are written one behind the other."""
    return "".join(f" {word.text}" if word.spaced else word.text for word in words).lstrip()


def recognised(model: TODMModel, hypothesis: Hypothesis, seconds: float) -> Recognised:
    """Args: seconds: see `frame_seconds`."""
    words = words_of(model, hypothesis, seconds)
    return Recognised(text_of(words), words, hypothesis)
