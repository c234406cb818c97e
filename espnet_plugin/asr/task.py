"""ESPnet's ASR task with the plugin's classes and checks that come before any training."""

import argparse
import zipfile
from pathlib import Path

import espnet2.tasks.asr as espnet_asr
from espnet2.tasks.abs_task import optim_classes, scheduler_classes
from espnet2.tasks.asr import ASRTask

from espnet_plugin.asr.conf import PARTS, check_keys
from espnet_plugin.asr.trainer import TODMTrainer
from espnet_plugin.errors import UserError


class TODMTask(ASRTask):
    """Takes every option of ``espnet2.bin.asr_train``."""

    trainer = TODMTrainer

    @classmethod
    def get_parser(cls):
        parser = super().get_parser()

        def error(message: str):
            raise UserError(f"{message}; see espnet-todm train --help")

        parser.error = error
        return parser

    @classmethod
    def check_required_command_args(cls, args: argparse.Namespace):
        """ESPnet's checks, after those of files and keys that would fail later and less clearly."""
        cls.check_files(args)
        super().check_required_command_args(args)

    @classmethod
    def check_files(cls, args: argparse.Namespace) -> None:
        for key in ("train_data_path_and_name_and_type", "valid_data_path_and_name_and_type"):
            for path, _, _ in getattr(args, key):
                if not Path(path).exists():
                    raise UserError(f"--{key}: '{path}' does not exist")
        for key in ("token_list", "bpemodel"):
            value = getattr(args, key)
            if isinstance(value, str) and not Path(value).exists():
                raise UserError(f"--{key}: '{value}' does not exist")
        checkpoint = Path(args.output_dir or ".") / "checkpoint.pth"
        # A checkpoint is a zip archive, whose directory comes last: a run killed while it saved left one without.
        if args.resume and checkpoint.exists() and not zipfile.is_zipfile(checkpoint):
            raise UserError(
                f"--resume: '{checkpoint}' is incomplete, the run was killed while it was written; remove it to begin again, "
                "from the weights of the last epoch with --init_param if you like"
            )
        for part, table in (("optim", optim_classes), ("scheduler", scheduler_classes)):
            chosen = getattr(args, part)
            if chosen is not None:
                check_keys(part, table[chosen], getattr(args, f"{part}_conf"))

    @classmethod
    def build_optimizers(cls, args: argparse.Namespace, model):
        """As ESPnet does, but ScaledAdam gets names, so that a resumed state follows them and not positions."""
        if args.optim != "scaledadam" or args.sharded_ddp or args.exclude_weight_decay:
            return super().build_optimizers(args, model)
        return [optim_classes[args.optim](model.named_parameters(), **args.optim_conf)]

    @classmethod
    def build_model(cls, args: argparse.Namespace):
        """Check the keys of every part, then build as ESPnet does.

        Raises:
            UserError: an unknown key or a value that is not allowed.
        """
        for part in PARTS:
            chosen = getattr(args, part, None)
            if chosen is not None:
                check_keys(
                    part, getattr(espnet_asr, f"{part}_choices").get_class(chosen), getattr(args, f"{part}_conf")
                )
        return super().build_model(args)
