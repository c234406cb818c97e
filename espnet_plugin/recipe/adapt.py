"""Begin a training from a model: its tokens, tokenizer, statistics, architecture and weights, for other data.

Writes init.pth, train.yaml (for --config), tokens.txt and what lies beside the model: bpe.model or symbols.txt, feats_stats.npz. A model
of one size becomes a supernet. adapt.json says what was done.
"""

import argparse
from functools import partial
from pathlib import Path

import torch
import yaml

from espnet_plugin.asr.adapt import start_from
from espnet_plugin.asr.model_dir import beside
from espnet_plugin.common.compose import compose
from espnet_plugin.common.files import write_json
from espnet_plugin.common.tables import read_transcripts
from espnet_plugin.errors import UserError, run_main
from espnet_plugin.recipe.kaldi_data import write_folder
from espnet_plugin.recipe.named_sizes import subnet_of


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--model_dir", type=Path, required=True, help="training directory of a supernet, or a model of one size"
    )
    parser.add_argument("--text", type=Path, required=True, help="Kaldi text file of the new training set")
    parser.add_argument(
        "--extend_tokens", choices=("true", "false"), default="false", help="add the characters that the tokens lack"
    )
    parser.add_argument("--subnet", help="of a supernet: train this one alone, as max, 3x64, or as `choose` writes it")
    parser.add_argument(
        "--config", type=Path, help="training configuration; the architecture in it is replaced by the model's"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    args = parser.parse_args(argv)
    texts = [words for words in read_transcripts(args.text).values() if words]
    if not texts:
        raise UserError(f"--text: '{args.text}' has no words")
    given = None if args.config is None else compose(args.config)
    subnet = None if args.subnet is None else partial(subnet_of, name=args.subnet)

    def write(folder: Path) -> None:
        start = start_from(args.model_dir, folder, texts, args.extend_tokens == "true", given, subnet)
        tokens = start.conf.pop("token_list")
        for section, key, name in beside(start.conf):
            section[key] = str(args.out.absolute() / name)
        torch.save(start.state, folder / "init.pth")
        (folder / "tokens.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")
        (folder / "train.yaml").write_text(
            yaml.safe_dump(start.conf, sort_keys=False, allow_unicode=True), encoding="utf-8"
        )
        facts = {
            "model_dir": str(args.model_dir.absolute()),
            "subnet": args.subnet,
            "grown": start.grown,
            "added": list(start.added),
        }
        facts |= {"unknown": start.unknown, "transcripts": len(texts)}
        write_json(folder / "adapt.json", facts, indent=None)
        whole = "a supernet grown from" if start.grown else "the supernet"
        what = whole if args.subnet is None else f"size {args.subnet} of"
        print(f"{args.out}: {what} {args.model_dir}, {len(tokens)} tokens")
        if start.added:
            print(f"  tokens that were added: {' '.join(start.added)}")
        if start.unknown:
            print(
                f"  {start.unknown} of {len(texts)} transcripts hold symbols that are no tokens; --extend_tokens true adds them"
            )

    write_folder(args.out, write, made_of="init.pth")


if __name__ == "__main__":
    run_main(main)
