"""Train a sentencepiece unigram model and write ESPnet's token list: <blank> first, <unk>, the pieces, <sos/eos> last."""

import argparse
import io
from pathlib import Path

import sentencepiece

from espnet_plugin.common.tables import read_transcripts
from espnet_plugin.errors import UserError, run_main
from espnet_plugin.recipe.kaldi_data import positive, write_folder

OWN_SYMBOLS = ("<unk>", "<s>", "</s>")  # sentencepiece's; ESPnet has its own


def train(sentences: list[str], nbpe: int) -> bytes:
    """A serialized sentencepiece model of `nbpe` pieces, or of fewer where the text does not hold so many.

    Raises:
        UserError: fewer pieces than the text has characters.
    """
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(sentences),
            model_writer=model,
            vocab_size=nbpe,
            model_type="unigram",
            character_coverage=1.0,
            hard_vocab_limit=False,
            input_sentence_size=10_000_000,
            minloglevel=2,
        )
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[-1]
        raise UserError(f"--nbpe: {nbpe} is refused by sentencepiece: {reason}") from error
    return model.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--text", type=Path, required=True, help="Kaldi text file of the training set")
    parser.add_argument("--nbpe", type=positive, required=True, help="pieces; fewer if the text does not hold so many")
    parser.add_argument("--out", type=Path, required=True, help="folder for bpe.model and tokens.txt")
    args = parser.parse_args()
    sentences = [words for words in read_transcripts(args.text).values() if words]
    if not sentences:
        raise UserError(f"--text: '{args.text}' has no words")
    least = len(set("".join(sentences).replace(" ", ""))) + len(OWN_SYMBOLS) + 1
    if args.nbpe < least:
        raise UserError(
            f"--nbpe: {args.nbpe} must be at least {least}, one for each character of the text and 4 symbols"
        )

    def write(folder: Path) -> None:
        (folder / "bpe.model").write_bytes(train(sentences, args.nbpe))
        model = sentencepiece.SentencePieceProcessor(model_file=str(folder / "bpe.model"))
        pieces = [model.id_to_piece(i) for i in range(model.get_piece_size())]
        tokens = ["<blank>", "<unk>", *(piece for piece in pieces if piece not in OWN_SYMBOLS), "<sos/eos>"]
        (folder / "tokens.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")
        print(f"{args.out}: {len(tokens)} tokens from {len(sentences)} sentences")

    write_folder(args.out, write, made_of="tokens.txt")


if __name__ == "__main__":
    run_main(main)
