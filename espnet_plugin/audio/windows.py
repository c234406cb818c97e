"""Windows over long audio, so that memory is bounded and a model hears no more at once than it has learnt to.

A window ends in the middle of a pause where there is one; words cannot be cut there, so nothing is heard twice. Without a pause it overlaps
the next one by twice the margin around the cut, and whoever joins the answers chooses the place (`asr.inference.joining`).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from espnet_plugin.audio.checks import SILENCE
from espnet_plugin.common.bounds import Bounds
from espnet_plugin.errors import UserError

LONGEST = Bounds(1, 3600, why="s: a window is held in memory")
FRAME = 0.010  # s of audio of an energy
SMOOTHED = 5  # frames over which the power is averaged
FLOOR, SPEECH = 10, 95  # percentiles of the energies that stand for what is behind the speech and for speech
DEEPEST = 60.0  # dB below speech that counts: digital silence is no deeper
LEAST_STEP, SHARE = (
    6.0,
    0.3,
)  # a pause is below the floor and the larger one of so many dB and this share of the way to speech
EARLIEST = 0.4  # share of a window before which it is not ended at a pause, as long as a later pause is there


@dataclass(frozen=True)
class WindowConf:
    """How audio is cut.

    Args:
        longest: s of a window at most; shorter audio is not cut.
        pause: s of silence at least that audio is cut in.
        margin: s on either side of a cut without a pause that both windows hear.

    Raises:
        UserError: a value that is not allowed.
    """

    longest: float = 35.0
    pause: float = 0.25
    margin: float = 1.5

    def __post_init__(self):
        LONGEST.check("window_seconds", self.longest)
        if not 0.05 <= self.pause <= self.longest:
            raise UserError(f"pause: {self.pause} must be from 0.05 s to the window, {self.longest} s")
        if not 0 <= self.margin <= self.longest / 4:
            raise UserError(f"margin: {self.margin} must be from 0 s to a quarter of the window, {self.longest / 4} s")

    @classmethod
    def of(cls, longest: float) -> "WindowConf":
        """Of a window's length alone."""
        return cls(longest, margin=min(cls.margin, longest / 4))


@dataclass(frozen=True)
class Window:
    """A piece of audio to recognise at once.

    Args:
        samples: (n,).
        start: its first sample in the whole.
        cut: sample in the whole that divides it from the window before; the one behind which it starts if that was a pause.
        silent: nothing can be heard in it.
    """

    samples: np.ndarray
    start: int
    cut: int
    silent: bool

    @property
    def overlaps(self) -> bool:
        """Whether the window before heard the beginning of this one too."""
        return self.start < self.cut

    def without_samples(self) -> "Window":
        """Its place alone."""
        return replace(self, samples=np.zeros(0, np.float32))


def energies(samples: np.ndarray, fs: int) -> np.ndarray:
    """Power of each 10 ms (dB), averaged over 50 ms; low frequencies, where noise has most of its power, count less (first difference).

    Args:
        samples: (n,).

    Returns:
        (n / 10 ms,).
    """
    size = round(FRAME * fs)
    count = len(samples) // size
    powers = np.square(np.diff(samples[: count * size], prepend=samples[:1])).reshape(count, size).mean(axis=1)
    smoothed = np.convolve(np.pad(powers, SMOOTHED // 2, mode="edge"), np.ones(SMOOTHED) / SMOOTHED, mode="valid")
    return 10 * np.log10(np.maximum(smoothed, 1e-12))


def pauses(levels: np.ndarray, least: float) -> list[tuple[int, int]]:
    """Where nobody speaks: first frame and the one behind the last.

    Args:
        levels: of `energies`.
        least: s of a pause.
    """
    speech = np.percentile(levels, SPEECH)
    floor = max(np.percentile(levels, FLOOR), speech - DEEPEST)
    quiet = levels < floor + max(LEAST_STEP, SHARE * (speech - floor))
    if speech - floor < 2 * LEAST_STEP:  # too little between the two to tell them apart
        return []
    edges = np.flatnonzero(np.diff(np.concatenate([[0], quiet.astype(np.int8), [0]])))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2) if (b - a) * FRAME >= least]


def end_of_window(samples: np.ndarray, fs: int, conf: WindowConf) -> tuple[int, int]:
    """Where to end a window in `samples` (n,), `conf.longest` s of them.

    Returns:
        sample of the cut, and samples on either side that both windows hear, 0 in a pause.
    """
    levels, size = energies(samples, fs), round(FRAME * fs)
    found = [(a, b) for a, b in pauses(levels, conf.pause) if (a + b) // 2 * FRAME >= min(1.0, conf.longest / 4)]
    late = [(a, b) for a, b in found if (a + b) // 2 >= EARLIEST * len(levels)]
    if found:
        first, last = max(late or found, key=lambda pause: (pause[1] - pause[0], pause[0]))
        return (first + last) // 2 * size, 0
    margin = round(conf.margin * fs)
    least, most = len(levels) * 2 // 3, (len(samples) - margin) // size
    return (least + int(np.argmin(levels[least:most]))) * size, margin


def windows(blocks: Iterable[np.ndarray], fs: int, conf: WindowConf, grid: int = 1) -> Iterator[Window]:
    """Cut audio of any length; at most a window and a block are held.

    Args:
        blocks: samples (n,), one block behind the other.
        fs: Hz.
        conf: see there.
        grid: windows start at multiples of so many samples, such as those of an encoder frame.
    """
    longest = round(conf.longest * fs)
    held, start, cut = np.zeros(0, np.float32), 0, 0

    def window(samples: np.ndarray) -> Window:
        return Window(samples, start, cut, not len(samples) or float(np.ptp(samples)) <= SILENCE)

    for block in blocks:
        held = np.concatenate([held, block])
        while len(held) > longest:
            end, margin = end_of_window(held[:longest], fs, conf)
            yield window(held[: end + margin])
            following = max(end - margin, 1) // grid * grid or grid
            cut, start, held = start + end, start + following, held[following:]
            cut = cut if margin else start
    if len(held) or not start:
        yield window(held)
