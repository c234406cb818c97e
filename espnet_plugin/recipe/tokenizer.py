"""Make the token list of a training set: sentencepiece units with their model, or characters.

tokens.txt has <blank> first, <unk>, the units, <sos/eos> last, as ESPnet's. Beside it lies bpe.model, or symbols.txt for characters, with
the non-linguistic symbols; which they are says text.json beside the transcripts.
"""

import argparse
from pathlib import Path

from espnet_plugin.common.files import read_json
from espnet_plugin.common.tables import read_transcripts
from espnet_plugin.common.tokens import TOKEN_TYPES, bpe_tokens, char_tokens, train_bpe
from espnet_plugin.errors import UserError, run_main
from espnet_plugin.recipe.kaldi_data import positive, write_folder


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", type=Path, required=True, help="Kaldi text file of the training set, normalised")
    parser.add_argument(
        "--token_type", choices=TOKEN_TYPES, default="bpe", help="sentencepiece units or characters (default: bpe)"
    )
    parser.add_argument("--nbpe", type=positive, help="sentencepiece units; fewer if the text does not hold so many")
    parser.add_argument("--out", type=Path, required=True, help="folder for tokens.txt and bpe.model")
    args = parser.parse_args(argv)
    sentences = [words for words in read_transcripts(args.text).values() if words]
    if not sentences:
        raise UserError(f"--text: '{args.text}' has no words")
    if args.token_type == "bpe" and args.nbpe is None:
        raise UserError("--nbpe: is needed with --token_type bpe")
    symbols = (read_json(args.text.with_name("text.json")) or {}).get("symbols", [])

    def write(folder: Path) -> None:
        if args.token_type == "bpe":
            model = train_bpe(sentences, args.nbpe, symbols)
            (folder / "bpe.model").write_bytes(model)
            tokens = bpe_tokens(model)
        else:
            tokens = char_tokens(sentences, symbols)
            (folder / "symbols.txt").write_text("".join(f"{symbol}\n" for symbol in symbols), encoding="utf-8")
        (folder / "tokens.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")
        print(f"{args.out}: {len(tokens)} tokens from {len(sentences)} sentences")

    write_folder(args.out, write, made_of="tokens.txt")


if __name__ == "__main__":
    run_main(main)
