"""Verb ``train``: ESPnet's training with the plugin."""

from pathlib import Path

from espnet_plugin.asr import espnet  # noqa: F401 (first: it quiets ESPnet's import)
from espnet_plugin.asr.training.task import TODMTask
from espnet_plugin.common.compose import composed_arguments
from espnet_plugin.common.files import checkpoint_errors
from espnet_plugin.errors import UserError


def main(argv: list[str]) -> None:
    try:
        args = TODMTask.get_parser().parse_args(composed_arguments(argv))
    except ValueError as error:  # ESPnet's own message for a name that is none of the choices
        raise UserError(str(error)) from error
    with checkpoint_errors(Path(args.output_dir or ".")):
        TODMTask.main(args=args)
