"""What an exported size costs on this machine."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from espnet_plugin.asr.training.model import TODMModel
from espnet_plugin.deploy.client import Deployed, open_folder, run_client
from espnet_plugin.deploy.sherpa import PARTS, export

THREADS = (1, 2)
CLIENT = 15e6  # bytes that are set aside for the client's own code and tables


@dataclass(frozen=True)
class Speed:
    """A size in sherpa-onnx with a number of threads.

    Args:
        rtf: seconds of computing a second of audio.
        first_token_ms: from the client's having the audio (all of an utterance, offline) to the first token, median; None without words.
        peak_mb: growth of the client's resident memory over that before loading, 10^6 bytes; None where it is not known.
    """

    rtf: float
    first_token_ms: float | None
    peak_mb: float | None


@dataclass(frozen=True)
class DeviceCost:
    """An exported size. Args: bytes: of the three graphs; threads: number of them, as a string for JSON -> speed."""

    bytes: int
    threads: dict[str, Speed]

    @property
    def memory_over_bytes(self) -> float | None:
        """Growth of memory on one thread, less what is set aside for the client, over their bytes; None where it is not known."""
        peak = self.threads["1"].peak_mb
        return None if peak is None else (1e6 * peak - CLIENT) / self.bytes

    def as_dict(self) -> dict:
        return asdict(self)


def measure(
    model: TODMModel, out: Path, wavs: Sequence[str | Path], int8: bool = False, streaming: bool = False
) -> tuple[DeviceCost, list[str]]:
    """Export a model to `out`, decode audio files with it. Returns: its cost and the words of each file."""
    export(model, out, int8, streaming)
    return measure_deployed(open_folder(out), wavs)


def measure_deployed(deployed: Deployed, wavs: Sequence[str | Path]) -> tuple[DeviceCost, list[str]]:
    """Decode audio files with a folder that the client can run. Returns: its cost and the words of each file."""
    speeds = {}
    for threads in THREADS:
        found = run_client(deployed, wavs, threads)
        waited = [1000 * seconds for seconds in found.waited if seconds is not None]
        first = round(statistics.median(waited), 2) if waited else None
        peak = None if found.peak_bytes is None else round(found.peak_bytes / 1e6, 1)
        speeds[str(threads)] = Speed(round(found.real_time_factor, 5), first, peak)
    return DeviceCost(sum(Path(deployed.files[part]).stat().st_size for part in PARTS), speeds), found.texts
