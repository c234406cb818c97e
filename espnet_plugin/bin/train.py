"""Verb ``train``: ESPnet's training with the plugin."""

import argparse
from pathlib import Path

from espnet_plugin.asr import espnet  # noqa: F401 (first: it quiets ESPnet's import)
from espnet_plugin.asr.training.checks import told_by_file
from espnet_plugin.asr.training.task import TODMTask
from espnet_plugin.common.compose import compose_files
from espnet_plugin.common.files import write_errors
from espnet_plugin.errors import UserError


def read_arguments(argv: list[str]) -> tuple[argparse.Namespace, dict]:
    """Options of a training, and the content of its ``--config`` with all bases, whose keys are defaults as ESPnet has it.

    ``composed`` is among the options where the configuration has a base: it is stored in one piece beside the model.

    Raises:
        UserError: an option that is unknown or of another type.
    """
    parser = TODMTask.get_parser()
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.error = parser.error  # type: ignore[method-assign]
    first.add_argument("--config", type=Path)
    known, rest = first.parse_known_args(argv)
    conf, files = ({}, []) if known.config is None else compose_files(known.config)
    names = {action.dest for action in parser._actions}
    for key in conf:
        if key not in names:
            raise UserError(f"configuration '{known.config}': unrecognized key {key}, see espnet-todm train --help")
    parser.set_defaults(**conf)
    try:
        with told_by_file(known.config, conf):
            args = parser.parse_args(rest)
    except ValueError as error:  # ESPnet's own message for a name that is none of the choices
        raise UserError(str(error)) from error
    args.config = None if known.config is None else str(known.config)
    if len(files) > 1:
        args.composed = conf
    return args, conf


def main(argv: list[str]) -> None:
    args, conf = read_arguments(argv)
    with write_errors(Path(args.output_dir or ".")), told_by_file(args.config, conf, args):
        TODMTask.main(args=args)
