"""A lhotse cut manifest where a verb takes a Kaldi data directory."""

import atexit
import tempfile
from pathlib import Path
from typing import Any

from espnet_plugin.common.tables import write_table
from espnet_plugin.errors import UserError

ENDINGS = (".jsonl", ".jsonl.gz")
NEAR = 1e-3  # s, within which a cut is the whole recording


def name_of(path: Path) -> str:
    """Name of a data set: of its directory, or of its manifest without the ending."""
    return path.name.removesuffix(".gz").removesuffix(".jsonl")


def kaldi_directory(path: Path, whole: bool = False) -> Path:
    """The directory itself, or for a cut manifest a temporary one with its wav.scp, segments and text, of the manifest's name.

    Args:
        whole: the reader takes whole recordings only.

    Raises:
        UserError: no such manifest, none of lhotse's, or a cut whose audio is not a file as it is.
    """
    if not path.name.endswith(ENDINGS):
        return path
    if not path.is_file():
        raise UserError(f"--data: '{path}' does not exist")
    from lhotse import CutSet

    wavs, segments, texts = {}, {}, {}
    try:
        cuts = list(CutSet.from_jsonl_lazy(path))
    except Exception as error:  # whatever its reader may raise
        raise UserError(f"--data: '{path}' is not a manifest of lhotse's cuts: {error}") from error
    for cut in cuts:
        recording: Any = getattr(cut, "recording", None)
        sources = [] if recording is None or recording.transforms else recording.sources
        if len(sources) != 1 or sources[0].type not in ("file", "command"):
            raise UserError(f"--data: {path}: cut '{cut.id}' must be of one file or command, without transforms")
        pipe = sources[0].type == "command"
        wavs[recording.id] = f"{sources[0].source} |" if pipe else sources[0].source
        if whole and (cut.start > NEAR or abs(cut.duration - recording.duration) > NEAR or cut.channel != 0):
            raise UserError(f"--data: {path}: cut '{cut.id}' is a piece of its recording, here whole ones are needed")
        channel = f" {cut.channel}" if isinstance(cut.channel, int) and recording.num_channels > 1 else ""
        segments[cut.id] = f"{recording.id} {cut.start} {cut.end}{channel}"
        spoken = [one.text for one in cut.supervisions if one.text]
        if spoken:
            texts[cut.id] = " ".join(spoken)
    kept = tempfile.TemporaryDirectory(prefix="cuts.")
    atexit.register(kept.cleanup)
    folder = Path(kept.name, name_of(path))
    folder.mkdir()
    if whole:
        write_table(folder / "wav.scp", {key: wavs[place.split()[0]] for key, place in segments.items()})
    else:
        write_table(folder / "wav.scp", wavs)
        write_table(folder / "segments", segments)
    write_table(folder / "text", texts)
    return folder
