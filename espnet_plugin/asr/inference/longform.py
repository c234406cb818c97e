"""Recognition of audio of any length and number: windows in batches, their answers joined; memory does not grow with either.

Models that hear the past only need no windows: their state goes on from one to the next.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import cast

import torch

from espnet_plugin.asr.inference.data import POOL, grouped
from espnet_plugin.asr.inference.joining import Spelling, follow, join
from espnet_plugin.asr.inference.recognise import Recogniser
from espnet_plugin.asr.inference.streaming import StreamingRecogniser
from espnet_plugin.asr.inference.words import Recognised, recognised
from espnet_plugin.audio.mono import MonoAudio
from espnet_plugin.audio.windows import Window, WindowConf, windows
from espnet_plugin.errors import UserError
from espnet_plugin.transducer.hypothesis import Hypothesis

type Progress = Callable[[float], object]  # is told s of audio as they are done

NOTHING = Hypothesis((), (), (), 0.0)
STREAM_CHUNK = 10.0  # s of audio at once, where a model needs no windows
TRUSTED = 0.75  # share of the margin in which both windows have heard enough of what is around
MOST_APART = 0.3  # s between the times at which two windows hear the same symbol


@dataclass(frozen=True)
class Answer:
    """What was said in some audio.

    Args:
        best: answers, best first; a single one where the audio was cut into windows.
        seconds: of the audio.
        cuts: where it was cut, s.
        notes: what was mended in the audio, see `audio.checks.Treatment`.
    """

    best: tuple[Recognised, ...]
    seconds: float
    cuts: tuple[float, ...]
    notes: tuple[str, ...]


@dataclass
class Pending:
    """Audio whose windows are on their way. Args: audio's seconds, notes; count of windows, None while more may come; answers by window."""

    seconds: float
    notes: tuple[str, ...]
    count: int | None = None
    answers: dict[int, tuple[Window, list[Recognised]]] = field(default_factory=dict)


class LongForm:
    """A recogniser for audio of any length.

    Args:
        recogniser: of batches.
        conf: how long audio is cut.
        batch_seconds: padded audio in a batch, s.
    """

    def __init__(self, recogniser: Recogniser, conf: WindowConf, batch_seconds: float = 60.0):
        self.recogniser, self.conf, self.batch_seconds = recogniser, conf, batch_seconds
        self.fs = recogniser.fs
        self.frame = round(recogniser.seconds * self.fs)  # samples
        self.most_apart = round(MOST_APART / recogniser.seconds)
        model = recogniser.model
        self.spelling = Spelling([model.piece(index) for index in range(len(model.token_list))])

    def __call__(
        self, audio: Iterable[tuple[str, MonoAudio | UserError]], progress: Progress = lambda seconds: None
    ) -> Iterator[tuple[str, Answer | UserError]]:
        """Recognise one after the other.

        Args:
            audio: name, and what is to be heard or why it cannot be.
            progress: is told s of audio as they are done.

        Returns:
            name and answer, in the order of the audio.
        """
        pending: dict[str, Pending | Answer | UserError] = {}
        pool: list[tuple[str, int, Window]] = []
        held = 0
        for key, heard in audio:
            if isinstance(heard, UserError):
                pending[key] = heard
                yield from self.complete(pending)
                continue
            if heard.seconds > self.conf.longest and self.recogniser.streams:
                self.flush(pool, pending, progress)  # so that no answer waits for the windows before it
                pool, held = [], 0
                yield from self.complete(pending)
                pending[key] = streamed(self.recogniser, heard, STREAM_CHUNK, progress)
                yield from self.complete(pending)
                continue
            pending[key] = opened = Pending(heard.seconds, heard.notes)
            number = 0
            for number, window in enumerate(self.windows(heard), 1):
                pool.append((key, number - 1, window))
                held += len(window.samples)
                if held >= POOL * self.batch_seconds * self.fs:
                    self.flush(pool, pending, progress)
                    pool, held = [], 0
                    yield from self.complete(pending)
            opened.count = number
        self.flush(pool, pending, progress)
        yield from self.complete(pending)

    def windows(self, heard: MonoAudio) -> Iterator[Window]:
        return windows(heard.blocks(), self.fs, self.conf, self.frame)

    def flush(self, pool: list[tuple[str, int, Window]], pending: dict, progress: Progress) -> None:
        """Recognise all windows of a pool and put their answers where they belong."""
        for key, number, window in pool:
            if window.silent:
                nothing = recognised(self.recogniser.model, NOTHING, self.recogniser.seconds)
                pending[key].answers[number] = window.without_samples(), [nothing]
                progress(len(window.samples) / self.fs)
        audible = {str(place): entry for place, entry in enumerate(pool) if not entry[2].silent}
        waves = ((place, window.samples) for place, (_, _, window) in audible.items())
        for batch in grouped(waves, int(self.batch_seconds * self.fs)):
            for place, found in self.recogniser(batch).items():
                key, number, window = audible[place]
                pending[key].answers[number] = window.without_samples(), found
            progress(int(batch.lengths.sum()) / self.fs)

    def complete(self, pending: dict[str, Pending | Answer | UserError]) -> Iterator[tuple[str, Answer | UserError]]:
        """Take the answers that are complete, as far as the first one that is not."""
        for key in list(pending):
            entry = pending[key]
            if isinstance(entry, Pending):
                if entry.count is None or len(entry.answers) < entry.count:
                    return
                cuts = tuple(entry.answers[number][0].cut / self.fs for number in range(1, entry.count))
                entry = Answer(self.joined(entry), entry.seconds, cuts, entry.notes)
            del pending[key]
            yield key, entry

    def joined(self, entry: Pending) -> tuple[Recognised, ...]:
        (_, answers), *rest = (entry.answers[number] for number in range(cast(int, entry.count)))
        if not rest:
            return tuple(answers)
        whole = answers[0].hypothesis
        for window, (best, *_) in rest:
            later = best.hypothesis.later(window.start // self.frame)
            whole = self.together(whole, later, window)
        return (recognised(self.recogniser.model, whole, self.recogniser.seconds),)

    def together(self, left: Hypothesis, right: Hypothesis, window: Window) -> Hypothesis:
        if not window.overlaps:
            return follow(left, right, self.spelling)
        cut, reach = window.cut // self.frame, int(TRUSTED * (window.cut - window.start)) // self.frame
        return join(left, right, cut, reach, self.most_apart, self.spelling)


def streamed(recogniser: Recogniser, heard: MonoAudio, chunk_seconds: float, progress: Progress) -> Answer:
    """Greedy search of audio fed in chunks: for a model that hears the past only, its answer to the whole.

    Args:
        chunk_seconds: s of audio fed at a time.
    """
    stream, size = StreamingRecogniser(recogniser.model), max(1, int(chunk_seconds * recogniser.fs))
    for block in heard.blocks():
        for chunk in torch.from_numpy(block).split(size):
            stream.push(chunk)
            progress(len(chunk) / recogniser.fs)
    stream.end()
    found = recognised(recogniser.model, stream.hypothesis, recogniser.seconds)
    return Answer((found,), heard.seconds, (), heard.notes)
