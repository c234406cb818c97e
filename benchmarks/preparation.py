#!/usr/bin/env python3
"""Measure the preparation stages of the recipe (data, formatting, BPE, statistics) on as many utterances as LibriSpeech has.

    python benchmarks/preparation.py [--utterances 281241] [--nj 2] [--work FOLDER]
    python benchmarks/preparation.py --backend lhotse [--utterances 1000000] [--work FOLDER]

The corpus has LibriSpeech's layout, number of utterances and length of transcripts; its audio is faked: each utterance is a link to one of
a few short files, so that reading audio takes little. Speed perturbation is off, since what it costs is reading and writing audio. The last
line is one JSON object: seconds of each stage, minutes of all (wall and processor time), and peak memory of all processes.

With ``--backend lhotse`` the same of a cut manifest (``run.sh --data_backend lhotse --train_cuts``, stages 1 to 4), and then what training
does with it before its first update and in the updates after it: checks, limits of the buckets, the number of batches, and the first of
them, without audio. Both with 10,000 cuts and with all; the figures are the ratios of peak memory, of the largest process. Cuts and
batches are a tenth as long as usual, so that statistics take minutes: beginnings of one file of 2 s, in batches of 60 s.
"""

import argparse
import gzip
import json
import os
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
from itertools import islice
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
REPEATED = 10_000  # different cuts of a manifest


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


def make_manifest(path: Path, count: int, words: list[str]) -> None:
    """Cuts of 0.1 to 2 s, the beginnings of one file; the same ones again after each 10,000, or fewer if there are to be fewer."""
    rng, lines, audio = random.Random(0), [], path.with_name("noise.flac")
    soundfile.write(audio, np.random.default_rng(0).uniform(-0.1, 0.1, 32000), 16000)
    recording = {"id": "r", "sampling_rate": 16000, "num_samples": 32000, "duration": 2.0, "channel_ids": [0]}
    recording["sources"] = [{"type": "file", "channels": [0], "source": str(audio.absolute())}]
    for number in range(min(count, REPEATED)):
        times = {"start": 0, "duration": rng.randint(10, 200) / 100}
        text = " ".join(rng.choices(words, k=rng.randint(1, 2 * WORDS - 1)))
        spoken = {"id": f"s{number}", "recording_id": "r", **times, "channel": 0, "text": text}
        cut = {"id": f"c{number}", **times, "channel": 0, "supervisions": [spoken], "recording": recording}
        lines.append(json.dumps(cut | {"type": "MonoCut"}) + "\n")
    member = gzip.compress("".join(lines).encode())  # a file may have several members, one after the other
    with path.open("wb") as file:
        for _ in range(count // len(lines)):
            file.write(member)


def make_kaldi(folder: Path) -> None:
    """Development and test set of a second each."""
    for name in ("valid", "test"):
        (folder / name).mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / f"{name}.wav", np.random.default_rng(0).uniform(-0.1, 0.1, 16000), 16000)
        (folder / name / "wav.scp").write_text(f"{name} {folder.absolute()}/{name}.wav\n")
        (folder / name / "text").write_text(f"{name} A B\n")


def prepare(work: Path, manifest: Path) -> tuple[float, float]:
    """Stages 1 to 4 of the recipe on a manifest: peak memory of the largest process (10^9 bytes) and seconds.

    The system tells the peak of all processes up to now: fewer cuts come first.
    """
    make_kaldi(work / "kaldi")
    places = ["--data_dir", work / "kaldi", "--expdir", work / "exp", "--dumpdir", work / "dump"]
    options = "--corpus custom --data_backend lhotse --asr_config conf/train_an4.yaml --nbpe 500 --nj 1 --stop_stage 4"
    log = work / "run.log"
    with log.open("w") as output:
        command = [RUN, *options.split(), "--train_cuts", manifest, *places]
        run = measure(command, stdout=output, stderr=output)
    if run.status:
        sys.exit(f"error: the recipe ended with status {run.status}, see {log}")
    return round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e9, 4), run.seconds


def start_training(path: Path, batches: int) -> None:
    """Last line of the output: peak memory (10^9 bytes) and seconds of checks, buckets and the first batches of a manifest."""
    from espnet_plugin.asr.training.cuts import BatchPlan, CutSource, batches_in_a_pass, epoch_batches, length_bins

    began = time.perf_counter()
    source, plan = CutSource(path), BatchPlan(max_duration=60.0)
    source.check("--train_data_path_and_name_and_type")
    bins = length_bins(source, plan.max_duration)
    whole = batches_in_a_pass(source, plan, bins)
    made = sum(1 for _ in islice(epoch_batches(source, plan, bins, 1), batches))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    took = time.perf_counter() - began
    print(json.dumps({"batches": made, "of": whole, "start_gb": round(peak, 4), "start_s": round(took, 1)}))


def compare_manifests(work: Path, counts: tuple[int, ...], batches: int, words: list[str]) -> None:
    """Last line of the output: peak memory with the largest number of cuts over that with the smallest, in preparing and in starting."""
    found = {}
    for count in counts:
        folder = work / f"{count}"
        folder.mkdir(parents=True)
        path = folder / "cuts.jsonl.gz"
        make_manifest(path, count, words)
        gb, seconds = prepare(folder, path)
        command = [sys.executable, __file__, "--backend", "lhotse", "--manifest", path, "--batches", str(batches)]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\n")[-2]
        found[count] = {"prepare_gb": gb, "prepare_s": seconds} | json.loads(told)
    figures = {f"{key}_{count}": value for count, one in found.items() for key, value in one.items()}
    for key in ("prepare", "start"):
        ratio = found[max(counts)][f"{key}_gb"] / found[min(counts)][f"{key}_gb"]
        figures[f"memory_ratio_lhotse_{key}"] = round(ratio, 3)
    print(json.dumps(figures))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", choices=("kaldi", "lhotse"), default="kaldi", help="(default: kaldi)")
    parser.add_argument("--utterances", type=int, help="of the training set (default: 281,241; lhotse: 1,000,000)")
    parser.add_argument("--batches", type=int, default=300, help="lhotse: so many are made (default: 300)")
    parser.add_argument("--manifest", type=Path, help="lhotse: measure this one alone")
    parser.add_argument("--seconds", type=float, default=0.5, help="of audio an utterance (default: 0.5)")
    parser.add_argument("--nj", type=int, default=2, help="processes (default: 2)")
    parser.add_argument("--work", type=Path, help="folder for corpus and outputs (default: a temporary one)")
    args = parser.parse_args()
    if args.manifest:
        return start_training(args.manifest, args.batches)
    work = args.work or Path(tempfile.mkdtemp(prefix="preparation."))
    rng = random.Random(0)
    words = sorted(
        {"".join(rng.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ'", k=rng.randint(2, 10))) for _ in range(VOCABULARY)}
    )
    if args.backend == "lhotse":
        return compare_manifests(work, (10_000, args.utterances or 1_000_000), args.batches, words)
    args.utterances = args.utterances or 281_241
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
