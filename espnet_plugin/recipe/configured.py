"""What run.sh needs to know of its configuration, and refusals of values that would otherwise end a run only after training.

Prints on one line: sampling rate (Hz), whether there are models that stream (True or False), and sums that comments do not change: of the
keys that shape the weights, of all keys, of those that lengths and statistics of the features can depend on, of the frontend's.
"""

import argparse
import contextlib
import io
import zlib
from pathlib import Path

from espnet_plugin.common.compose import compose, write_composed
from espnet_plugin.errors import UserError, run_main
from espnet_plugin.frontend.rate import hertz
from espnet_plugin.recipe.named_sizes import named, read_name
from espnet_plugin.supernet.configured import search_space
from espnet_plugin.supernet.dimensions import FFN

# Keys that lengths and statistics of the features do not depend on.
LATER = {"grad_clip", "max_epoch", "batch_bins", "num_iters_per_epoch", "seed"}
LATER |= {part + end for part in ("encoder", "decoder", "model", "optim", "scheduler") for end in ("", "_conf")}


def part(conf: dict, key: str) -> dict:
    """A dictionary of the configuration, empty where it is left out.

    Raises:
        UserError: it is something else.
    """
    found = conf.get(key) or {}
    if not isinstance(found, dict):
        raise UserError(f"{key}: {found!r} must be a dictionary")
    return found


def streams(conf: dict) -> bool:
    """Whether the configuration has models of forward direction."""
    encoder = part(conf, "encoder_conf")
    directions = part(encoder, "search_space").get("directions")
    return "forward" in directions if isinstance(directions, list) else not encoder.get("bidirectional", True)


def check_sizes(conf: dict, names: list[str]) -> None:
    """Raise a `UserError` for a name that is none of a size, or of one that the search space lacks."""
    for name in names:
        read_name(name)
    encoder = part(conf, "encoder_conf")
    layers, search = encoder.get("num_layers"), part(encoder, "search_space")
    if names and isinstance(layers, int) and "ffn_dims" in search:
        widths = {key: search[key] for key in ("depths", "ffn_dims") if key in search}
        space = search_space(layers, widths, [FFN], {})
        for name in names:
            named(space, name)


def check_speeds(texts: list[str]) -> None:
    """Raise a `UserError` for a factor that is no number from 0.5 to 2.0."""
    for text in texts:
        try:
            right = 0.5 <= float(text) <= 2
        except ValueError:
            right = False
        if not right:
            raise UserError(f"--speed_perturb_factors: '{text}' must be a number from 0.5 to 2.0")


def check_decoding(path: Path) -> None:
    """Raise a `UserError` unless the file is a decoding configuration."""
    # Here, since it takes seconds; ESPnet tells on standard error what optional parts it lacks.
    with contextlib.redirect_stderr(io.StringIO()):
        from espnet_plugin.asr.inference.decode import read_conf
    read_conf(path)


def sums(conf: dict, harmless: list[str]) -> list[int]:
    """See the top of this file."""
    shaping = {key: value for key, value in conf.items() if key not in harmless}
    features = {key: value for key, value in conf.items() if key not in LATER}
    parts = shaping, conf, features, [conf.get(key) for key in ("frontend", "frontend_conf")]
    return [zlib.crc32(repr(part).encode()) for part in parts]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True, help="training configuration, may have bases")
    parser.add_argument("--out", type=Path, help="file to write it to in one piece (default: none)")
    parser.add_argument("--sizes", nargs="*", default=[], metavar="LAYERSxWIDTH")
    parser.add_argument("--speeds", nargs="*", default=[], metavar="FACTOR")
    parser.add_argument("--harmless", nargs="*", default=[], metavar="KEY", help="keys that do not shape the weights")
    parser.add_argument("--inference_config", type=Path, help="decoding configuration to check, which takes seconds")
    args = parser.parse_args()
    conf = compose(args.config)
    try:
        facts = hertz(part(conf, "frontend_conf").get("fs", 16000)), streams(conf)
        check_sizes(conf, args.sizes)
    except UserError as error:
        where = "" if str(error).startswith("--") else f"configuration '{args.config}': "
        raise UserError(f"{where}{error}") from error
    check_speeds(args.speeds)
    if args.inference_config is not None:
        check_decoding(args.inference_config)
    if args.out is not None:
        write_composed(args.config, args.out)
    print(*facts, *sums(conf, args.harmless))


if __name__ == "__main__":
    run_main(main)
