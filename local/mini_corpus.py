#!/usr/bin/env python3
"""Make the mini corpus: synthetic speech in LibriSpeech's directory layout.

espeak-ng (from the package espeakng-loader) speaks sentences of `mini_grammar`. Voices of dev and test are not in training; the
"other" sets have accents that training lacks, and noise. Same seed, same samples.
"""

import argparse
import ctypes
import multiprocessing
import os
import random
import shutil
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from mini_grammar import sentence
from tqdm import tqdm

from espnet_plugin.errors import UserError, run_main

FS = 16000  # Hz
ESPEAK_FS = 22050  # Hz
CHAPTER = 1
RATE, VOLUME, PITCH, RANGE = 1, 2, 3, 4  # espeak's parameter numbers

# Voice variants shipped with espeak-ng; a speaker is an accent with a variant.
TRAIN_ACCENTS = ("en-us", "en", "en-gb-x-rp", "en-gb-x-gbcwmd")
OTHER_ACCENTS = ("en-gb-scotland", "en-gb-x-gbclan", "en-029", "en-us-nyc")
TRAIN_VARIANTS = (
    "f1 f2 f3 m1 m2 m3 m4 m5 m6 Alex Alicia Andy Annie Michael Gene Gene2 linda adam antonio caleb david edward "
    "ian iven john marcelo max miguel norbert paul pedro quincy rob robert sandro shelby steph travis victor Lee"
).split()
CLEAN_VARIANTS = {"dev-clean": "f4 m7 Mike belinda", "test-clean": "f5 m8 Marco anika steph2 Diogo"}
OTHER_VARIANTS = {"dev-other": "f4 m7 Hugo steph3", "test-other": "f5 m8 Henrique Jacky benjamin boris"}


@dataclass(frozen=True)
class Speaker:
    """One voice of one part of the corpus.

    Args:
        part: such as ``dev-clean``.
        number: LibriSpeech speaker id.
        voice: espeak voice, accent+variant.
        count: utterances.
        snr: lowest and highest signal-to-noise ratio, dB; None for no noise.
    """

    part: str
    number: int
    voice: str
    count: int
    snr: tuple[float, float] | None


def speakers(train: int, dev: int, test: int) -> list[Speaker]:
    """All speakers. Args: utterances in train, in each dev set and in each test set."""
    parts = [("train-clean-mini", TRAIN_VARIANTS, TRAIN_ACCENTS, train, (10.0, 40.0))]
    for part, variants in CLEAN_VARIANTS.items():
        parts.append((part, variants.split(), TRAIN_ACCENTS, dev if part.startswith("dev") else test, None))
    for part, variants in OTHER_VARIANTS.items():
        parts.append((part, variants.split(), OTHER_ACCENTS, dev if part.startswith("dev") else test, (10.0, 25.0)))
    found = []
    for p, (part, variants, accents, total, snr) in enumerate(parts):
        for i, variant in enumerate(variants):
            count = total // len(variants) + (i < total % len(variants))
            if count:
                found.append(Speaker(part, 1000 * (p + 1) + i, f"{accents[i % len(accents)]}+{variant}", count, snr))
    return found


class Espeak:
    """libespeak-ng through ctypes. Raises `UserError` when the package that carries it is missing or does not start."""

    def __init__(self):
        try:
            import espeakng_loader
        except ImportError as error:
            raise UserError("package espeakng-loader is missing: pip install espeakng-loader") from error
        self.lib = ctypes.CDLL(espeakng_loader.get_library_path())
        self.libc = ctypes.CDLL(None)
        data = os.fsencode(espeakng_loader.get_data_path())
        if self.lib.espeak_Initialize(1, 0, data, 0) != ESPEAK_FS:  # 1: samples are retrieved, not played
            raise UserError(f"espeak-ng does not start with its data in {os.fsdecode(data)}")
        self.samples: list[bytes] = []
        prototype = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
        self.callback = prototype(self._collect)
        self.lib.espeak_SetSynthCallback(self.callback)

    def _collect(self, wave, count, _events) -> int:
        if count > 0:
            self.samples.append(ctypes.string_at(wave, 2 * count))
        return 0

    def speak(self, text: str, voice: str, rate: int, pitch: int, seed: int) -> np.ndarray:
        """Samples in [-1, 1] at 22,050 Hz. Args: rate in words a minute, pitch 0 to 99, seed of breath and flutter."""
        if self.lib.espeak_SetVoiceByName(voice.encode()):
            raise UserError(f"espeak-ng has no voice '{voice}'")
        self.lib.espeak_SetParameter(RATE, rate, 0)
        self.lib.espeak_SetParameter(PITCH, pitch, 0)
        self.libc.srand(seed)
        self.samples.clear()
        data = text.lower().encode()
        self.lib.espeak_Synth(data, len(data) + 1, 0, 0, 0, 1, None, None)
        self.lib.espeak_Synchronize()
        return np.frombuffer(b"".join(self.samples), np.int16).astype(np.float32) / 32768


def make_utterance(espeak: Espeak, speaker: Speaker, index: int, seed: int) -> tuple[str, np.ndarray]:
    """Words and samples (16 kHz) of one utterance; a function of its arguments."""
    key = f"{seed}:{speaker.part}:{speaker.number}:{index}"
    rng = random.Random(key)
    words = sentence(rng)
    base = random.Random(f"{seed}:{speaker.number}")
    rate = round(base.uniform(150, 185) * rng.uniform(0.93, 1.07))
    pitch = round(base.uniform(35, 65) + rng.uniform(-5, 5))
    wave = espeak.speak(words, speaker.voice, rate, pitch, zlib.crc32(key.encode()) & 0x7FFFFFFF)
    wave = soxr.resample(wave, ESPEAK_FS, FS)
    wave = wave / max(1e-4, float(np.abs(wave).max())) * rng.uniform(0.2, 0.8)
    noise = np.random.default_rng(zlib.crc32(key.encode()))
    edges = [np.zeros(int(rng.uniform(0.05, 0.25) * FS), np.float32) for _ in range(2)]
    wave = np.concatenate([edges[0], wave, edges[1]])
    if speaker.snr is not None:
        hiss = noise.standard_normal(len(wave)).astype(np.float32)
        if rng.random() < 0.5:  # half of the noises have more energy in low frequencies, as rooms and cars do
            hiss = np.convolve(hiss, np.ones(8, np.float32) / 8, mode="same")
        level = float(np.sqrt(np.mean(wave**2)) / np.sqrt(np.mean(hiss**2)))
        wave = wave + hiss * level * 10 ** (-rng.uniform(*speaker.snr) / 20)
    return words, np.clip(wave, -1, 1)


def write_speaker(job: tuple[Path, Speaker, int]) -> tuple[int, float]:
    """Write one speaker's chapter. Returns: utterances, seconds of audio."""
    out, speaker, seed = job
    espeak = Espeak()
    folder = out / speaker.part / str(speaker.number) / str(CHAPTER)
    folder.mkdir(parents=True)
    lines, samples = [], 0
    for index in range(speaker.count):
        words, wave = make_utterance(espeak, speaker, index, seed)
        name = f"{speaker.number}-{CHAPTER}-{index:04d}"
        soundfile.write(folder / f"{name}.flac", wave, FS, subtype="PCM_16")
        lines.append(f"{name} {words}\n")
        samples += len(wave)
    (folder / f"{speaker.number}-{CHAPTER}.trans.txt").write_text("".join(lines))
    return speaker.count, samples / FS


def run_jobs(jobs: list, nj: int) -> Iterator[tuple[int, float]]:
    # A fresh process for each speaker: libespeak-ng keeps state from one utterance to the next.
    with multiprocessing.get_context("fork").Pool(nj, maxtasksperchild=1) as pool:
        yield from pool.imap_unordered(write_speaker, jobs, chunksize=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder to make; LibriSpeech/ appears in it")
    parser.add_argument("--train", type=int, default=3000, help="training utterances (default: 3000)")
    parser.add_argument("--dev", type=int, default=150, help="utterances in each dev set (default: 150)")
    parser.add_argument("--test", type=int, default=250, help="utterances in each test set (default: 250)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--nj", type=int, default=2, help="processes (default: 2)")
    args = parser.parse_args()
    target = args.out / "LibriSpeech"
    if target.exists():
        raise UserError(f"--out: '{target}' exists already, remove it to make the corpus again")
    temporary = args.out / f".LibriSpeech.{os.getpid()}.tmp"
    people = speakers(args.train, args.dev, args.test)
    total, seconds = sum(speaker.count for speaker in people), 0.0
    try:
        temporary.mkdir(parents=True)
        with tqdm(total=total, unit="utt", desc="speaking", disable=None, file=sys.stderr) as bar:
            for count, duration in run_jobs([(temporary, speaker, args.seed) for speaker in people], args.nj):
                seconds += duration
                bar.update(count)
        about = "".join(f"{s.number} | {s.part} | espeak-ng {s.voice}\n" for s in people)
        (temporary / "SPEAKERS.TXT").write_text("; ID | SUBSET | VOICE (synthetic)\n" + about)
        temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    print(f"{target}: {total} synthetic utterances of {len(people)} voices, {seconds / 3600:.2f} h")


if __name__ == "__main__":
    run_main(main)
