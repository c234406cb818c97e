#!/usr/bin/env python3
"""Train a sentencepiece model and write ESPnet's token list: <blank> first, <unk>, the pieces, <sos/eos> last."""

import argparse
import tempfile
from pathlib import Path

import sentencepiece
from kaldi_data import read_table, write_folder

from espnet_plugin.errors import UserError, run_main

OWN_SYMBOLS = ("<unk>", "<s>", "</s>")  # sentencepiece's; ESPnet has its own


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--text", type=Path, required=True, help="Kaldi text file of the training set")
    parser.add_argument(
        "--nbpe", type=int, required=True, help="pieces wanted; fewer where the text does not hold so many"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for bpe.model and tokens.txt")
    parser.add_argument("--model_type", default="unigram", choices=["unigram", "bpe"])
    args = parser.parse_args()
    sentences = [words for words in read_table(args.text).values() if words]
    if not sentences:
        raise UserError(f"--text: '{args.text}' has no words")
    least = len(set("".join(sentences).replace(" ", ""))) + len(OWN_SYMBOLS) + 1
    if args.nbpe < least:
        raise UserError(
            f"--nbpe: {args.nbpe} must be at least {least}, one for each character of the text and 4 symbols"
        )

    def write(folder: Path) -> None:
        with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as corpus:
            corpus.write("\n".join(sentences) + "\n")
            corpus.flush()
            sentencepiece.SentencePieceTrainer.train(
                input=corpus.name,
                model_prefix=str(folder / "bpe"),
                vocab_size=args.nbpe,
                model_type=args.model_type,
                character_coverage=1.0,
                hard_vocab_limit=False,
                input_sentence_size=10_000_000,
                minloglevel=2,
            )
        model = sentencepiece.SentencePieceProcessor(model_file=str(folder / "bpe.model"))
        pieces = [model.id_to_piece(i) for i in range(model.get_piece_size())]
        tokens = ["<blank>", "<unk>", *(piece for piece in pieces if piece not in OWN_SYMBOLS), "<sos/eos>"]
        (folder / "tokens.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")
        print(f"{args.out}: {len(tokens)} tokens from {len(sentences)} sentences")

    write_folder(args.out, write)


if __name__ == "__main__":
    run_main(main)
