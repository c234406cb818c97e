"""Export format ``sherpa-onnx``: three ONNX graphs and tokens, or several sizes that share one file of weights."""

from collections.abc import Iterable
from pathlib import Path

from espnet_plugin.errors import UserError

HELP = "k2's client for phones, boards and browsers"


def check(count: int, int8: bool, streaming: bool) -> None:
    if count > 1 and int8:
        raise UserError("--int8: sizes that share weights are float, export one size at a time")


def export(sizes: dict, out: Path, int8: bool, streaming: bool, inputs: Iterable[Path]) -> list[str]:
    from espnet_plugin.asr.inference.loading import tokenizer_of
    from espnet_plugin.deploy import family, sherpa

    models = {name: size.model for name, size in sizes.items()}
    bpemodel = tokenizer_of(next(iter(sizes.values())).conf)
    if len(models) == 1:
        (model,) = models.values()
        parts = sherpa.export(model, out, int8, streaming, inputs, bpemodel).values()
        return [
            f"{out / part['file']}: {part['bytes']:,} bytes, largest difference from PyTorch {part['difference']:.1e}"
            for part in parts
        ]
    found = family.export_family(models, out, streaming, inputs, bpemodel)
    total = sum(path.stat().st_size for path in out.iterdir())
    lines = [f"{out}/encoder-{name}.onnx: largest difference from PyTorch {value:.1e}" for name, value in found.items()]
    return [*lines, f"{out}: {total:,} bytes in all"]
