"""Make the token list of a training set: sentencepiece units with their model, or characters.

tokens.txt has <blank> first, <unk>, the units, <sos/eos> last, as ESPnet's. Beside it lies bpe.model, or symbols.txt for characters, with
the non-linguistic symbols; which they are says text.json beside the transcripts.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

from espnet_plugin.common.files import read_json
from espnet_plugin.common.tables import stream_transcripts
from espnet_plugin.common.tokens import TOKEN_TYPES, bpe_tokens, char_tokens, train_bpe
from espnet_plugin.errors import UserError, run_main
from espnet_plugin.recipe.kaldi_data import positive, write_folder


def sample(sentences: Iterator[str], every: int) -> Iterator[str]:
    """Every n-th sentence, and each with a character that none before it had."""
    seen: set[str] = set()
    for number, words in enumerate(sentences):
        new = set(words) - seen
        if new or number % every == 0:
            seen |= new
            yield words


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", type=Path, required=True, help="Kaldi text file of the training set, normalised")
    parser.add_argument(
        "--token_type", choices=TOKEN_TYPES, default="bpe", help="sentencepiece units or characters (default: bpe)"
    )
    parser.add_argument("--nbpe", type=positive, help="sentencepiece units; fewer if the text does not hold so many")
    parser.add_argument("--out", type=Path, required=True, help="folder for tokens.txt and bpe.model")
    parser.add_argument(
        "--most",
        type=positive,
        help="sentencepiece units of about so many sentences, evenly spaced, and of all characters (default: of all)",
    )
    args = parser.parse_args(argv)
    if not args.text.is_file():
        raise UserError(f"--text: '{args.text}' does not exist")

    def sentences() -> Iterator[str]:
        return (words for words in stream_transcripts(args.text) if words)

    count = sum(1 for _ in sentences())
    if not count:
        raise UserError(f"--text: '{args.text}' has no words")
    if args.token_type == "bpe" and args.nbpe is None:
        raise UserError("--nbpe: is needed with --token_type bpe")
    symbols = (read_json(args.text.with_name("text.json")) or {}).get("symbols", [])

    def write(folder: Path) -> None:
        if args.token_type == "bpe":
            every = -(-count // args.most) if args.most else 1
            used = list(sample(sentences(), every))
            model = train_bpe(used, args.nbpe, symbols)
            of = f"{len(used)} of {count}" if len(used) < count else f"{count}"
            (folder / "bpe.model").write_bytes(model)
            tokens = bpe_tokens(model)
        else:
            tokens, of = char_tokens(sentences(), symbols), f"{count}"
            (folder / "symbols.txt").write_text("".join(f"{symbol}\n" for symbol in symbols), encoding="utf-8")
        (folder / "tokens.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")
        print(f"{args.out}: {len(tokens)} tokens from {of} sentences")

    write_folder(args.out, write, made_of="tokens.txt")


if __name__ == "__main__":
    run_main(main)
