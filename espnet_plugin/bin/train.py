"""Verb ``train``: ESPnet's training with the plugin."""

from pathlib import Path

from espnet_plugin.asr.files import checkpoint_errors
from espnet_plugin.asr.task import TODMTask
from espnet_plugin.compose import read_yaml, write_composed
from espnet_plugin.errors import UserError


def composed(argv: list[str]) -> list[str]:
    """The arguments with a ``--config`` that has a base replaced by one plain file, ``composed.yaml`` in the output folder.

    Raises:
        UserError: see `espnet_plugin.compose.compose`; or no ``--output_dir`` to write to.
    """
    found = {}
    for position, word in enumerate(argv):
        key, equals, value = word.partition("=")
        if key in ("--config", "--output_dir") and (equals or position + 1 < len(argv)):
            found[key] = (position, 1, value) if equals else (position, 2, argv[position + 1])
    if "--config" not in found or "base" not in read_yaml(Path(found["--config"][2])):
        return argv
    if "--output_dir" not in found:
        raise UserError("--config: a configuration with a base needs --output_dir, where it is stored in one piece")
    position, words, config = found["--config"]
    out = Path(found["--output_dir"][2]) / "composed.yaml"
    write_composed(Path(config), out)
    return [*argv[:position], "--config", str(out), *argv[position + words :]]


def main(argv: list[str]) -> None:
    try:
        args = TODMTask.get_parser().parse_args(composed(argv))
    except ValueError as error:  # ESPnet's own message for a name that is none of the choices
        raise UserError(str(error)) from error
    with checkpoint_errors(Path(args.output_dir or ".")):
        TODMTask.main(args=args)
