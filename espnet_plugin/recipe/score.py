"""Word and character error rates of one test set, by kaldialign; sclite's report too where sclite is installed."""

import argparse
import json
import shutil
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

from kaldialign import align

from espnet_plugin.common.tables import read_table, read_transcripts
from espnet_plugin.common.word_errors import METRICS, count, units
from espnet_plugin.errors import UserError, run_main
from espnet_plugin.recipe.kaldi_data import write_folder

GAP = "*"


@dataclass(frozen=True)
class Score:
    """What score.json holds; wer and cer in percent, the rest counts; ins, del and sub of words."""

    utterances: int
    missing: int
    words: int
    wer: float
    ins: int
    deletions: int
    sub: int
    chars: int
    cer: float

    def to_json(self) -> str:
        values = asdict(self)
        values["del"] = values.pop("deletions")
        return json.dumps(values, indent=2) + "\n"


def score(references: dict[str, str], hypotheses: dict[str, str]) -> Score:
    """Score all references; one without a hypothesis counts as deleted.

    Raises:
        UserError: a hypothesis without a reference.
    """
    extra = sorted(hypotheses.keys() - references.keys())
    if extra:
        raise UserError(f"--hyp: utterance '{extra[0]}' is not in the reference ({len(extra)} such utterances)")
    pairs = [(references[key], hypotheses.get(key, "")) for key in sorted(references)]
    words, chars = (count([units(text, metric) for text in pair] for pair in pairs) for metric in METRICS)
    return Score(
        utterances=len(references),
        missing=len(references.keys() - hypotheses.keys()),
        words=words.total,
        wer=round(words.rate, 3),
        ins=words.ins,
        deletions=words.deletions,
        sub=words.sub,
        chars=chars.total,
        cer=round(chars.rate, 3),
    )


def alignments(references: dict[str, str], hypotheses: dict[str, str]) -> str:
    """One block an utterance: reference and hypothesis in columns, differences marked below."""
    blocks = []
    for key in sorted(references):
        rows = align(references[key].split(), hypotheses.get(key, "").split(), GAP)
        columns = [(a, b, "" if a == b else "^") for a, b in rows]
        widths = [max(map(len, column)) for column in columns]
        lines = [" ".join(cell.ljust(w) for cell, w in zip(row, widths)).rstrip() for row in zip(*columns)]
        blocks.append("\n".join([key, *lines]))
    return "\n\n".join(blocks) + "\n"


def run_sclite(references: dict[str, str], hypotheses: dict[str, str], speakers: dict[str, str], folder: Path) -> None:
    """Write trn files and, where sclite is installed, its report. Its ids must begin with the speaker and a hyphen."""
    for name, table in (("ref", references), ("hyp", hypotheses)):
        lines = (f"{table.get(key, '')} ({speakers.get(key, 'all')}-{key})\n" for key in sorted(references))
        (folder / f"{name}.trn").write_text("".join(lines), encoding="utf-8")
    if shutil.which("sclite"):
        options = "-r ref.trn trn -h hyp.trn trn -i rm -o all stdout"
        with (folder / "sclite.txt").open("w") as report:
            done = subprocess.run(["sclite", *options.split()], cwd=folder, stdout=report, stderr=subprocess.STDOUT)
        if done.returncode:
            print(f"  sclite ended with status {done.returncode}: its sclite.txt cannot be relied on")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ref", type=Path, required=True, help="Kaldi text file, utt2spk beside it is read")
    parser.add_argument("--hyp", type=Path, required=True, help="Kaldi text file")
    parser.add_argument("--out", type=Path, required=True, help="folder for score.json, result.txt and trn files")
    args = parser.parse_args()
    references, hypotheses = read_transcripts(args.ref), read_transcripts(args.hyp)
    utt2spk = args.ref.with_name("utt2spk")
    speakers = read_table(utt2spk) if utt2spk.is_file() else {}
    result = score(references, hypotheses)

    def write(folder: Path) -> None:
        (folder / "score.json").write_text(result.to_json())
        (folder / "result.txt").write_text(alignments(references, hypotheses), encoding="utf-8")
        run_sclite(references, hypotheses, speakers, folder)

    write_folder(args.out, write, made_of="score.json")
    missing = f", {result.missing} without hypothesis" if result.missing else ""
    print(f"  {args.out}: WER {result.wer:.2f} %, CER {result.cer:.2f} %, {result.words} words{missing}")


if __name__ == "__main__":
    run_main(main)
