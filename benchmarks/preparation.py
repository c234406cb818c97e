#!/usr/bin/env python3
"""Measure the preparation stages of the recipe (data, formatting, BPE, statistics) on as many utterances as LibriSpeech has.

    python benchmarks/preparation.py [--utterances 281241] [--nj 2] [--work FOLDER]

The corpus has LibriSpeech's layout, number of utterances and length of transcripts; its audio is faked: each utterance is a link to one of
a few short files, so that reading audio takes little. Speed perturbation is off, since what it costs is reading and writing audio. The last
line is one JSON object: seconds of each stage, minutes of all (wall and processor time), and peak memory of all processes.
"""

import argparse
import json
import os
import random
import re
import resource
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile
from measure import measure
from tqdm import tqdm

RUN = Path(__file__).parents[1] / "egs2" / "librispeech_todm" / "run.sh"
WORDS = 33  # of an utterance, as in LibriSpeech
VOCABULARY = 20_000
CHAPTER = 50  # utterances of a folder
LINKS = 10_000  # of one file; file systems allow some 65,000


def make_part(folder: Path, count: int, seconds: float, rng: random.Random, words: list[str]) -> None:
    """A part of the corpus with `count` utterances."""
    folder.mkdir(parents=True)
    samples = np.random.default_rng(0).uniform(-0.1, 0.1, round(16000 * seconds))
    for first in tqdm(range(0, count, CHAPTER), folder.name, disable=None):
        speaker, chapter = 1 + first // (20 * CHAPTER), first // CHAPTER
        place = folder / str(speaker) / str(chapter)
        place.mkdir(parents=True)
        lines = []
        for number in range(first, min(first + CHAPTER, count)):
            name = f"{speaker}-{chapter}-{number - first:04d}"
            if number % LINKS == 0:
                source = place / f"{name}.flac"
                soundfile.write(source, samples, 16000, format="FLAC")
            else:
                os.link(source, place / f"{name}.flac")
            lines.append(f"{name} {' '.join(rng.choices(words, k=rng.randint(1, 2 * WORDS - 1)))}\n")
        (place / f"{speaker}-{chapter}.trans.txt").write_text("".join(lines))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--utterances", type=int, default=281_241, help="of the training set (default: 281,241)")
    parser.add_argument("--seconds", type=float, default=0.5, help="of audio an utterance (default: 0.5)")
    parser.add_argument("--nj", type=int, default=2, help="processes (default: 2)")
    parser.add_argument("--work", type=Path, help="folder for corpus and outputs (default: a temporary one)")
    args = parser.parse_args()
    work = args.work or Path(tempfile.mkdtemp(prefix="preparation."))
    rng = random.Random(0)
    words = sorted(
        {"".join(rng.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ'", k=rng.randint(2, 10))) for _ in range(VOCABULARY)}
    )
    corpus = work / "in" / "LibriSpeech"
    make_part(corpus / "train-clean-100", args.utterances, args.seconds, rng, words)
    make_part(corpus / "dev-clean", 100, args.seconds, rng, words)
    log = work / "run.log"
    options = "--corpus librispeech --full_libri false --complete false --test_sets dev-clean --speed_perturb_factors 1.0 --stop_stage 4"
    command = [RUN, *options.split(), "--nj", args.nj, "--expdir", work / "exp", "--dumpdir", work / "dump"]
    with log.open("w") as output:
        run = measure(command, stdout=output, stderr=output, env=os.environ | {"LIBRISPEECH": str(work / "in")})
    if run.status:
        sys.exit(f"error: the recipe ended with status {run.status}, see {log}")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    stages = re.findall(r"stage \d+, (.*): done in (\d+) s", log.read_text())
    figures = {
        "utterances": args.utterances,
        "nj": args.nj,
        "minutes": round(run.seconds / 60, 2),
        "cpu_minutes": round((used.ru_utime + used.ru_stime) / 60, 2),
        "peak_gb": run.peak_gb,
    }
    print(json.dumps(figures | {f"{name} s": int(seconds) for name, seconds in stages}))


if __name__ == "__main__":
    main()
