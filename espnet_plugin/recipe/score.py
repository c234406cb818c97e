"""Word and character error rates of one test set, by kaldialign; sclite's report too where sclite is installed."""

import argparse
import json
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from kaldialign import align

from espnet_plugin.asr.model_dir import find_beside
from espnet_plugin.common.compose import read_yaml
from espnet_plugin.common.tables import read_table, read_transcripts
from espnet_plugin.common.text import normalised
from espnet_plugin.common.word_errors import METRICS, Errors, count, units
from espnet_plugin.errors import UserError, run_main
from espnet_plugin.recipe.kaldi_data import write_folder

GAP = "*"
LOSS = "loss"  # file in the folder of a score: utterance, nats, tokens


@dataclass(frozen=True)
class Score:
    """What score.json holds; wer and cer in percent, loss in nats a token, the rest counts; ins, del and sub of words.

    Args:
        speakers: speaker -> {utterances, words, wer, cer}, the worst first; empty where each utterance is a speaker of its own.
    """

    utterances: int
    missing: int
    words: int
    wer: float
    ins: int
    deletions: int
    sub: int
    chars: int
    cer: float
    speakers: dict[str, dict]
    tokens: int | None = None
    loss: float | None = None

    def to_json(self) -> str:
        values = asdict(self)
        values["del"] = values.pop("deletions")
        return json.dumps(values, indent=2, ensure_ascii=False) + "\n"


def errors(keys: Iterable[str], references: dict[str, str], hypotheses: dict[str, str]) -> tuple[Errors, Errors]:
    """Edits of words and of characters of utterances."""
    pairs = [(references[key], hypotheses.get(key, "")) for key in keys]
    words, chars = (
        count((units(reference, metric), units(hypothesis, metric)) for reference, hypothesis in pairs)
        for metric in METRICS
    )
    return words, chars


def by_speaker(references: dict[str, str], hypotheses: dict[str, str], speakers: dict[str, str]) -> dict[str, dict]:
    """See `Score`."""
    utterances: dict[str, list[str]] = {}
    for key in sorted(references.keys() & speakers.keys()):
        utterances.setdefault(speakers[key], []).append(key)
    if len(utterances) == len(references):
        return {}
    rows = {}
    for speaker, keys in utterances.items():
        words, chars = errors(keys, references, hypotheses)
        rates = {"words": words.total, "wer": round(words.rate, 3), "cer": round(chars.rate, 3)}
        rows[speaker] = {"utterances": len(keys)} | rates
    return dict(sorted(rows.items(), key=lambda row: (-row[1]["wer"], row[0])))


def score(references: dict[str, str], hypotheses: dict[str, str], speakers: dict[str, str]) -> Score:
    """Score all references; one without a hypothesis counts as deleted.

    Args:
        speakers: utterance -> speaker, of those that have one.

    Raises:
        UserError: a hypothesis without a reference.
    """
    extra = sorted(hypotheses.keys() - references.keys())
    if extra:
        raise UserError(f"--hyp: utterance '{extra[0]}' is not in the reference ({len(extra)} such utterances)")
    words, chars = errors(sorted(references), references, hypotheses)
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
        speakers=by_speaker(references, hypotheses, speakers),
    )


def read_losses(path: Path) -> dict[str, tuple[float, int]]:
    """Utterance -> loss (nats) and tokens, of a file that `espnet_plugin.recipe.heldout` made.

    Raises:
        UserError: a line that holds something else.
    """
    found = {}
    for key, values in read_table(path).items():
        try:
            nats, tokens = values.split()
            found[key] = float(nats), int(tokens)
        except ValueError as error:
            raise UserError(f"{path}: '{key} {values}' must be 'UTTERANCE NATS TOKENS'") from error
    return found


def with_loss(result: Score, losses: dict[str, tuple[float, int]]) -> Score:
    """A score with the loss in nats a token; utterances that the loss has no path for are not in it."""
    tokens = sum(count for _, count in losses.values())
    loss = round(sum(nats for nats, _ in losses.values()) / tokens, 5) if tokens else None
    return replace(result, tokens=tokens, loss=loss)


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


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ref", type=Path, required=True, help="Kaldi text file, utt2spk beside it is read")
    parser.add_argument("--hyp", type=Path, required=True, help="Kaldi text file")
    parser.add_argument("--loss", type=Path, help="file of espnet_plugin.recipe.heldout")
    parser.add_argument("--out", type=Path, required=True, help="folder for score.json, result.txt and trn files")
    parser.add_argument("--model_dir", type=Path, help="model that spoke: references are normalised as it writes")
    args = parser.parse_args(argv)
    references, hypotheses = read_transcripts(args.ref), read_transcripts(args.hyp)
    if args.model_dir is not None:
        conf = read_yaml(args.model_dir / "config.yaml")
        find_beside(conf, args.model_dir)
        references = normalised(references, conf, str(args.ref))
    utt2spk = args.ref.with_name("utt2spk")
    speakers = read_table(utt2spk) if utt2spk.is_file() else {}
    result = score(references, hypotheses, speakers)
    if args.loss:
        result = with_loss(result, read_losses(args.loss))

    def write(folder: Path) -> None:
        (folder / "score.json").write_text(result.to_json())
        (folder / "result.txt").write_text(alignments(references, hypotheses), encoding="utf-8")
        run_sclite(references, hypotheses, speakers, folder)
        if args.loss:
            shutil.copy(args.loss, folder / LOSS)

    write_folder(args.out, write, made_of="score.json")
    missing = f", {result.missing} without hypothesis" if result.missing else ""
    loss = "" if result.loss is None else f", {result.loss:.3f} nats a token"
    print(f"  {args.out}: WER {result.wer:.2f} %, CER {result.cer:.2f} %, {result.words} words{loss}{missing}")


if __name__ == "__main__":
    run_main(main)
