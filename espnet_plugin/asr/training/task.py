"""ESPnet's ASR task with the plugin's classes and checks that come before any training."""

import argparse
import re
from functools import lru_cache
from pathlib import Path

import torch
from espnet2.tasks.abs_task import optim_classes, scheduler_classes
from espnet2.tasks.asr import ASRTask
from espnet2.torch_utils.load_pretrained_model import load_pretrained_model
from espnet2.utils.types import float_or_none, str2bool, str2triple_str

from espnet_plugin.asr.build import building
from espnet_plugin.asr.inference.loading import read_state
from espnet_plugin.asr.model_dir import keep_beside
from espnet_plugin.asr.training import checks
from espnet_plugin.asr.training.checkpoint import whole_config
from espnet_plugin.asr.training.cut_batches import CutReader, cut_source, in_order, iter_factory, loader_of, text_conf
from espnet_plugin.asr.training.model import TODMModel
from espnet_plugin.asr.training.trainer import TODMTrainer
from espnet_plugin.common.compose import write_conf
from espnet_plugin.common.rate import hertz
from espnet_plugin.errors import UserError
from espnet_plugin.frontend.augment import with_bandwidth

# What argparse calls on a text -> what the text must be.
WORDS = dict(int="an integer", float="a number", int_or_none="an integer or none", float_or_none="a number or none")
WORDS |= dict(str2bool="true or false", path_name_type="three words, separated by commas")


def path_name_type(text: str) -> tuple[str, str, str]:
    """A path, the name and the type of the data there, separated by commas, of which the path may have more."""
    path, name, kind = text.strip("()").rsplit(",", 2)
    return path.strip(" '\""), name.strip(" '\""), kind.strip(" '\"")


class TODMTask(ASRTask):
    """Takes every option of ``espnet2.bin.asr_train``."""

    trainer = TODMTrainer
    arguments: argparse.Namespace  # of the run, for what ESPnet builds without them
    unwritten: argparse.Namespace | None = None  # the same, until its folder is begun

    @classmethod
    def get_parser(cls):
        parser = super().get_parser()

        def error(message: str):
            wrong = re.fullmatch(r"argument (--\w+): invalid (\w+) value: (.*)", message)
            if wrong is None:
                raise UserError(f"{message.removeprefix('argument ')}; see espnet-todm train --help")
            raise UserError(f"{wrong[1]}: {wrong[3]} must be {WORDS.get(wrong[2], f'of type {wrong[2]}')}")

        parser.error = error
        parser.add_argument(
            "--bandwidth_augment",
            type=str2bool,
            default=False,
            help="half of the training utterances (beside other effects: their share) as they sound at 8 kHz, for a model that is to "
            "hear telephones too",
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
    @lru_cache(maxsize=1)
    def known_options(cls):
        """The parser with ESPnet's defaults, to be looked at."""
        return cls.get_parser()

    @classmethod
    def main_worker(cls, args: argparse.Namespace):
        """ESPnet's worker."""
        cls.arguments = cls.unwritten = args
        if args.collect_stats:  # a folder of its own, and perhaps no model
            cls.keep_inputs()
        with whole_config():
            super().main_worker(args)

    @classmethod
    def keep_inputs(cls) -> None:
        """Write what the training uses beside the model that it makes, once nothing is left to refuse."""
        args, cls.unwritten = cls.unwritten, None
        if args is None:  # an optimizer is built, but no training begins
            return
        composed, folder = vars(args).pop("composed", None), Path(args.output_dir)
        if composed is not None:
            if not args.dist_rank:
                write_conf(composed, folder / "composed.yaml", args.config)
            args.config = str(folder / "composed.yaml")
        if not args.collect_stats and not args.dry_run and not args.dist_rank:
            keep_beside(vars(args), folder)

    @classmethod
    def check_required_command_args(cls, args: argparse.Namespace):
        """ESPnet's checks, after those of options, files and keys that would fail later and less clearly.

        Raises:
            UserError: the first mistake.
        """
        checks.check_options(cls.known_options(), args)
        cls.trainer.check_options(args)
        checks.check_parts(args)
        checks.check_steps(args)
        checks.check_preprocessor(args.preprocessor_conf)
        checks.check_files(args)
        checks.check_given(args)
        super().check_required_command_args(args)

    @classmethod
    def build_model(cls, args: argparse.Namespace):
        """Check the keys of every part, then build as ESPnet does.

        Raises:
            UserError: an unknown key or a value that is not allowed.
        """
        checks.check_parts(args)
        with building("model", args):
            return super().build_model(args)

    @classmethod
    def build_optimizers(cls, args: argparse.Namespace, model):
        """As ESPnet does, but ScaledAdam gets names, so that a resumed state follows them and not positions.

        Nothing was written yet, and the model is there: what depends on it is checked here.

        Raises:
            UserError: weights of ``--init_param`` that do not fit, a schedule that cannot be built, a criterion that is never reported.
        """
        if isinstance(model, TODMModel):
            checks.check_criteria(cls.known_options(), args, model.reported())
        if not args.collect_stats:
            for start in args.init_param:
                check_fit(model, start, args.ignore_init_mismatch)
        with building("optimizer", args):
            if args.optim != "scaledadam" or args.sharded_ddp or args.exclude_weight_decay:
                optimizers = super().build_optimizers(args, model)
            else:
                optimizers = [optim_classes[args.optim](saved_names(model), **args.optim_conf)]
        if args.scheduler is not None:
            with building("schedule", args):
                options = {key: value for key, value in args.optim_conf.items() if key != "lr_scales"}
                trial = optim_classes[args.optim]([torch.nn.Parameter(torch.zeros(2))], **options)
                scheduler_classes[args.scheduler](trial, **args.scheduler_conf)
        if not args.collect_stats:
            cls.keep_inputs()
        return optimizers

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


def check_fit(model: torch.nn.Module, start: str, ignore_mismatch: bool) -> None:
    """Load weights as ESPnet will once more when the folder is written.

    Args:
        start: of ``--init_param``.

    Raises:
        UserError: the file is no checkpoint, or its weights do not fit.
    """
    file, _, part, *_ = [*start.split(":"), "", ""]
    try:
        read_state(Path(file))
        load_pretrained_model(start, model, ignore_mismatch)
    except UserError as error:
        raise UserError(f"--init_param: {error}") from error
    except AttributeError as error:
        raise UserError(f"--init_param: '{start}': the model has no part '{part}'") from error
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines() if "size mismatch" in line or "key(s)" in line]
        raise UserError(f"--init_param: '{file}' does not fit the model: {(lines or [str(error)])[0][:200]}") from error


def saved_names(model: torch.nn.Module) -> list[tuple[str, torch.nn.Parameter]]:
    """Parameters with the names that they have in checkpoints, so that an optimizer's state fits wherever the checkpoint does."""
    names = {id(value): name for name, value in model.state_dict(keep_vars=True).items()}
    return [(names[id(parameter)], parameter) for parameter in model.parameters()]
