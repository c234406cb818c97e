"""Look through lhotse's cuts that a user trains on as they are: transcripts for the tokens, lengths, and what is left out.

Writes text and utt2num_samples in the order of the cuts, rejected.txt with the reasons why cuts cannot be trained on, text.json and
set.json, as formatting does for a Kaldi directory. No audio is read, and nothing is kept in memory.
"""

import argparse
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from tqdm import tqdm

from espnet_plugin.asr.training.cuts import CutSource, words_of
from espnet_plugin.common.files import write_json
from espnet_plugin.errors import UserError, run_main
from espnet_plugin.recipe.kaldi_data import positive, write_folder
from espnet_plugin.recipe.transcripts import RECORD, add_text_options, facts_of, text_conf, told


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cuts", type=Path, required=True, help="manifest of cuts, or folder in the Shar format")
    parser.add_argument("--out", type=Path, required=True, help="directory to write")
    parser.add_argument("--fs", type=positive, default=16000, help="sampling rate of training, Hz (default: 16000)")
    add_text_options(parser)
    args = parser.parse_args(argv)
    conf = text_conf(args)
    if not args.cuts.exists():
        raise UserError(f"--cuts: '{args.cuts}' does not exist")
    source = CutSource(args.cuts)
    source.check("--cuts")

    def write(folder: Path) -> None:
        names, seconds, changed = ("text", "utt2num_samples", "rejected.txt"), 0.0, 0
        changes: Counter[str] = Counter()
        reasons: Counter[str] = Counter()
        speakers: set[str] = set()
        kept = 0
        with ExitStack() as stack:
            text, lengths, rejected = (
                stack.enter_context((folder / name).open("w", encoding="utf-8", newline="\n")) for name in names
            )
            for cut in tqdm(source.all(), str(args.out), disable=None):
                key = "_".join(str(cut.id).split())  # a table's key has no white space
                given = words_of(cut)
                words = conf.normalise(given, changes)
                changed += words != given
                if reason := source.reason_before_audio(cut) or (None if words else "no transcript"):
                    rejected.write(f"{key}\t{reason}\n")
                    reasons[reason] += 1
                    continue
                text.write(f"{key} {words}\n")
                lengths.write(f"{key} {round(cut.duration * args.fs)}\n")
                kept, seconds = kept + 1, seconds + cut.duration
                speakers.update(one.speaker for one in cut.supervisions if one.speaker)
        if not kept:
            raise UserError(f"--cuts: '{args.cuts}' has no cut that can be trained on: {dict(reasons)}")
        write_json(folder / RECORD, conf.as_dict(), indent=None)
        facts = facts_of(kept, seconds, len(speakers) or None, reasons, Counter(), changed, changes)
        write_json(folder / "set.json", facts)
        print(told(facts, args.out))

    write_folder(args.out, write, made_of="utt2num_samples")


if __name__ == "__main__":
    run_main(main)
