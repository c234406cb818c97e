"""Transcripts of a data directory, normalised as asked, with a count of what that changed; and what a formatted set holds, for people."""

import argparse
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from espnet_plugin.common.tables import read_table
from espnet_plugin.common.text import CASES, FORMS, PUNCTUATION, TextConf

RECORD = "text.json"  # beside the transcripts of a formatted set: the normalisation


def add_text_options(parser: argparse.ArgumentParser) -> None:
    """Options of `TextConf`."""
    group = parser.add_argument_group("transcripts")
    group.add_argument("--text_form", choices=FORMS, default="nfc", help="Unicode normalisation form (default: nfc)")
    group.add_argument("--text_case", choices=CASES, default="keep", help="(default: keep)")
    group.add_argument("--punctuation", choices=PUNCTUATION, default="keep", help="(default: keep)")
    group.add_argument(
        "--symbols", nargs="*", default=[], help="non-linguistic symbols that are one token each, as <noise>"
    )
    group.add_argument("--remove_symbols", nargs="*", default=[], help="non-linguistic symbols that are taken out")


def text_conf(args: argparse.Namespace) -> TextConf:
    """Normalisation that the options ask for. Raises `UserError`, see `TextConf`."""
    return TextConf(args.text_form, args.text_case, args.punctuation, args.symbols, args.remove_symbols)


def text_words(conf: TextConf) -> list[str]:
    """The options that ask for a normalisation."""
    words = ["--text_form", conf.form, "--text_case", conf.case, "--punctuation", conf.punctuation]
    return [*words, "--symbols", *conf.symbols, "--remove_symbols", *conf.removed]


@dataclass(frozen=True)
class Transcripts:
    """Args: texts: utterance -> normalised words; changed: how many that changed; changes: kind of change -> how many had it."""

    texts: dict[str, str]
    changed: int
    changes: dict[str, int]


def read_normalised(path: Path, conf: TextConf) -> Transcripts:
    """Read a Kaldi text file. Raises `UserError`, see `read_table`."""
    changes: Counter[str] = Counter()
    given = read_table(path)
    texts = {utterance: conf.normalise(words, changes) for utterance, words in given.items()}
    changed = sum(words != texts[utterance] for utterance, words in given.items())
    return Transcripts(texts, changed, dict(changes.most_common()))


def kind(reason: str) -> str:
    """Of a reason for leaving an utterance out, without the file and the numbers of this utterance."""
    return re.sub(r"\d+(\.\d+)?", "…", re.sub(r"^audio '.*?' ", "audio ", reason).partition(":")[0])


def counted(counts: Mapping[str, int]) -> str:
    """Counts for people: ``2 empty transcript, 1 no audio``."""
    return ", ".join(f"{number} {what}" for what, number in counts.items())


def summary(
    utterances: int,
    seconds: float,
    utt2spk: Mapping[str, str] | None,
    transcripts: Transcripts,
    rejected: Mapping[str, str],
    mended: Counter[str],
):
    """What set.json holds of a formatted set.

    Args:
        utterances: kept; seconds: of audio in them.
        utt2spk: of the kept ones, None where the data directory names no speakers.
        rejected: utterance -> reason.
        mended: what was mended in the audio -> utterances.
    """
    speakers = None if utt2spk is None else len(set(utt2spk.values()))
    reasons, changes = Counter(map(kind, rejected.values())), Counter(transcripts.changes)
    return facts_of(utterances, seconds, speakers, reasons, mended, transcripts.changed, changes)


def facts_of(
    utterances: int,
    seconds: float,
    speakers: int | None,
    reasons: Counter[str],
    mended: Counter[str],
    changed: int,
    changes: Counter[str],
) -> dict:
    """The same from counts. Args: reasons: of those left out; changed: transcripts that normalisation changed; changes: kinds of change."""
    return {
        "utterances": utterances,
        "hours": round(seconds / 3600, 4),
        "speakers": speakers,
        "left_out": reasons.total(),
        "reasons": dict(reasons.most_common()),
        "mended": dict(mended.most_common()),
        "transcripts_changed": changed,
        "changes": dict(changes.most_common()),
    }


def told(facts: Mapping, place: Path) -> str:
    """A line or more for people. Args: facts: see `summary`; place: folder of the set."""
    lines = [f"{place}: {facts['utterances']} utterances, {facts['hours']:.2f} h"]
    if facts["left_out"]:
        lines[0] += f", {facts['left_out']} left out, see {place}/rejected.txt: {counted(facts['reasons'])}"
    if facts["transcripts_changed"]:
        lines.append(
            f"  {facts['transcripts_changed']} transcripts were changed by normalisation: {counted(facts['changes'])}"
        )
    lines += [f"  {number} utterances: {what}" for what, number in facts["mended"].items()]
    if facts["speakers"] is None:
        lines.append("  no utt2spk: each utterance counts as a speaker")
    return "\n".join(lines)
