"""Decoding of a Kaldi data directory with a model directory, and its options."""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from espnet_plugin.asr.inference.data import batches
from espnet_plugin.asr.inference.loading import load_model, model_dir_files
from espnet_plugin.asr.inference.recognise import Recogniser
from espnet_plugin.asr.inference.search import SearchConf
from espnet_plugin.asr.inference.streaming import StreamLatency, check_streaming, look_ahead_ms, streamed
from espnet_plugin.common.compose import read_yaml
from espnet_plugin.common.conf import build_conf
from espnet_plugin.common.files import write_whole
from espnet_plugin.common.tables import read_table, write_table
from espnet_plugin.errors import UserError


@dataclass(frozen=True)
class DecodeConf(SearchConf):
    """Options of decoding: those of `SearchConf`, and how audio is taken.

    Args:
        batch_seconds: audio in a batch, s.
        chunk_ms: audio fed at a time with ``--streaming``, ms.

    Raises:
        UserError: a value that is not allowed.
    """

    batch_seconds: float = 60.0
    chunk_ms: int = 320

    def __post_init__(self):
        super().__post_init__()
        if not 0 < self.batch_seconds < math.inf:
            raise UserError(f"batch_seconds: {self.batch_seconds} must be finite and above 0 s")
        if self.chunk_ms < 1:
            raise UserError(f"chunk_ms: {self.chunk_ms} must be at least 1 ms")


def read_conf(path: Path | None) -> DecodeConf:
    """Options of a YAML file, the defaults without one.

    Raises:
        UserError: no such file, no YAML, or a key or value that is not allowed.
    """
    if path is None:
        return DecodeConf()
    values = read_yaml(path)
    try:
        return build_conf("", DecodeConf, values)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def searcher(model_dir: Path, conf: DecodeConf, streaming: bool) -> tuple[Callable, int, StreamLatency | None]:
    """Load a model directory.

    Args:
        streaming: feed each file in chunks, as it would come from a microphone; greedy search.

    Returns:
        what makes words of an `AudioBatch`, the sampling rate (Hz), and with `streaming` its latency.

    Raises:
        UserError: no model, or with `streaming` one that needs whole utterances.
    """
    config, checkpoint = model_dir_files(model_dir)
    trained = load_model(config, checkpoint)
    model, fs = trained.model, trained.fs
    if streaming:
        check_streaming(model)
        latency = StreamLatency(conf.chunk_ms, look_ahead_ms(model))
        return lambda batch: streamed(model, batch, fs, conf.chunk_ms), fs, latency
    recogniser = Recogniser(trained, conf)
    return lambda batch: {key: found[0].text for key, found in recogniser(batch).items()}, fs, None


def decode_set(job: tuple[Path, Path, DecodeConf, bool]) -> str:
    """Decode one data directory with one model; write MODEL_DIR/decode/SET/text, and latency.json of a stream.

    Returns:
        a line that says so.

    Raises:
        UserError: see `searcher`; a file cannot be read.
    """
    model_dir, data, conf, streaming = job
    torch.set_num_threads(1)
    paths = read_table(data / "wav.scp")
    search, fs, latency = searcher(model_dir, conf, streaming)
    found = {}
    for batch in batches(paths, fs, conf.batch_seconds):
        found |= search(batch)
    out = model_dir / "decode" / data.name / "text"
    write_whole(out, lambda path: write_table(path, found))
    said, latency_file = f"{out}: {len(found)} utterances", out.with_name("latency.json")
    if latency is None:
        latency_file.unlink(missing_ok=True)
        return said
    write_whole(latency_file, lambda path: path.write_text(json.dumps(latency.as_dict()) + "\n"))
    return f"{said}, latency at most {latency.most_ms:g} ms of audio"
