"""A lhotse cut manifest where a verb takes a Kaldi data directory."""

import atexit
import tempfile
from pathlib import Path
from typing import Any

from espnet_plugin.common.tables import check_key, one_spaced, write_table
from espnet_plugin.errors import UserError

ENDINGS = (".jsonl", ".jsonl.gz")
NEAR = 1e-3  # s, within which a cut is the whole recording


def name_of(path: Path) -> str:
    """Name of a data set: of its directory, or of its manifest without the ending."""
    return path.name.removesuffix(".gz").removesuffix(".jsonl")


def checked_id(name: object, what: str, place: str) -> str:
    """The id of a cut or a recording, which becomes a key of a table.

    Raises:
        UserError: it is empty, or holds white space or a character that nobody sees.
    """
    if str(name).split() != [name]:
        raise UserError(f"{place}: the id {name!r} of a {what} must be a text without white space")
    check_key(str(name), place)
    return str(name)


def kaldi_directory(path: Path, whole: bool = False) -> Path:
    """The directory itself, or for a cut manifest a temporary one with its wav.scp, segments and text, of the manifest's name.

    Args:
        whole: the reader takes whole recordings only.

    Raises:
        UserError: no such manifest, none of lhotse's, or a cut whose audio is not a file as it is; an id that is no key of a table, stands
            twice, or names two recordings.
    """
    if not path.name.endswith(ENDINGS):
        return path
    if not path.is_file():
        raise UserError(f"--data: '{path}' does not exist")
    from lhotse import CutSet

    place = f"--data: {path}"
    wavs: dict[str, str] = {}
    segments: dict[str, str] = {}
    texts: dict[str, str] = {}
    try:
        cuts = list(CutSet.from_jsonl_lazy(path))
    except Exception as error:  # whatever its reader may raise
        raise UserError(f"--data: '{path}' is not a manifest of lhotse's cuts: {error}") from error
    for cut in cuts:
        recording: Any = getattr(cut, "recording", None)
        sources = [] if recording is None or recording.transforms else recording.sources
        one = len(sources) == 1 and sources[0].type in ("file", "command") and "\n" not in str(sources[0].source)
        if not one:
            raise UserError(f"{place}: cut '{cut.id}' must be of one file or command in one line, without transforms")
        key, name = checked_id(cut.id, "cut", place), checked_id(recording.id, "recording", place)
        if key in segments:
            raise UserError(f"{place}: cut '{key}' stands twice")
        source = f"{sources[0].source} |" if sources[0].type == "command" else str(sources[0].source)
        if wavs.setdefault(name, source) != source:  # as where manifests were merged
            raise UserError(
                f"{place}: recording '{name}' is '{wavs[name]}' and '{source}', each must have an id of its own"
            )
        piece = cut.start > NEAR or abs(cut.duration - recording.duration) > NEAR
        if whole and (
            piece or (cut.channel if isinstance(cut.channel, list) else [cut.channel]) != recording.channel_ids
        ):
            raise UserError(f"{place}: cut '{key}' is a piece of its recording, here whole ones are needed")
        channel = f" {cut.channel}" if isinstance(cut.channel, int) and recording.num_channels > 1 else ""
        segments[key] = f"{name} {cut.start} {cut.end}{channel}"
        if spoken := one_spaced(" ".join(said.text for said in cut.supervisions if said.text)):
            texts[key] = spoken
    kept = tempfile.TemporaryDirectory(prefix="cuts.")
    atexit.register(kept.cleanup)
    folder = Path(kept.name, name_of(path))
    folder.mkdir()
    if whole:
        write_table(folder / "wav.scp", {key: wavs[piece.split()[0]] for key, piece in segments.items()})
    else:
        write_table(folder / "wav.scp", wavs)
        write_table(folder / "segments", segments)
    write_table(folder / "text", texts)
    return folder
