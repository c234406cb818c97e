"""ESPnet's ASR task with the plugin's classes and checks that come before any training."""

import argparse
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import espnet2.tasks.asr as espnet_asr
import torch
from espnet2.tasks.abs_task import optim_classes, scheduler_classes
from espnet2.tasks.asr import ASRTask
from espnet2.utils.nested_dict_action import NestedDictAction
from espnet2.utils.types import float_or_none, int_or_none, str2bool, str2triple_str

from espnet_plugin.asr.build import building
from espnet_plugin.asr.model_dir import keep_beside
from espnet_plugin.asr.training.cut_batches import (
    CutReader,
    check_sources,
    cut_source,
    in_order,
    iter_factory,
    loader_of,
    text_conf,
)
from espnet_plugin.asr.training.trainer import TODMTrainer
from espnet_plugin.common.compose import read_yaml
from espnet_plugin.common.conf import PARTS, check_keys, need_kind
from espnet_plugin.common.tokens import check_bpemodel, read_tokens
from espnet_plugin.errors import UserError
from espnet_plugin.frontend.augment import with_bandwidth
from espnet_plugin.frontend.rate import hertz

# What argparse calls on a text of the command line -> types of the same option in a YAML file.
KINDS = {
    int: (int,),
    float: (float,),
    str2bool: (bool,),
    int_or_none: (int, type(None)),
    float_or_none: (float, type(None)),
}
LEAST: dict[str, float] = dict(
    batch_size=1, valid_batch_size=1, batch_bins=1, valid_batch_bins=1, accum_grad=1, max_epoch=1, num_iters_per_epoch=1
)
LEAST |= dict(num_workers=0, ngpu=0, max_duration=0.1, stats_every=1)


def path_name_type(text: str) -> tuple[str, str, str]:
    """A path, the name and the type of the data there, separated by commas, of which the path may have more."""
    path, name, kind = text.strip("()").rsplit(",", 2)
    return path.strip(" '\""), name.strip(" '\""), kind.strip(" '\"")


def check_start(start: str, tokens: Sequence[str] | None) -> None:
    """Refuse weights of other tokens, whose rows would be taken for those of the new ones.

    Args:
        start: of ``--init_param``: file, and what is taken from it, as ESPnet has it (``FILE:FROM:TO:NOT``).
        tokens: of the training.

    Raises:
        UserError: the configuration beside the file has other tokens, and all weights are taken.
    """
    file, source, _, left_out = [*start.split(":"), "", "", ""][:4]
    config = Path(file).parent / "config.yaml"
    if source or "decoder" in left_out or tokens is None or not config.is_file():
        return
    own = read_yaml(config).get("token_list")
    if isinstance(own, list) and own != list(tokens):
        apart = len(set(own) ^ set(tokens))
        what = f"{apart} tokens are in one list only" if apart else "they are the same in another order"
        raise UserError(
            f"--init_param: '{file}' was trained with another token list than --token_list, {what}: give that and its bpe.model, or adapt "
            f"with 'run.sh --init_from {config.parent}', or take a part such as '{file}:encoder:encoder'"
        )


class TODMTask(ASRTask):
    """Takes every option of ``espnet2.bin.asr_train``."""

    trainer = TODMTrainer
    arguments: argparse.Namespace  # of the run, for what ESPnet builds without them

    @classmethod
    def get_parser(cls):
        parser = super().get_parser()

        def error(message: str):
            raise UserError(f"{message}; see espnet-todm train --help")

        parser.error = error
        parser.add_argument(
            "--bandwidth_augment",
            type=str2bool,
            default=False,
            help="half of the training utterances as they sound at 8 kHz, for a model that is to hear telephones too",
        )
        parser.add_argument(
            "--max_duration",
            type=float_or_none,
            default=None,
            help="seconds of audio, padded, in a batch of data of type lhotse_cuts; none: --batch_bins samples",
        )
        parser.add_argument(
            "--stats_every",
            type=int,
            default=1,
            help="with --collect_stats: of data of type lhotse_cuts take every n-th cut only",
        )
        for action in parser._actions:
            if action.type is str2triple_str:  # paths may hold commas
                action.type = path_name_type
        return parser

    @classmethod
    def main_worker(cls, args: argparse.Namespace):
        """ESPnet's worker, after what the training uses was copied beside the model that it makes."""
        cls.arguments = args
        if not args.collect_stats and not args.dry_run and not args.dist_rank:
            keep_beside(vars(args), Path(args.output_dir))
        super().main_worker(args)

    @classmethod
    def check_required_command_args(cls, args: argparse.Namespace):
        """ESPnet's checks, after those of options, files and keys that would fail later and less clearly.

        Raises:
            UserError: the first mistake.
        """
        cls.check_options(args)
        cls.check_files(args)
        cls.check_parts(args)
        for part, table in (("optim", optim_classes), ("scheduler", scheduler_classes)):
            chosen = getattr(args, part)
            if chosen is not None:
                check_keys(part, table[chosen], getattr(args, f"{part}_conf"))
        super().check_required_command_args(args)

    @classmethod
    def check_options(cls, args: argparse.Namespace) -> None:
        """Values of a configuration file, which ESPnet takes as they are, as the command line's are checked.

        Raises:
            UserError: a value of another type or none of the choices, a number that is too small, more GPUs than there are, or what
                `TODMTrainer.check_options` refuses.
        """
        for action in cls.get_parser()._actions:
            value = getattr(args, action.dest, None)
            if value == action.default or (value is None and action.dest == "frontend" and args.input_size):
                continue
            kinds = (dict,) if isinstance(action, NestedDictAction) else KINDS.get(action.type, ())
            several = isinstance(value, list) and (action.nargs or isinstance(action.default, list))
            items: Any = value if several else [value]
            for item in items:
                if kinds:
                    need_kind(f"--{action.dest}", item, kinds)
                if action.choices is not None and item not in action.choices:
                    allowed = ", ".join("null" if choice is None else str(choice) for choice in action.choices)
                    raise UserError(f"--{action.dest}: {item!r} is not one of {allowed}")
        for key, least in LEAST.items():
            if (value := getattr(args, key)) is not None and value < least:
                raise UserError(f"--{key}: {value} must be at least {least}")
        if args.ngpu > torch.cuda.device_count():
            raise UserError(
                f"--ngpu: {args.ngpu} must be at most {torch.cuda.device_count()}, the GPUs that PyTorch finds here"
            )
        cls.trainer.check_options(args)

    @classmethod
    def check_files(cls, args: argparse.Namespace) -> None:
        """
        Raises:
            UserError: a file that is missing or holds something else.
        """
        for key in ("train_data_path_and_name_and_type", "valid_data_path_and_name_and_type"):
            for path, _, kind in getattr(args, key):
                if not Path(path).exists():
                    raise UserError(f"--{key}: '{path}' does not exist")
                if args.bandwidth_augment and kind == "kaldi_ark":
                    raise UserError(f"--bandwidth_augment: needs audio, '{path}' holds features")
        check_sources(args)
        for key in ("token_list", "bpemodel", "non_linguistic_symbols"):
            value = getattr(args, key)
            if isinstance(value, str) and not Path(value).is_file():
                raise UserError(f"--{key}: '{value}' does not exist")
        tokens = args.token_list
        if isinstance(args.token_list, str):
            tokens = read_tokens(args.token_list)
        elif not isinstance(args.token_list, list | tuple | None):
            raise UserError(f"--token_list: {args.token_list!r} must be the name of a file, or a list")
        if args.token_type == "bpe" and isinstance(args.bpemodel, str) and tokens:
            check_bpemodel(tokens, args.bpemodel)  # ESPnet reads it with the first utterance only
        for start in args.init_param or []:
            check_start(start, tokens)
        checkpoint = Path(args.output_dir or ".") / "checkpoint.pth"
        # A checkpoint is a zip archive, whose directory comes last: a run killed while it saved left one without.
        if args.resume and checkpoint.exists() and not zipfile.is_zipfile(checkpoint):
            raise UserError(
                f"--resume: '{checkpoint}' is incomplete, the run was killed while it was written; remove it to begin again, "
                "from the weights of the last epoch with --init_param if you like"
            )

    @classmethod
    def check_parts(cls, args: argparse.Namespace) -> None:
        """
        Raises:
            UserError: an unknown key, or a value that is not allowed, of a part of the model.
        """
        for part in PARTS:
            chosen = getattr(args, part, None)
            if chosen is not None:
                check_keys(
                    part, getattr(espnet_asr, f"{part}_choices").get_class(chosen), getattr(args, f"{part}_conf")
                )

    @classmethod
    def build_model(cls, args: argparse.Namespace):
        """Check the keys of every part, then build as ESPnet does.

        Raises:
            UserError: an unknown key or a value that is not allowed.
        """
        cls.check_parts(args)
        with building("model", args):
            return super().build_model(args)

    @classmethod
    def build_optimizers(cls, args: argparse.Namespace, model):
        """As ESPnet does, but ScaledAdam gets names, so that a resumed state follows them and not positions."""
        with building("optimizer", args):
            if args.optim != "scaledadam" or args.sharded_ddp or args.exclude_weight_decay:
                return super().build_optimizers(args, model)
            return [optim_classes[args.optim](saved_names(model), **args.optim_conf)]

    @classmethod
    def build_preprocess_fn(cls, args: argparse.Namespace, train: bool):
        """ESPnet's, with what ``--bandwidth_augment`` asks for."""
        if train and getattr(args, "bandwidth_augment", False):
            conf = with_bandwidth(args.preprocessor_conf or {}, hertz((args.frontend_conf or {}).get("fs", 16000)))
            args = argparse.Namespace(**vars(args) | {"preprocessor_conf": conf})
        with building("text processing", args):
            return super().build_preprocess_fn(args, train)

    @classmethod
    def build_iter_factory(cls, args: argparse.Namespace, distributed_option, mode: str, kwargs: dict | None = None):
        """ESPnet's, or for data of type ``lhotse_cuts`` ours."""
        with building("batches", args):
            if cut_source(getattr(args, f"{'train' if mode == 'train' else 'valid'}_data_path_and_name_and_type")):
                ours = iter_factory(args, cls.build_iter_options(args, distributed_option, mode), mode)
                if ours is not None:
                    return ours
            return super().build_iter_factory(args, distributed_option, mode, kwargs)

    @classmethod
    def build_streaming_iterator(cls, data_path_and_name_and_type, preprocess_fn, collate_fn, *others, **options):
        """ESPnet's iterator for statistics, or for data of type ``lhotse_cuts`` ours."""
        source = cut_source(data_path_and_name_and_type, text_conf(cls.arguments))
        if source is None:
            return super().build_streaming_iterator(
                data_path_and_name_and_type, preprocess_fn, collate_fn, *others, **options
            )
        reader = CutReader.of(cls.arguments, preprocess_fn, collate_fn)
        batches = in_order(source, options["batch_size"], cls.arguments.stats_every)
        return loader_of(reader, batches, num_workers=options["num_workers"])


def saved_names(model: torch.nn.Module) -> list[tuple[str, torch.nn.Parameter]]:
    """Parameters with the names that they have in checkpoints, so that an optimizer's state fits wherever the checkpoint does."""
    names = {id(value): name for name, value in model.state_dict(keep_vars=True).items()}
    return [(names[id(parameter)], parameter) for parameter in model.parameters()]
