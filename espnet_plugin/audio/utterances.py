"""The utterances of a Kaldi data directory, as formatting and decoding read them: wav.scp, and segments where there are any."""

from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path

from espnet_plugin.audio.mono import MonoAudio
from espnet_plugin.audio.source import Recording
from espnet_plugin.common.tables import Segment, read_segments, read_table
from espnet_plugin.errors import UserError


def read_utterances(folder: Path) -> tuple[dict[str, str], dict[str, Segment], dict[str, str]]:
    """Recordings and what is cut out of them.

    Returns:
        recording -> source; utterance -> segment, those of a recording one after the other; utterance -> reason for those whose recording
        is missing.

    Raises:
        UserError: see `read_table`, `read_segments`.
    """
    recordings = read_table(folder / "wav.scp")
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
