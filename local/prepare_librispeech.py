#!/usr/bin/env python3
"""Read LibriSpeech's directory layout through lhotse's recipe and write Kaldi data directories.

A part may be a sum: train_960=train-clean-100+train-clean-360+train-other-500.
"""

import argparse
from pathlib import Path

from kaldi_data import write_folder, write_speakers, write_table
from lhotse.recipes import prepare_librispeech

from espnet_plugin.errors import UserError, run_main


def parse_parts(texts: list[str]) -> dict[str, list[str]]:
    """Data set name -> LibriSpeech parts."""
    sets = {}
    for text in texts:
        name, _, parts = text.partition("=")
        sets[name] = (parts or name).split("+")
    return sets


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True, help="folder that holds train-clean-100, dev-clean, ...")
    parser.add_argument("--sets", nargs="+", required=True, metavar="SET", help="parts, or NAME=PART+PART")
    parser.add_argument("--out", type=Path, required=True, help="folder for the data directories")
    parser.add_argument("--nj", type=int, default=2, help="threads (default: 2)")
    args = parser.parse_args()
    sets = parse_parts(args.sets)
    parts = sorted({part for group in sets.values() for part in group})
    if not args.corpus.is_dir():
        raise UserError(f"--corpus: '{args.corpus}' does not exist")
    missing = [part for part in parts if next((args.corpus / part).rglob("*.trans.txt"), None) is None]
    if missing:
        raise UserError(f"--corpus: '{args.corpus}' lacks {', '.join(missing)} (no .trans.txt file there)")
    manifests = prepare_librispeech(args.corpus, dataset_parts=parts, num_jobs=args.nj)
    for name, group in sets.items():
        recordings = {r.id: r.sources[0].source for part in group for r in manifests[part]["recordings"]}
        supervisions = [s for part in group for s in manifests[part]["supervisions"]]

        def write(folder: Path, recordings=recordings, supervisions=supervisions) -> None:
            write_table(folder / "wav.scp", {s.id: Path(recordings[s.recording_id]).absolute() for s in supervisions})
            write_table(folder / "text", {s.id: s.text for s in supervisions})
            write_speakers(folder, {s.id: s.speaker for s in supervisions})

        write_folder(args.out / name, write)
        hours = sum(s.duration for s in supervisions) / 3600
        print(f"{args.out / name}: {len(supervisions)} utterances, {hours:.2f} h")


if __name__ == "__main__":
    run_main(main)
