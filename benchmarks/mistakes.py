"""What the mistakes of a supernet's sizes are like, beside those of models trained alone: other words, or misspelt ones.

    python benchmarks/mistakes.py --root exp/tables_mini --sizes 6x512 3x64 --test_sets dev-clean dev-other --train_text \\
        dump/mini/raw/train-clean-mini/text

A line for each test set and system; the last one is a JSON object with all of them. `wrong` is the word error rate, %. `unknown` are words
of the hypotheses that no transcript of training has, in percent of the references' words. `characters` are wrong characters for each wrong
word. All are pooled over sizes and seeds.
"""

import argparse
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from espnet_plugin.common.tables import read_table
from espnet_plugin.common.word_errors import count, units
from espnet_plugin.errors import UserError, run_main
from espnet_plugin.recipe.layout import Experiment
from espnet_plugin.recipe.runs import Experiments, read_pairs


@dataclass(frozen=True)
class Mistakes:
    """Args: wrong, unknown: percent of the references' words; characters: wrong ones for each wrong word."""

    wrong: float
    unknown: float
    characters: float


def mistakes(folders: Iterable[Path], known: set[str]) -> Mistakes:
    """Of scores pooled. Args: folders: with ref.trn and hyp.trn; known: words of training."""
    pairs = [pair for folder in folders for pair in read_pairs(folder).values()]
    words, characters = (
        count((units(reference, metric), units(hypothesis, metric)) for reference, hypothesis in pairs)
        for metric in ("wer", "cer")
    )
    unknown = sum(word not in known for _, hypothesis in pairs for word in hypothesis.split())
    return Mistakes(words.rate, 100 * unknown / max(words.total, 1), characters.edits / max(words.edits, 1))


def folders_of(runs: Experiments, run: str, test_set: str) -> list[Path]:
    """Scores of all sizes and seeds. Args: run: with {} for the size.

    Raises:
        UserError: there is no seed.
    """
    found = [Experiment(seed / run.format(size)).score(size, test_set) for seed in runs.seeds() for size in runs.sizes]
    if not found:
        raise UserError(f"--root: '{runs.roots[0]}' has no score, for it holds no seedN")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True, help="folder with seed0 ... of tables.sh")
    parser.add_argument("--sizes", nargs="+", required=True)
    parser.add_argument("--test_sets", nargs="+", required=True)
    parser.add_argument("--train_text", type=Path, required=True, help="transcripts of training, Kaldi's text")
    args = parser.parse_args()
    known = {word for text in read_table(args.train_text).values() for word in text.split()}
    runs = Experiments((args.root,), tuple(args.sizes), tuple(args.test_sets))
    record = {}
    for test_set in runs.test_sets:
        for system, run in (("supernet", "supernet"), ("alone", "individual/{}")):
            found = mistakes(folders_of(runs, run, test_set), known)
            print(test_set, system, *(f"{key} {value:.2f}" for key, value in asdict(found).items()))
            record[f"{test_set}, {system}"] = asdict(found)
    print(json.dumps(record))


if __name__ == "__main__":
    run_main(main)
