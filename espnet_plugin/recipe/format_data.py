"""Format a Kaldi data directory: mono audio at one sampling rate, one file an utterance, unusable utterances left out.

Reads wav.scp (see `espnet_plugin.audio.source`), segments where there are any, text, utt2spk. Audio that is right already is
referred to, other audio is written as flac. Utterances left out are listed in rejected.txt with the reason, together with those that
rejected.txt of the data directory names. Transcripts are normalised: text.json says how, set.json counts what the set holds. utt2crc has
the sum of each utterance's samples, which tells other recordings of the same length apart wherever the files lie.

With --speeds 0.9 1.0 1.1 each utterance is there at three speeds, pitch and tempo alike (Ko et al. 2015, Audio augmentation for speech
recognition): sp0.9-UTTERANCE of the speaker sp0.9-SPEAKER.
"""

import argparse
from collections import Counter
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from espnet_plugin.audio.mono import MonoAudio
from espnet_plugin.audio.source import Recording
from espnet_plugin.audio.utterances import read_utterances
from espnet_plugin.common.files import file_name, read_text, write_json
from espnet_plugin.common.processes import run_jobs
from espnet_plugin.common.tables import (
    Segment,
    read_table,
    write_speakers,
    write_table,
)
from espnet_plugin.errors import UserError, run_main
from espnet_plugin.recipe.kaldi_data import positive, write_flac, write_folder
from espnet_plugin.recipe.transcripts import RECORD, add_text_options, read_normalised, summary, text_conf, told


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
    """Result of one utterance: file, samples, the sum of what was heard and what was mended, or the reason why it is left out."""

    utterance: str
    path: str = ""
    samples: int = 0
    crc: int = 0
    reason: str = ""
    notes: tuple[str, ...] = ()


def used_as_it_is(recording: Recording, audio: MonoAudio, job: Job, piece: Segment) -> bool:
    """Whether a recording can be referred to, for it is a plain file of one channel at the right rate with nothing to mend."""
    plain = recording.is_plain and recording.channels == 1 and recording.rate == job.fs
    whole = (piece.start, piece.end) == (0.0, -1.0)
    return plain and whole and job.speed == 1 and audio.treatment.gain == 1


def format_piece(recording: Recording, utterance: str, job: Job) -> Formatted:
    """Format one utterance of an open recording.

    Raises:
        UserError: see `MonoAudio`; or it is too short or too long.
    """
    piece = job.pieces[utterance]
    audio = MonoAudio(recording, job.fs, piece.start, piece.end, piece.channel, job.speed)
    if not job.shortest <= audio.seconds <= job.longest:
        raise UserError(f"{audio.seconds:.3f} s, allowed are {job.shortest} to {job.longest} s")
    if used_as_it_is(recording, audio, job, piece):
        return Formatted(utterance, str(Path(job.source).absolute()), recording.frames, audio.crc, notes=audio.notes)
    name, wave = file_name(utterance, ".flac"), audio.samples()
    write_flac(job.folder / name, wave, job.fs)
    return Formatted(utterance, str(job.final / name), len(wave), audio.crc, notes=audio.notes)


def format_recording(job: Job) -> list[Formatted]:
    """Format the utterances of one recording."""
    try:
        recording = Recording(job.source)
    except UserError as error:
        return [Formatted(utterance, reason=str(error)) for utterance in job.pieces]
    done = []
    with recording:
        for utterance in job.pieces:
            try:
                done.append(format_piece(recording, utterance, job))
            except UserError as error:
                done.append(Formatted(utterance, reason=str(error)))
    return done


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
    recordings, segments, lost = read_utterances(args.data)
    transcripts = read_normalised(args.data / "text", conf)
    text, has_speakers = transcripts.texts, (args.data / "utt2spk").is_file()
    utt2spk = read_table(args.data / "utt2spk") if has_speakers else {}
    limits = args.fs, args.min_duration, args.max_duration
    speeds = dict.fromkeys(args.speeds)
    utt2spk = {at_speed(s, key): at_speed(s, utt2spk.get(key) or key) for s in speeds for key in text}
    text = {at_speed(s, key): words for s in speeds for key, words in text.items()}

    def write(folder: Path) -> None:
        audio, final = folder / "audio", args.out.absolute() / "audio"
        audio.mkdir()
        by_recording = [
            (key, list(pieces)) for key, pieces in groupby(segments.items(), key=lambda item: item[1].recording)
        ]
        jobs = [
            Job(recordings[key], {at_speed(s, u): piece for u, piece in pieces}, audio, final, *limits, speed=s)
            for s in speeds
            for key, pieces in by_recording
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
        write_table(folder / "utt2crc", {u: f"{r.crc:08x}" for u, r in kept.items()})
        (folder / "feats_type").write_text("raw\n")
        write_json(folder / RECORD, conf.as_dict(), indent=None)
        seconds = sum(r.samples for r in kept.values()) / args.fs
        mended = Counter(note for r in kept.values() for note in r.notes)
        facts = summary(len(kept), seconds, speakers if has_speakers else None, transcripts, rejected, mended)
        write_json(folder / "set.json", facts)
        print(told(facts, args.out))

    write_folder(args.out, write, made_of="utt2num_samples")


if __name__ == "__main__":
    run_main(main)
