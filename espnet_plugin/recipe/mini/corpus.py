"""Make the mini corpus: synthetic speech in LibriSpeech's directory layout.

espeak-ng (from the package espeakng-loader) speaks sentences of `mini_grammar`. No voice and no sentence of dev and test is in
training; the "other" sets have accents and kinds of noise that training lacks. Some utterances of training are several sentences with
pauses between them. dev-mini is small: it guides training and the choice of sizes. Same seed and same packages, same bytes.
"""

import argparse
import ctypes
import os
import random
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr

from espnet_plugin.common.processes import run_jobs
from espnet_plugin.errors import UserError, run_main
from espnet_plugin.recipe.kaldi_data import positive, write_flac, write_folder
from espnet_plugin.recipe.mini.grammar import sentence

FS = 16000  # Hz
ESPEAK_FS = 22050  # Hz
CHAPTER = 1
RATE, VOLUME, PITCH = 1, 2, 3  # espeak's parameter numbers
QUIET = 30  # volume at which no voice clips; each utterance is brought to its level afterwards

# A training speaker is a variant with its numbers changed, so that no two are alike; held-out voices are as espeak-ng ships them. Formants
# (frequency, strength, width), voicing and consonants change by a factor up to this one.
FREQUENCY, STRENGTH, VOICING, CONSONANTS = 1.06, 1.4, 1.6, 2.0
# Half of them go some way from the stress-timed rhythm of English, long vowels where the stress is, to one with equal syllables, as some of
# the shipped voices have: what the lengths of vowels at espeak's eight levels of stress change by.
EQUAL_SYLLABLES = (-50, 0, -80, -120, 0, 0, -120, -110)

# Formants and pitch of a speaker relative to the voice's own, as from a longer or shorter vocal tract: more speakers than voices. Training
# has wider ranges than what is held out, since it has few variants.
TRACT, HELD_OUT_TRACT = (0.8, 1.25), (0.9, 1.1)
PITCH_RANGE, HELD_OUT_PITCH_RANGE = (10, 90), (30, 70)  # of a speaker, in espeak's units (50: the voice's own)

# One training utterance in so many is several sentences, with pauses between them, since people do not say one command and stop.
JOINED = 12
SENTENCES = (2, 5)  # in such an utterance
PAUSE = (0.2, 1.0)  # s

# Voice variants shipped with espeak-ng; a speaker is an accent with a variant. Half of the speakers of training are women.
ACCENTS = ("en-us", "en", "en-gb-x-rp", "en-gb-x-gbcwmd")
OTHER_ACCENTS = ("en-gb-scotland", "en-gb-x-gbclan", "en-029", "en-us-nyc")
TRAIN_WOMEN = "f1 f2 f3 Alicia Annie linda shelby steph aunty".split()
TRAIN_MEN = (
    "m1 m2 m3 m4 m5 m6 Alex Andy Michael Gene Gene2 adam antonio caleb david edward "
    "ian iven john marcelo max miguel norbert paul pedro quincy rob robert sandro travis victor Lee"
).split()
TRAIN = "train-clean-mini"
TRAIN_SPEAKERS = 500
# With each of four accents: 28 voices in each set. dev-mini has the variants of dev-clean, as other speakers that say other sentences.
HELD_OUT_VARIANTS = {
    "dev-clean": "f4 m7 Mike belinda Mario Reed grandpa",
    "dev-other": "Andrea Denis Hugo steph3 croak mike2 pablo",
    "test-clean": "f5 m8 anika Diogo Nguyen grandma Storm",
    "test-other": "Henrique Jacky benjamin boris gustave iven3 michel",
}
HELD_OUT_VARIANTS["dev-mini"] = HELD_OUT_VARIANTS["dev-clean"]
PARTS = (TRAIN, *HELD_OUT_VARIANTS)

Noise = Callable[[np.random.Generator, np.ndarray], np.ndarray]


def white(rng: np.random.Generator, wave: np.ndarray) -> np.ndarray:
    """White noise as long as `wave` (S,)."""
    return rng.standard_normal(len(wave))


def dull(rng: np.random.Generator, wave: np.ndarray) -> np.ndarray:
    """Noise with less energy in high frequencies, a moving mean over 8 samples."""
    return np.convolve(white(rng, wave), np.ones(8) / 8, mode="same")


def street(rng: np.random.Generator, wave: np.ndarray) -> np.ndarray:
    """Noise of 3 dB an octave less that swells and ebbs, as traffic does."""
    spectrum = np.fft.rfft(white(rng, wave))
    spectrum /= np.sqrt(np.maximum(np.fft.rfftfreq(len(wave), 1 / FS), 20.0))
    swell = 1 + 0.8 * np.sin(2 * np.pi * (rng.uniform(0.3, 2) * np.arange(len(wave)) / FS + rng.random()))
    return np.fft.irfft(spectrum, len(wave)) * swell


def babble(rng: np.random.Generator, wave: np.ndarray) -> np.ndarray:
    """Speech without words: the utterance backwards, eight times at once with different delays."""
    return sum((np.roll(wave[::-1], int(rng.integers(len(wave)))) for _ in range(8)), np.zeros_like(wave))


@dataclass(frozen=True)
class Speaker:
    """One voice of one part of the corpus.

    Args:
        part: such as ``dev-clean``.
        number: LibriSpeech speaker id.
        voice: espeak voice, accent+variant.
        tract: lowest and highest factor on formants and pitch.
        pitch: lowest and highest pitch, espeak's units (0 to 99).
        varied: whether the voice's numbers are changed.
        joined: one utterance in so many is several sentences; 0 for none.
        count: utterances.
        noises: kinds of noise, one of which is in each utterance; empty for none.
        snr: lowest and highest signal-to-noise ratio, dB.
    """

    part: str
    number: int
    voice: str
    tract: tuple[float, float]
    pitch: tuple[float, float]
    varied: bool
    joined: int
    count: int
    noises: tuple[Noise, ...] = ()
    snr: tuple[float, float] = (0.0, 0.0)


def speakers(counts: dict[str, int]) -> list[Speaker]:
    """All speakers. Args: utterances of ``train``, ``mini`` (dev-mini), and of each set of ``dev`` and of ``test``."""
    voices = []
    for i in range(TRAIN_SPEAKERS):
        turn, j = divmod(i // 2, len(sex := (TRAIN_WOMEN, TRAIN_MEN)[i % 2]))
        voices.append(f"{ACCENTS[(j + turn) % 4]}+{sex[j]}")
    noises: tuple[Noise, ...] = (white, dull)
    parts = [
        (TRAIN, voices, counts["train"], noises, (10.0, 40.0), (TRACT, PITCH_RANGE, True, JOINED)),
    ]
    for part, variants in HELD_OUT_VARIANTS.items():
        use, kind = part.split("-")
        total = counts["mini" if kind == "mini" else use]
        noises = (street, babble) if kind == "other" else ()
        accents = OTHER_ACCENTS if kind == "other" else ACCENTS
        voices = [f"{accent}+{variant}" for variant in variants.split() for accent in accents]
        parts.append((part, voices, total, noises, (12.0, 25.0), (HELD_OUT_TRACT, HELD_OUT_PITCH_RANGE, False, 0)))
    found = []
    for p, (part, voices, total, noises, snr, person) in enumerate(parts, 1):
        for i, voice in enumerate(voices):
            count = total // len(voices) + (i < total % len(voices))
            if count:
                found.append(Speaker(part, 1000 * p + i, voice, *person, count, noises, snr))
    return found


def varied(variant: str, rng: random.Random) -> str:
    """Text of a voice variant of espeak-ng with its numbers changed."""

    def scale(values: list[str], *most: float) -> list[str]:
        return [str(round(float(value) * factor ** rng.uniform(-1, 1))) for value, factor in zip(values, most)]

    lines = []
    for line in ["voicing 100", "consonants 100 100", *variant.splitlines()]:
        name, *values = line.split() or [""]
        if name == "formant":  # number, frequency, strength, width; all in percent, as the others
            values[1:4] = scale(values[1:4], FREQUENCY, STRENGTH, STRENGTH)
        elif name in ("voicing", "consonants"):
            values = scale(values, *[VOICING if name == "voicing" else CONSONANTS] * len(values))
        lines.append(" ".join([name, *values]))
    if rng.random() < 0.5:
        way = rng.random()
        lines.append(" ".join(["stressAdd", *(str(round(way * change)) for change in EQUAL_SYLLABLES)]))
    return "\n".join(lines) + "\n"


def package():
    """The package that carries espeak-ng.

    Raises:
        UserError: the package is missing.
    """
    try:
        import espeakng_loader
    except ImportError as error:
        raise UserError("package espeakng-loader is missing: pip install espeakng-loader") from error
    return espeakng_loader


def own_data(folder: Path, variant: str, rng: random.Random) -> Path:
    """Make `folder` a data folder for espeak-ng: the package's files, and of its variants one, `varied`."""
    shipped = Path(package().get_data_path())
    for entry in shipped.iterdir():
        if entry.name != "voices":
            (folder / entry.name).symlink_to(entry)
    variants = Path("voices", "!v")
    (folder / variants).mkdir(parents=True)
    (folder / variants / variant).write_text(varied((shipped / variants / variant).read_text(), rng))
    return folder


class Espeak:
    """libespeak-ng through ctypes.

    Args:
        data: its data folder, the package's by default.

    Raises:
        UserError: the package that carries it is missing or does not start.
    """

    def __init__(self, data: Path | None = None):
        self.data = data or Path(package().get_data_path())
        self.lib = ctypes.CDLL(package().get_library_path())
        self.libc = ctypes.CDLL(None)
        # 2: samples come while espeak_Synth runs; they are not played, and no thread is started that could hang.
        if self.lib.espeak_Initialize(2, 0, os.fsencode(self.data), 0) != ESPEAK_FS:
            raise UserError(f"espeak-ng does not start with its data in '{self.data}'")
        self.samples: list[bytes] = []
        prototype = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
        self.callback = prototype(self._collect)
        self.lib.espeak_SetSynthCallback(self.callback)

    def _collect(self, wave, count, _events) -> int:
        if count > 0:
            self.samples.append(ctypes.string_at(wave, 2 * count))
        return 0

    def speak(self, text: str, voice: str, rate: int, pitch: int, seed: int) -> np.ndarray:
        """Samples (S,) in [-1, 1] at 22,050 Hz. Args: rate in words a minute, pitch 0 to 99, seed of breath and flutter."""
        # espeak-ng takes an unknown variant for none, without a word.
        known = (self.data / "voices" / "!v" / voice.partition("+")[2]).exists()
        if not known or self.lib.espeak_SetVoiceByName(voice.encode()):
            raise UserError(f"espeak-ng in '{self.data}' has no voice '{voice}'")
        for parameter, value in ((RATE, rate), (VOLUME, QUIET), (PITCH, pitch)):
            self.lib.espeak_SetParameter(parameter, value, 0)
        # Breath is drawn from a generator of the library's own, other sounds from the C library's.
        self.lib.espeak_ng_SetRandSeed(ctypes.c_long(seed))
        self.libc.srand(seed)
        self.samples.clear()
        data = text.lower().encode()
        self.lib.espeak_Synth(data, len(data) + 1, 0, 0, 0, 1, None, None)
        return np.frombuffer(b"".join(self.samples), np.int16).astype(np.float32) / 32768


def make_utterance(espeak: Espeak, speaker: Speaker, index: int, seed: int) -> tuple[str, np.ndarray]:
    """Words and samples (S,) at 16 kHz of one utterance."""
    key = f"{seed}:{speaker.part}:{speaker.number}:{index}"
    rng, number = random.Random(key), zlib.crc32(key.encode())
    base = random.Random(f"{seed}:{speaker.number}")
    usual_rate, usual_pitch, tract = base.uniform(135, 170), base.uniform(*speaker.pitch), base.uniform(*speaker.tract)
    several = speaker.joined and rng.random() * speaker.joined < 1
    said, pieces = [], []
    for turn in range(rng.randint(*SENTENCES) if several else 1):
        said.append(sentence(rng, speaker.part.partition("-")[0]))
        rate, pitch = round(usual_rate * rng.uniform(0.93, 1.07)), round(usual_pitch + rng.uniform(-5, 5))
        spoken = espeak.speak(said[-1], speaker.voice, rate, pitch, (number + turn) & 0x7FFFFFFF)
        pause = rng.uniform(*PAUSE) if turn else 0.0
        pieces += [np.zeros(int(pause * FS), np.float32), soxr.resample(spoken, ESPEAK_FS, FS / tract)]
    wave = np.concatenate(pieces)
    wave = wave / max(1e-4, float(np.abs(wave).max())) * rng.uniform(0.2, 0.8)
    wave = np.pad(wave, [int(rng.uniform(0.05, 0.25) * FS) for _ in range(2)])
    if speaker.noises:
        noise = rng.choice(speaker.noises)(np.random.default_rng(number), wave)
        ratio = float(np.sqrt(np.mean(wave**2) / np.mean(noise**2)))
        wave = wave + noise * ratio * 10 ** (-rng.uniform(*speaker.snr) / 20)
    return " ".join(said), wave


def write_speaker(job: tuple[Path, Speaker, int]) -> float:
    """Write one speaker's chapter. Returns: seconds of audio."""
    out, speaker, seed = job
    folder = out / speaker.part / str(speaker.number) / str(CHAPTER)
    folder.mkdir(parents=True)
    lines, samples = [], 0
    with tempfile.TemporaryDirectory() as data:
        variant, rng = speaker.voice.partition("+")[2], random.Random(f"{seed}:{speaker.number}:variant")
        espeak = Espeak(own_data(Path(data), variant, rng) if speaker.varied else None)
        for index in range(speaker.count):
            words, wave = make_utterance(espeak, speaker, index, seed)
            name = f"{speaker.number}-{CHAPTER}-{index:04d}"
            write_flac(folder / f"{name}.flac", wave, FS)
            lines.append(f"{name} {words}\n")
            samples += len(wave)
    (folder / f"{speaker.number}-{CHAPTER}.trans.txt").write_text("".join(lines))
    return samples / FS


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder to make; LibriSpeech/ appears in it")
    for name, default, what in (
        ("train", 7000, "for training"),
        ("mini", 168, "in dev-mini"),
        ("dev", 1400, "in dev-clean and in dev-other"),
        ("test", 1400, "in test-clean and in test-other"),
    ):
        parser.add_argument(f"--{name}", type=positive, default=default, help=f"utterances {what} (default: {default})")
    parser.add_argument("--seed", type=int, default=0, help="other seeds make other corpora (default: 0)")
    parser.add_argument("--nj", type=positive, default=2, help="processes (default: 2)")
    args = parser.parse_args(argv)
    target = args.out / "LibriSpeech"
    if target.exists():
        raise UserError(f"--out: '{target}' exists already, remove it to make the corpus again")
    people = speakers(vars(args))

    def write(folder: Path) -> None:
        # A new process for each speaker: libespeak-ng keeps state from one voice to the next.
        jobs = [(folder, speaker, args.seed) for speaker in people]
        seconds = sum(run_jobs(write_speaker, jobs, args.nj, "voices", fresh=True))
        about = "".join(f"{s.number} | {s.part} | espeak-ng {s.voice}\n" for s in people)
        (folder / "SPEAKERS.TXT").write_text("; ID | SUBSET | VOICE (synthetic)\n" + about)
        total = sum(speaker.count for speaker in people)
        print(f"{target}: {total} synthetic utterances of {len(people)} speakers, {seconds / 3600:.2f} h")

    write_folder(target, write, made_of="SPEAKERS.TXT")


if __name__ == "__main__":
    run_main(main)
