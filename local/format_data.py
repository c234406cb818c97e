#!/usr/bin/env python3
"""Format a Kaldi data directory: mono audio at one sampling rate, one file an utterance, unusable utterances left out.

Reads wav.scp (files, or commands that end in ``|``), segments where there are any, text, utt2spk. Audio that is right already is
referred to, other audio is written as flac. Utterances left out are listed in rejected.txt with the reason.
"""

import argparse
import io
import multiprocessing
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from kaldi_data import read_table, write_folder, write_speakers, write_table
from tqdm import tqdm

from espnet_plugin.errors import UserError, run_main


@dataclass(frozen=True)
class Job:
    """One recording to format.

    Args:
        source: file, or command that ends in ``|``.
        pieces: utterance id -> (start, end) in s, or None for the whole recording.
        folder: where audio is written if it must be; final: where that folder will be in the end.
        fs: Hz wanted.
        shortest, longest: limits of an utterance, s.
    """

    source: str
    pieces: dict[str, tuple[float, float] | None]
    folder: Path
    final: Path
    fs: int
    shortest: float
    longest: float


@dataclass(frozen=True)
class Formatted:
    """Result of one utterance: file and samples, or the reason why it is left out."""

    utterance: str
    path: str = ""
    samples: int = 0
    reason: str = ""


def read_source(source: str) -> tuple[np.ndarray, int]:
    """Samples (S, channels) and rate. Raises `ValueError` with the reason."""
    if source.endswith("|"):
        done = subprocess.run(source[:-1], shell=True, capture_output=True)
        if done.returncode:
            raise ValueError(f"command failed: {source}")
        file = io.BytesIO(done.stdout)
    elif not Path(source).is_file():
        raise ValueError(f"no such file: {source}")
    else:
        file = source
    try:
        return soundfile.read(file, dtype="float32", always_2d=True)
    except (RuntimeError, OSError) as error:
        raise ValueError(f"not readable as audio: {source}") from error


def right_already(job: Job) -> int | None:
    """Samples of a file that can be used as it is, None for one that must be written anew."""
    if job.source.endswith("|") or not Path(job.source).is_file():
        return None
    try:
        info = soundfile.info(job.source)
    except (RuntimeError, OSError):
        return None
    plain = info.format in ("FLAC", "WAV") and info.samplerate == job.fs and info.channels == 1
    return info.frames if plain else None


def check_length(job: Job, utterance: str, path: str, samples: int) -> Formatted:
    seconds = samples / job.fs
    if samples == 0:
        return Formatted(utterance, reason="empty audio")
    if not job.shortest <= seconds <= job.longest:
        return Formatted(utterance, reason=f"{seconds:.3f} s, allowed are {job.shortest} to {job.longest} s")
    return Formatted(utterance, path, samples)


def format_recording(job: Job) -> list[Formatted]:
    """Format the utterances of one recording."""
    whole = [utterance for utterance, piece in job.pieces.items() if piece is None]
    frames = right_already(job) if whole else None
    if frames is not None:
        return [check_length(job, whole[0], str(Path(job.source).absolute()), frames)]
    try:
        audio, rate = read_source(job.source)
    except ValueError as error:
        return [Formatted(utterance, reason=str(error)) for utterance in job.pieces]
    done = []
    for utterance, piece in job.pieces.items():
        start, end = piece or (0.0, len(audio) / rate)
        wave = audio[round(start * rate) : round(end * rate)].mean(axis=1) if len(audio) else np.zeros(0, np.float32)
        if rate != job.fs and len(wave):
            wave = soxr.resample(wave, rate, job.fs)
        result = check_length(job, utterance, str(job.final / f"{utterance}.flac"), len(wave))
        if not result.reason:
            soundfile.write(job.folder / f"{utterance}.flac", np.clip(wave, -1, 1), job.fs, subtype="PCM_16")
        done.append(result)
    return done


def jobs_of(source: Path, folder: Path, final: Path, args) -> list[Job]:
    """One job for each recording."""
    recordings = read_table(source / "wav.scp")
    pieces: dict[str, dict] = {key: {} for key in recordings}
    if (source / "segments").is_file():
        for utterance, value in read_table(source / "segments").items():
            fields = value.split()
            if len(fields) != 3 or fields[0] not in recordings:
                raise UserError(f"{source}/segments: '{utterance} {value}' must be 'utterance recording start end'")
            pieces[fields[0]][utterance] = (float(fields[1]), float(fields[2]))
    else:
        pieces = {key: {key: None} for key in recordings}
    limits = (args.fs, args.min_duration, args.max_duration)
    return [Job(recordings[key], found, folder, final, *limits) for key, found in pieces.items() if found]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="Kaldi data directory to read")
    parser.add_argument("--out", type=Path, required=True, help="formatted directory to write")
    parser.add_argument("--fs", type=int, default=16000, help="sampling rate, Hz (default: 16000)")
    parser.add_argument("--min_duration", type=float, default=0.1, help="s (default: 0.1)")
    parser.add_argument("--max_duration", type=float, default=35.0, help="s (default: 35)")
    parser.add_argument("--nj", type=int, default=2, help="processes (default: 2)")
    args = parser.parse_args()
    if not args.data.is_dir():
        raise UserError(f"--data: '{args.data}' does not exist")
    text = read_table(args.data / "text")
    utt2spk = read_table(args.data / "utt2spk") if (args.data / "utt2spk").is_file() else {}

    def write(folder: Path) -> None:
        audio = folder / "audio"
        audio.mkdir()
        jobs = jobs_of(args.data, audio, args.out.absolute() / "audio", args)
        done: list[Formatted] = []
        with (
            multiprocessing.get_context("fork").Pool(args.nj) as pool,
            tqdm(total=len(jobs), unit="rec", desc=str(args.out), disable=None, file=sys.stderr) as bar,
        ):
            for results in pool.imap_unordered(format_recording, jobs, chunksize=16):
                done += results
                bar.update()
        rejected = {r.utterance: r.reason for r in done if r.reason}
        kept = {r.utterance: r for r in done if not r.reason}
        for utterance in sorted(kept):
            if not text.get(utterance):
                rejected[utterance] = "empty transcript" if utterance in text else "no transcript"
        rejected |= {utterance: "no audio" for utterance in text.keys() - {r.utterance for r in done}}
        kept = {utterance: kept[utterance] for utterance in sorted(kept.keys() - rejected.keys())}
        (folder / "rejected.txt").write_text("".join(f"{u}\t{rejected[u]}\n" for u in sorted(rejected)))
        if not kept:
            first = min(rejected, default=None)
            why = f", the first because: {rejected[first]}" if first else ""
            raise UserError(f"--data: '{args.data}' has no usable utterance among {len(rejected)}{why}")
        write_table(folder / "wav.scp", {u: r.path for u, r in kept.items()})
        write_table(folder / "text", {u: text[u] for u in kept})
        write_speakers(folder, {u: utt2spk.get(u, u) for u in kept})
        write_table(folder / "utt2num_samples", {u: r.samples for u, r in kept.items()})
        (folder / "feats_type").write_text("raw\n")
        hours = sum(r.samples for r in kept.values()) / args.fs / 3600
        left_out = f", {len(rejected)} left out, see {args.out}/rejected.txt" if rejected else ""
        print(f"{args.out}: {len(kept)} utterances, {hours:.2f} h{left_out}")

    write_folder(args.out, write)


if __name__ == "__main__":
    run_main(main)
