"""What an exported size costs on this machine."""

from dataclasses import asdict, dataclass
from pathlib import Path

from espnet_plugin.asr.model import TODMModel
from espnet_plugin.deploy.client import decode
from espnet_plugin.deploy.sherpa import export


@dataclass(frozen=True)
class Cost:
    """An exported size in sherpa-onnx.

    Args:
        bytes: of the three graphs.
        rtf_1, rtf_2: seconds of computing a second of audio, with one and two threads.
        peak_mb: growth of the client's resident memory over that before loading, 10^6 bytes, one thread; None where it is not known.
    """

    bytes: int
    rtf_1: float
    rtf_2: float
    peak_mb: float | None

    def as_dict(self) -> dict:
        return asdict(self)


def measure(model: TODMModel, out: Path, wavs: list[Path], int8: bool = False) -> tuple[Cost, list[str]]:
    """Export a model to `out`, decode audio files with it. Returns: its cost and the words of each file."""
    export(model, out, int8)
    one, two = (decode(out, wavs, threads) for threads in (1, 2))
    peak = None if one.peak_bytes is None else round(one.peak_bytes / 1e6, 1)
    size = sum(path.stat().st_size for path in Path(out).glob("*.onnx"))
    return Cost(size, round(one.real_time_factor, 5), round(two.real_time_factor, 5), peak), one.texts
