"""Verb ``train``: ESPnet's training with the plugin, and a record of what it cost."""

import json
from pathlib import Path

from espnet2.torch_utils.safe_torch_load import safe_torch_load

from espnet_plugin.asr.files import checkpoint_errors, write_whole
from espnet_plugin.asr.task import TODMTask
from espnet_plugin.errors import UserError


def record_cost(output_dir: Path) -> None:
    """Write ``cost.json``: seconds of training and validation of all finished epochs, resumed runs included."""
    checkpoint = output_dir / "checkpoint.pth"
    if not checkpoint.exists():
        return
    epochs = safe_torch_load(checkpoint, map_location="cpu")["reporter"]["stats"].values()
    seconds = sum(phase["time"]["__timedelta_seconds__"] for epoch in epochs for phase in epoch.values())
    cost = json.dumps({"train_seconds": round(seconds, 1), "epochs": len(epochs)})
    write_whole(output_dir / "cost.json", lambda path: path.write_text(cost + "\n"))


def main(argv: list[str]) -> None:
    try:
        args = TODMTask.get_parser().parse_args(argv)
    except ValueError as error:  # ESPnet's own message for a name that is none of the choices
        raise UserError(str(error)) from error
    with checkpoint_errors(Path(args.output_dir or ".")):
        TODMTask.main(args=args)
    if args.output_dir is not None:
        record_cost(Path(args.output_dir))
