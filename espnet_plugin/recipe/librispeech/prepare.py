"""Read LibriSpeech's directory layout through lhotse's recipe; write Kaldi data directories and, in them, lhotse's manifests.

The tables are ours and name the files: lhotse's export would read each flac file through a process of ffmpeg.
A set may be a sum of parts: train_960=train-clean-100+train-clean-360+train-other-500. Utterances that lhotse cannot read are left
out and listed in rejected.txt with the reason. With --complete, a part of LibriSpeech that lacks utterances is refused.
"""

import argparse
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from espnet_plugin.common.files import read_text
from espnet_plugin.common.tables import write_speakers, write_table
from espnet_plugin.errors import UserError, run_main
from espnet_plugin.recipe.kaldi_data import positive, write_folder
from espnet_plugin.recipe.librispeech.parts import PARTS


def parse_sets(texts: list[str]) -> dict[str, list[str]]:
    """Data set name -> LibriSpeech parts."""
    sets = {}
    for text in texts:
        name, _, parts = text.partition("=")
        sets[name] = (parts or name).split("+")
        if not name or not all(sets[name]) or Path(name).name != name:
            raise UserError(f"--sets: '{text}' must be PART or NAME=PART+PART")
    return sets


def read_line(part: Path, line: str):
    """lhotse's (recording, supervision) of one line of a .trans.txt, or the reason why there is none."""
    from lhotse.recipes.librispeech import parse_utterance

    if len(line.split(maxsplit=1)) < 2:
        return "empty transcript"
    try:
        return parse_utterance(part, line, alignments={}) or "no such file"
    except Exception as error:  # lhotse's readers raise many kinds
        return f"not readable as audio: {str(error).strip().splitlines()[0].removesuffix(' Details:')}"


def read_part(part: Path, nj: int) -> tuple[dict, dict[str, str]]:
    """Utterance id -> (recording, supervision), and utterance id -> reason for those left out."""
    lines = {}
    for transcript in sorted(part.rglob("*.trans.txt")):
        for line in filter(str.strip, read_text(transcript).split("\n")):
            lines[line.split()[0]] = line
    with ThreadPoolExecutor(nj) as pool:
        found = list(
            tqdm(pool.map(lambda line: read_line(part, line), lines.values()), part.name, len(lines), disable=None)
        )
    read = {key: item for key, item in zip(lines, found) if not isinstance(item, str)}
    return read, {key: item for key, item in zip(lines, found) if isinstance(item, str)}


def write_manifests(folder: Path, read: dict) -> None:
    """Validate lhotse's recordings and supervisions and write recordings.jsonl.gz and supervisions.jsonl.gz."""
    from lhotse import RecordingSet, SupervisionSet, validate_recordings_and_supervisions

    recordings = RecordingSet.from_recordings(recording for recording, _ in read.values())
    supervisions = SupervisionSet.from_segments(supervision for _, supervision in read.values())
    validate_recordings_and_supervisions(recordings, supervisions)
    recordings.to_file(folder / "recordings.jsonl.gz")
    supervisions.to_file(folder / "supervisions.jsonl.gz")


def incomplete(corpus: Path, parts: list[str], complete: bool) -> list[str]:
    """What is missing of the parts, one text a part: the whole, or a number of utterances that LibriSpeech has."""
    found = []
    for part in parts:
        count = 0
        for transcript in (corpus / part).rglob("*.trans.txt"):
            audio = {path.stem for path in transcript.parent.glob("*.flac")} if complete else None
            keys = [line.split()[0] for line in read_text(transcript).splitlines() if line.strip()]
            count += sum(audio is None or key in audio for key in keys)
            if not complete and count:
                break
        wanted = PARTS[part].utterances if complete and part in PARTS else 1
        if not count:
            found.append(part)
        elif count < wanted:
            found.append(f"{wanted - count:,} of {part}'s {wanted:,} utterances")
    return found


@contextmanager
def without_warnings() -> Iterator[None]:
    """Let nobody log less than an error."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True, help="folder that holds train-clean-100, dev-clean, ...")
    parser.add_argument("--sets", nargs="+", required=True, metavar="SET", help="parts, or NAME=PART+PART")
    parser.add_argument("--out", type=Path, required=True, help="folder for the data directories")
    parser.add_argument("--nj", type=positive, default=2, help="threads (default: 2)")
    parser.add_argument(
        "--complete", action="store_true", help="refuse a part with fewer utterances than LibriSpeech's"
    )
    args = parser.parse_args(argv)
    sets = parse_sets(args.sets)
    parts = sorted({part for group in sets.values() for part in group})
    if not args.corpus.is_dir():
        raise UserError(f"--corpus: '{args.corpus}' does not exist")
    missing = incomplete(args.corpus, parts, args.complete)
    if missing:
        raise UserError(f"--corpus: '{args.corpus}' lacks {', '.join(missing)}")
    corpus = args.corpus.absolute()  # the manifests name files, too
    with without_warnings():  # lhotse's, of what rejected.txt lists
        everything = {part: read_part(corpus / part, args.nj) for part in parts}
    for name, group in sets.items():
        read = {key: item for part in group for key, item in everything[part][0].items()}
        rejected = {key: reason for part in group for key, reason in everything[part][1].items()}
        if not read:
            key = min(rejected, default=None)
            why = f" ({key}: {rejected[key]})" if key else ""
            raise UserError(f"--corpus: '{args.corpus}' has no usable utterance for '{name}'{why}")

        def write(folder: Path, read=read, rejected=rejected) -> None:
            write_manifests(folder, read)
            write_table(folder / "wav.scp", {key: r.sources[0].source for key, (r, _) in read.items()})
            write_table(folder / "text", {key: s.text for key, (_, s) in read.items()})
            write_speakers(folder, {key: s.speaker for key, (_, s) in read.items()})
            (folder / "rejected.txt").write_text("".join(f"{key}\t{rejected[key]}\n" for key in sorted(rejected)))

        target = args.out / name
        write_folder(target, write, made_of="wav.scp")
        hours = sum(s.duration for _, s in read.values()) / 3600
        left_out = f", {len(rejected)} left out, see {target}/rejected.txt" if rejected else ""
        print(f"{target}: {len(read)} utterances, {hours:.2f} h{left_out}")


if __name__ == "__main__":
    run_main(main)
