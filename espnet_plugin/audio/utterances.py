"""The utterances of a Kaldi data directory, as formatting and decoding read them: wav.scp, and segments where there are any."""

from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path

from espnet_plugin.audio.mono import MonoAudio
from espnet_plugin.audio.source import Recording
from espnet_plugin.common.tables import Segment, read_segments, read_table
from espnet_plugin.errors import UserError


def read_recordings(folder: Path) -> dict[str, str]:
    """Recording -> source, of wav.scp.

    Raises:
        UserError: see `read_table`; there is no recording, or one without a source.
    """
    path = folder / "wav.scp"
    recordings = read_table(path)
    if not recordings:
        raise UserError(f"'{path}' has no recording, must have lines 'name path'")
    for name, source in recordings.items():
        if not source:
            raise UserError(f"'{path}': '{name}' has no path, must be a line 'name path'")
    return recordings


def whole_recordings(folder: Path) -> dict[str, str]:
    """Utterance -> source, of a directory whose utterances are whole recordings.

    Raises:
        UserError: see `read_recordings`; or the directory has segments.
    """
    if (folder / "segments").is_file():
        raise UserError(
            f"'{folder / 'segments'}' cuts recordings, here whole ones are needed, as stage 3 of the recipe makes them"
        )
    return read_recordings(folder)


def read_utterances(folder: Path) -> tuple[dict[str, str], dict[str, Segment], dict[str, str]]:
    """Recordings and what is cut out of them.

    Returns:
        recording -> source; utterance -> segment, those of a recording one after the other; utterance -> reason for those whose recording
        is missing.

    Raises:
        UserError: see `read_recordings`, `read_segments`.
    """
    recordings = read_recordings(folder)
    if not (folder / "segments").is_file():
        return recordings, {key: Segment(key) for key in recordings}, {}
    segments = read_segments(folder / "segments")
    lost = {
        key: f"no recording '{segment.recording}' in wav.scp"
        for key, segment in segments.items()
        if segment.recording not in recordings
    }
    order = {recording: place for place, recording in enumerate(recordings)}
    kept = sorted(
        segments.keys() - lost.keys(), key=lambda key: (order[segments[key].recording], segments[key].start, key)
    )
    return recordings, {key: segments[key] for key in kept}, lost


def open_utterances(
    recordings: Mapping[str, str], segments: Mapping[str, Segment], fs: int
) -> Iterator[tuple[str, MonoAudio | UserError]]:
    """Utterances one after the other, each recording opened once; one that cannot be used comes as the reason why.

    What is handed out is good until the next one is asked for.
    """
    for recording, group in groupby(segments.items(), key=lambda item: item[1].recording):
        pieces = dict(group)
        try:
            opened = Recording(recordings[recording])
        except UserError as error:
            yield from ((key, error) for key in pieces)
            continue
        with opened:
            for key, piece in pieces.items():
                try:
                    audio: MonoAudio | UserError = MonoAudio(opened, fs, piece.start, piece.end, piece.channel)
                except UserError as error:
                    audio = error
                yield key, audio
