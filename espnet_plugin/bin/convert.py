"""Verb ``convert``: a supernet from icefall's world to ESPnet's, or back."""

import argparse
import shlex
from pathlib import Path

import torch
import yaml

from espnet_plugin.bin.supernet_files import add_icefall, check_icefall, converted
from espnet_plugin.common.files import check_place, write_whole
from espnet_plugin.errors import UserError


def to_icefall(train_config: Path, model_file: Path, out: Path) -> None:
    """Write ``epoch-1.pt``, ``tokens.txt`` and ``bpe.model`` and print the options that icefall's programs need for it."""
    from espnet_plugin.asr.inference.loading import load_model, tokenizer_of
    from espnet_plugin.common.tokens import numbered_bpe
    from espnet_plugin.deploy.graphs import normalisation
    from espnet_plugin.icefall.checkpoint import BLANK, as_params, icefall_options
    from espnet_plugin.icefall.checkpoint import to_icefall as renamed

    trained = load_model(train_config, model_file)
    model, options = trained.model, icefall_options(vars(trained.conf))
    if model.blank_id != 0:
        raise UserError(f"token_list: blank has number {model.blank_id}, icefall's is 0")
    state = renamed(model.state_dict(), *normalisation(model))
    facts: dict[str, float] = {key: 0 for key in ("best_train_epoch", "best_valid_epoch")}
    facts |= {key: float("inf") for key in ("best_train_loss", "best_valid_loss")}
    facts |= {"batch_idx_train": int(model.num_updates)}
    tokens, bpemodel = [BLANK, *model.token_list[1:]], tokenizer_of(trained.conf)

    def write(folder: Path) -> None:
        folder.mkdir()
        torch.save({"model": state, "model_avg": state} | facts | as_params(options), folder / "epoch-1.pt")
        lines = (f"{token} {number}\n" for number, token in enumerate(tokens))
        (folder / "tokens.txt").write_text("".join(lines), encoding="utf-8")
        if bpemodel is not None:
            (folder / "bpe.model").write_bytes(numbered_bpe(bpemodel, tokens))

    write_whole(out, write, ("epoch-1.pt", "tokens.txt"), (train_config, model_file))
    lang = (
        "tokens.txt" if bpemodel is None else "tokens.txt and bpe.model of a language folder (--bpe-model, --lang-dir)"
    )
    print(f"{out}: epoch-1.pt, {lang}, for icefall's programs with")
    print("  " + shlex.join(word for pair in options.items() for word in pair))
    print(
        "  decode.py: --epoch 1 --avg 1 --use-averaged-model 0; train.py goes on with --start-epoch 2, from a fresh optimizer"
    )


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="espnet-todm convert",
        description="Convert a supernet from icefall's checkpoint to configuration and weights for ESPnet, or back.",
    )
    parser.add_argument("--train_config", type=Path, help="config.yaml of a supernet, to convert to icefall")
    parser.add_argument("--model_file", type=Path, help="its checkpoint")
    add_icefall(parser)
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    args = parser.parse_args(argv)
    check_icefall(args)
    there, back = args.icefall_checkpoint is not None, args.train_config is not None and args.model_file is not None
    if there == back:
        raise UserError("convert needs --icefall_checkpoint and --tokens, or --train_config and --model_file")
    if back:
        check_place(args.out, ("epoch-1.pt", "tokens.txt"), (args.train_config, args.model_file))
        to_icefall(args.train_config, args.model_file, args.out)
        return
    conf, state = converted(args)

    def write(folder: Path) -> None:
        folder.mkdir()
        (folder / "config.yaml").write_text(yaml.safe_dump(conf, sort_keys=False, allow_unicode=True), encoding="utf-8")
        torch.save(state, folder / "averaged.pth")

    write_whole(args.out, write, ("config.yaml", "averaged.pth"), (args.icefall_checkpoint,))
    print(f"{args.out}: config.yaml and averaged.pth, for --train_config and --model_file")
