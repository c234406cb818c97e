"""Format a Kaldi data directory: mono audio at one sampling rate, one file an utterance, unusable utterances left out.

Reads wav.scp (files, or commands that end in ``|``), segments where there are any, text, utt2spk. Audio that is right already is
referred to, other audio is written as flac. Utterances left out are listed in rejected.txt with the reason, together with those that
rejected.txt of the data directory names. Transcripts are normalised: text.json says how, set.json counts what the set holds.

With --speeds 0.9 1.0 1.1 each utterance is there at three speeds, pitch and tempo alike (Ko et al. 2015, Audio augmentation for speech
recognition): sp0.9-UTTERANCE of the speaker sp0.9-SPEAKER.
"""

import argparse
import io
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from espnet_plugin.common.files import file_name, read_text
from espnet_plugin.common.processes import run_jobs
from espnet_plugin.common.tables import (
    Segment,
    read_segments,
    read_table,
    write_speakers,
    write_table,
)
from espnet_plugin.errors import UserError, run_main
from espnet_plugin.recipe.kaldi_data import positive, write_flac, write_folder
from espnet_plugin.recipe.transcripts import RECORD, add_text_options, read_normalised, summary, text_conf, told

OVERSHOOT = 0.5  # s that a segment may end after its recording, as in Kaldi's extract-segments

WHOLE = (0.0, -1.0, None)  # start, end and channel of a piece that is the recording


@dataclass(frozen=True)
class Job:
    """One recording to format.

    Args:
        source: file, or command that ends in ``|``.
        pieces: utterance id -> piece of the recording.
        folder: where audio is written if it must be; final: where that folder will be in the end.
        fs: Hz wanted.
        shortest, longest: limits of an utterance, s.
        speed: factor by which the audio is played faster.
    """

    source: str
    pieces: dict[str, Segment]
    folder: Path
    final: Path
    fs: int
    shortest: float
    longest: float
    speed: float = 1.0


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
        audio, rate = soundfile.read(file, dtype="float32", always_2d=True)
    except (RuntimeError, OSError) as error:
        raise ValueError(f"not readable as audio: {source}") from error
    if not np.isfinite(audio).all():
        raise ValueError(f"samples that are not finite: {source}")
    return audio, rate


def right_already(job: Job) -> int | None:
    """Samples of a file that can be used as it is, None for one that must be read and written anew."""
    if job.source.endswith("|") or not Path(job.source).is_file():
        return None
    try:
        with soundfile.SoundFile(job.source) as file:
            plain = file.format in ("FLAC", "WAV") and file.subtype in ("PCM_16", "PCM_24")
            if not plain or file.samplerate != job.fs or file.channels != 1:
                return None
            if file.format == "FLAC":  # damage anywhere shows in decoding, and would stop training later
                read = sum(len(block) for block in file.blocks(65536, dtype="int16"))
            else:  # a file that was cut off has its header, not its end
                read = file.seek(max(file.frames - 1, 0)) + len(file.read(1))
            return file.frames if read == file.frames else None
    except (RuntimeError, OSError):
        return None


def check_length(job: Job, utterance: str, path: str, samples: int) -> Formatted:
    seconds = samples / job.fs
    if samples == 0:
        return Formatted(utterance, reason="empty audio")
    if not job.shortest <= seconds <= job.longest:
        return Formatted(utterance, reason=f"{seconds:.3f} s, allowed are {job.shortest} to {job.longest} s")
    return Formatted(utterance, path, samples)


def cut(audio: np.ndarray, rate: int, piece: Segment) -> np.ndarray:
    """Mono samples of a piece of `audio` (S, channels). Raises `ValueError` with the reason."""
    seconds, channels = audio.shape[0] / rate, audio.shape[1]
    if piece.channel is not None and piece.channel >= channels:
        raise ValueError(f"channel {piece.channel} of a recording that has {channels}, counted from 0")
    start, end = piece.start, seconds if piece.end < 0 else piece.end
    if not 0 <= start <= end <= seconds + OVERSHOOT:
        raise ValueError(f"segment {start} to {end} s of a recording of {seconds:.3f} s")
    part = audio[round(start * rate) : round(end * rate)]
    return part.mean(axis=1) if piece.channel is None else part[:, piece.channel]


def format_recording(job: Job) -> list[Formatted]:
    """Format the utterances of one recording."""
    whole = [utterance for utterance, piece in job.pieces.items() if (piece.start, piece.end, piece.channel) == WHOLE]
    frames = right_already(job) if len(whole) == len(job.pieces) == 1 and job.speed == 1 else None
    if frames is not None:
        return [check_length(job, whole[0], str(Path(job.source).absolute()), frames)]
    try:
        audio, rate = read_source(job.source)
    except ValueError as error:
        return [Formatted(utterance, reason=str(error)) for utterance in job.pieces]
    done = []
    for utterance, piece in job.pieces.items():
        name = file_name(utterance, ".flac")
        try:
            wave = cut(audio, rate, piece)
        except ValueError as error:
            done.append(Formatted(utterance, reason=str(error)))
            continue
        played = rate * job.speed
        wave = soxr.resample(wave, played, job.fs) if played != job.fs and len(wave) else wave
        result = check_length(job, utterance, str(job.final / name), len(wave))
        if not result.reason:
            write_flac(job.folder / name, wave, job.fs)
        done.append(result)
    return done


def read_pieces(source: Path, recordings: dict[str, str]) -> tuple[dict[str, dict], dict[str, str]]:
    """Recording -> its pieces (see `Job`), and utterance -> reason for those whose recording is missing."""
    if not (source / "segments").is_file():
        return {key: {key: Segment(key)} for key in recordings}, {}
    pieces, rejected = {}, {}
    for utterance, segment in read_segments(source / "segments").items():
        if segment.recording in recordings:
            pieces.setdefault(segment.recording, {})[utterance] = segment
        else:
            rejected[utterance] = f"no recording '{segment.recording}' in wav.scp"
    return pieces, rejected


def at_speed(speed: float, name: str) -> str:
    """Name of an utterance or a speaker at a speed, as Kaldi has it."""
    return name if speed == 1 else f"sp{speed:g}-{name}"


def read_rejected(path: Path) -> dict[str, str]:
    lines = read_text(path).split("\n") if path.is_file() else []
    return {key: reason for key, _, reason in (line.partition("\t") for line in lines if line)}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="Kaldi data directory to read")
    parser.add_argument("--out", type=Path, required=True, help="formatted directory to write")
    parser.add_argument("--fs", type=positive, default=16000, help="sampling rate, Hz (default: 16000)")
    parser.add_argument("--min_duration", type=float, default=0.1, help="s (default: 0.1)")
    parser.add_argument("--max_duration", type=float, default=35.0, help="s (default: 35)")
    parser.add_argument("--speeds", type=float, nargs="+", default=[1.0], help="factors of speed (default: 1.0)")
    parser.add_argument("--nj", type=positive, default=2, help="processes (default: 2)")
    add_text_options(parser)
    args = parser.parse_args(argv)
    conf = text_conf(args)
    for speed in args.speeds:
        if not 0.5 <= speed <= 2:
            raise UserError(f"--speeds: {speed} must be from 0.5 to 2.0")
    if not args.data.is_dir():
        raise UserError(f"--data: '{args.data}' does not exist")
    if args.data.resolve() == args.out.resolve():
        raise UserError(f"--out: '{args.out}' must be another folder than --data")
    recordings, transcripts = read_table(args.data / "wav.scp"), read_normalised(args.data / "text", conf)
    text, has_speakers = transcripts.texts, (args.data / "utt2spk").is_file()
    utt2spk = read_table(args.data / "utt2spk") if has_speakers else {}
    pieces, lost = read_pieces(args.data, recordings)
    limits = args.fs, args.min_duration, args.max_duration
    speeds = dict.fromkeys(args.speeds)
    utt2spk = {at_speed(s, key): at_speed(s, utt2spk.get(key) or key) for s in speeds for key in text}
    text = {at_speed(s, key): words for s in speeds for key, words in text.items()}

    def write(folder: Path) -> None:
        audio, final = folder / "audio", args.out.absolute() / "audio"
        audio.mkdir()
        jobs = [
            Job(recordings[key], {at_speed(s, u): piece for u, piece in found.items()}, audio, final, *limits, speed=s)
            for s in speeds
            for key, found in pieces.items()
        ]
        done = [r for results in run_jobs(format_recording, jobs, args.nj, str(args.out), chunk=16) for r in results]
        kept = {r.utterance: r for r in done if not r.reason and text.get(r.utterance)}
        rejected = {utterance: "no audio" for utterance in text} | read_rejected(args.data / "rejected.txt") | lost
        for r in done:
            rejected[r.utterance] = r.reason or ("empty transcript" if r.utterance in text else "no transcript")
        rejected = {utterance: rejected[utterance] for utterance in sorted(rejected.keys() - kept.keys())}
        (folder / "rejected.txt").write_text("".join(f"{u}\t{reason}\n" for u, reason in rejected.items()))
        if not kept:
            why = f", {next(iter(rejected))} because: {next(iter(rejected.values()))}" if rejected else ""
            raise UserError(f"--data: '{args.data}' has no usable utterance among {len(rejected)}{why}")
        write_table(folder / "wav.scp", {u: r.path for u, r in kept.items()})
        write_table(folder / "text", {u: text[u] for u in kept})
        speakers = {u: utt2spk[u] for u in kept}
        write_speakers(folder, speakers)
        write_table(folder / "utt2num_samples", {u: r.samples for u, r in kept.items()})
        (folder / "feats_type").write_text("raw\n")
        (folder / RECORD).write_text(json.dumps(conf.as_dict(), ensure_ascii=False) + "\n", encoding="utf-8")
        seconds = sum(r.samples for r in kept.values()) / args.fs
        facts = summary(len(kept), seconds, speakers if has_speakers else None, transcripts, rejected)
        (folder / "set.json").write_text(json.dumps(facts, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        print(told(facts, args.out))

    write_folder(args.out, write, made_of="utt2num_samples")


if __name__ == "__main__":
    run_main(main)
