"""Verb ``transcribe``: the words of audio files of any length, as text, JSON or subtitles."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from espnet_plugin.asr.inference.data import BATCH_SECONDS
from espnet_plugin.asr.inference.extract import extract, space_of
from espnet_plugin.asr.inference.formats import FORMATS, written
from espnet_plugin.asr.inference.loading import load_model, model_dir_files
from espnet_plugin.asr.inference.longform import LongForm
from espnet_plugin.asr.inference.recognise import Recogniser
from espnet_plugin.asr.inference.search import SearchConf, add_options, check_given, given_options
from espnet_plugin.audio.mono import MonoAudio
from espnet_plugin.audio.source import STANDARD_INPUT, Recording, spelt
from espnet_plugin.audio.windows import WindowConf
from espnet_plugin.common.bounds import Checked
from espnet_plugin.common.files import check_place, write_text
from espnet_plugin.errors import UserError

# What is taken out of a folder; a file that is named itself may be called as it likes.
SUFFIXES = set(
    ".aac .aif .aiff .au .caf .flac .m4a .mka .mkv .mov .mp3 .mp4 .oga .ogg .opus .sph .wav .webm .wma .w64".split()
)


def audio_files(named: list[str]) -> list[str]:
    """Files, and for a folder the audio files in it and below, sorted.

    Raises:
        UserError: a folder has none.
    """
    found: list[str] = []
    for name in named:
        if not Path(name).is_dir():
            found.append(name)
            continue
        inside = sorted(path for path in Path(name).rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
        if not inside:
            raise UserError(
                f"folder '{name}' has no audio file: must have one that ends in {', '.join(sorted(SUFFIXES))}"
            )
        found += map(str, inside)
    return found


def places(out: Path, files: list[str], format: str) -> dict[str, Path]:
    """Where the answer to each file is written: the file's name with another ending.

    Raises:
        UserError: two would be written to the same file.
    """
    found: dict[Path, str] = {}
    for file in files:
        stem = "stdin" if file == STANDARD_INPUT else Path(file).stem
        place = check_place(out / f"{stem}.{'txt' if format == 'text' else format}")
        if place in found:
            raise UserError(f"--out: '{found[place]}' and '{file}' would both be written to '{place}'")
        found[place] = file
    return {file: place for place, file in found.items()}


def opened(files: list[str], fs: int, bar: tqdm) -> Iterator[tuple[str, MonoAudio | UserError]]:
    """Files one after the other, by their places; one that cannot be used comes as the reason why."""
    for number, file in enumerate(files, 1):
        try:
            with Recording(file) as recording:
                bar.total = (bar.total or 0) + recording.seconds
                bar.set_postfix_str(f"file {number} of {len(files)}")
                yield str(number), MonoAudio(recording, fs)
        except UserError as error:
            yield str(number), error


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="espnet-todm transcribe",
        description="Print the words of audio files of any length (wav, flac, mp3, m4a, sph ...); 'path<TAB>words' as text.",
    )
    parser.add_argument("model_dir", type=Path, help="extracted size, or the supernet's training directory")
    parser.add_argument("audio", nargs="+", help="audio files or folders, any sampling rate; - for standard input")
    parser.add_argument("--subnet", help="size to use of a supernet: max, min or text form (default: max)")
    parser.add_argument(
        "--format", choices=FORMATS, default="text", help="json has times and confidences (default: text)"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="write DIR/NAME.FORMAT, one for each file")
    parser.add_argument(
        "--window",
        type=float,
        default=WindowConf.longest,
        metavar="SECONDS",
        help="longer audio is cut at pauses into pieces of at most that, unless the model streams; about what the model was trained on "
        f"(default: {WindowConf.longest:g})",
    )
    parser.add_argument(
        "--batch_seconds",
        type=float,
        default=60.0,
        action=Checked,
        bounds=BATCH_SECONDS,
        metavar="SECONDS",
        help="audio computed at once (default: 60)",
    )
    add_options(parser)
    args = parser.parse_args(argv)
    search = SearchConf(**given_options(args))
    check_given(args, search)
    if search.nbest > 1 and args.format != "json":
        raise UserError(f"--nbest: {search.nbest} needs --format json, which lists all answers")
    conf = WindowConf.of(args.window)
    files = audio_files(args.audio)
    if args.format in ("srt", "vtt") and len(files) > 1 and args.out is None:
        raise UserError(
            f"--format {args.format}: is for one file, there are {len(files)}: write one for each with --out DIR"
        )
    out = {} if args.out is None else places(args.out, files, args.format)
    trained = load_model(*model_dir_files(args.model_dir))
    if args.subnet is not None:
        trained = extract(trained, space_of(trained.model).resolve(args.subnet))
    answers, failed = LongForm(Recogniser(trained, search), conf, args.batch_seconds), []
    with tqdm(unit="s", desc="audio", disable=None, unit_scale=True) as bar:
        for number, answer in answers(opened(files, trained.fs, bar), bar.update):
            file = files[int(number) - 1]
            if isinstance(answer, UserError):
                failed.append(answer)
                if len(files) > 1:
                    bar.write(f"error: {answer}", file=sys.stderr)
                continue
            name = spelt(file)
            for note in answer.notes:
                bar.write(f"{name}: {note}", file=sys.stderr)
            text = written(args.format, name, answer)
            if file in out:
                write_text(out[file], text)
                text = f"{name}: {spelt(str(out[file]))}\n"
            bar.write(text, end="")
            sys.stdout.flush()
    if failed:
        raise (
            failed[0] if len(files) == 1 else UserError(f"{len(failed)} of {len(files)} files could not be transcribed")
        )
