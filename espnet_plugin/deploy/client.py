"""sherpa-onnx on an exported folder, which is looked through first."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnx

from espnet_plugin.audio.mono import read_mono
from espnet_plugin.common.files import read_text
from espnet_plugin.deploy.folder import check_sums
from espnet_plugin.deploy.sherpa import BPE_VOCAB, PARTS
from espnet_plugin.errors import UserError

FS = 16000
DECODER_METADATA = ("vocab_size", "context_size")
STREAM_METADATA = ("num_encoder_layers", "T", "decode_chunk_len", "rnn_hidden_size", "d_model")


@dataclass(frozen=True)
class Deployed:
    """A folder that the client can run.

    Args:
        files: arguments of the client.
        streaming: whether it is for streams.
        model_type: what the client takes the encoder of a stream for.
    """

    files: dict[str, str]
    streaming: bool
    model_type: str = "lstm"


@dataclass(frozen=True)
class Decoded:
    """What the client made of audio files.

    Args:
        texts: one a file.
        tokens, times: symbols of each and when they were emitted, s.
        heard: seconds of audio that the client had when the first token came, one a file, None for one without words.
        waited: seconds of computing from the last of that audio to the token: the latency of the first token.
        audio_seconds: of all files; seconds: taken to decode them, load_seconds: to load the model before.
        peak_bytes: growth of the client's resident memory from before loading to its peak, None where the system does not tell.
    """

    texts: list[str]
    tokens: list[list[str]]
    times: list[list[float]]
    heard: list[float | None]
    waited: list[float | None]
    audio_seconds: float
    seconds: float
    load_seconds: float
    peak_bytes: int | None

    @property
    def real_time_factor(self) -> float:
        """Seconds of computing a second of audio."""
        return self.seconds / self.audio_seconds


def metadata(path: Path) -> dict[str, str]:
    """Metadata of an ONNX file.

    Raises:
        UserError: not an ONNX file.
    """
    try:
        return {entry.key: entry.value for entry in onnx.load(path, load_external_data=False).metadata_props}
    except Exception as error:  # protobuf's error is not public
        raise UserError(f"'{path}' is not an ONNX file") from error


def need(path: Path, found: dict[str, str], keys: tuple[str, ...]) -> None:
    for key in keys:
        if not found.get(key, "").isdigit():
            raise UserError(f"'{path}': metadata '{key}' is '{found.get(key, '')}', must be a number")


def open_folder(folder: Path, size: str | None = None) -> Deployed:
    """Look through an exported folder. The client does not tell what it misses: it ends the process.

    Args:
        size: of a family (`family.export_family`), the name of one; None: the folder holds one size.

    Raises:
        UserError: sums, metadata, or number or encoding of tokens are wrong.
    """
    folder = Path(folder)
    check_sums(folder)
    files = {}
    for part in PARTS:
        names = [f"{part}.onnx", f"{part}.int8.onnx"] if size is None else [f"{part}-{size}.onnx"]
        found = [folder / name for name in names if (folder / name).is_file()]
        if not found:
            raise UserError(f"'{folder}' has no {' and no '.join(names)}")
        files[part] = found[0]
    encoder, decoder = metadata(files["encoder"]), metadata(files["decoder"])
    metadata(files["joiner"])
    need(files["decoder"], decoder, DECODER_METADATA)
    streaming = "model_type" in encoder
    if streaming:
        need(files["encoder"], encoder, STREAM_METADATA)
    tokens = folder / "tokens.txt"
    if not tokens.is_file():
        raise UserError(f"'{tokens}' does not exist")
    count = len(read_text(tokens).rstrip("\n").split("\n"))  # a token may be one that splitlines ends a line at
    if count != int(decoder["vocab_size"]):
        raise UserError(f"'{tokens}' has {count} tokens, the model has {decoder['vocab_size']}")
    return Deployed({part: str(path) for part, path in (files | {"tokens": tokens}).items()}, streaming)


def open_peer(folder: Path) -> Deployed:
    """Look through a folder with a transducer for sherpa-onnx that somebody else has exported, such as a zipformer.

    Raises:
        UserError: a part is missing, there are several of it, or it is no ONNX file.
    """
    files = {}
    for part in PARTS:
        found = sorted(Path(folder).glob(f"*{part}*.onnx"))
        if len(found) != 1:
            names = ", ".join(path.name for path in found) or "none"
            raise UserError(f"'{folder}': must hold one '*{part}*.onnx', has {names}")
        files[part] = str(found[0])
    if not (Path(folder) / "tokens.txt").is_file():
        raise UserError(f"'{folder}/tokens.txt' does not exist")
    encoder = metadata(Path(files["encoder"]))
    files["tokens"] = str(Path(folder) / "tokens.txt")
    return Deployed(files, "decode_chunk_len" in encoder, encoder.get("model_type", ""))


@dataclass(frozen=True)
class ClientSearch:
    """How the client searches: its greedy search with a beam of 1, its modified_beam_search with more.

    Args:
        beam_size: paths kept.
        hotwords_file: one phrase a line, words in the letters of the transcripts, ``:2.5`` behind them for a bonus of its own; needs the
            folder's bpe.vocab.
        hotwords_score: bonus a symbol where a line has none.
    """

    beam_size: int = 1
    hotwords_file: Path | None = None
    hotwords_score: float = 1.5

    def options(self, folder: Path) -> dict:
        """Arguments of the client's recognizer."""
        if self.beam_size == 1:
            return {}
        chosen = {"decoding_method": "modified_beam_search", "max_active_paths": self.beam_size}
        if self.hotwords_file is None:
            return chosen
        chosen |= {"hotwords_file": str(self.hotwords_file), "hotwords_score": self.hotwords_score}
        return chosen | {"modeling_unit": "bpe", "bpe_vocab": str(folder / BPE_VOCAB)}


def decode(
    folder: Path,
    wavs: Sequence[str | Path],
    threads: int = 1,
    size: str | None = None,
    search: ClientSearch = ClientSearch(),
) -> Decoded:
    """Decode audio files with sherpa-onnx, in a process of its own.

    Args:
        folder: what `sherpa.export` wrote.
        wavs: audio files, any sampling rate.
        threads: of ONNX Runtime.
        size: see `open_folder`.
        search: greedy by default.

    Raises:
        UserError: a file is wrong or missing, or the client ended without an answer.
    """
    return run_client(open_folder(folder, size), wavs, threads, search)


def run_client(
    deployed: Deployed, wavs: Sequence[str | Path], threads: int = 1, search: ClientSearch = ClientSearch()
) -> Decoded:
    """`decode` with a folder that was looked through."""
    folder = Path(deployed.files["encoder"]).parent
    if search.hotwords_file is not None:
        for path in (folder / BPE_VOCAB, search.hotwords_file):
            if not path.is_file():
                raise UserError(f"hotwords: '{path}' does not exist")
    audio = [read_mono(path, FS) for path in wavs]
    with tempfile.TemporaryDirectory() as temporary:
        arrays = Path(temporary) / "audio.npz"
        named = {str(i): samples for i, samples in enumerate(audio)}
        np.savez(arrays, **named)  # type: ignore[arg-type]  # numpy's allow_pickle is none of these names
        job = asdict(deployed) | {"threads": threads, "search": search.options(folder)}
        done = subprocess.run(
            [sys.executable, "-m", "espnet_plugin.deploy.client_process"],
            input=json.dumps(job | {"fs": FS, "audio": str(arrays)}),
            capture_output=True,
            text=True,
        )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise UserError(
            f"sherpa-onnx on '{Path(deployed.files['encoder']).parent}' ended with status {done.returncode}: {last}"
        )
    return Decoded(audio_seconds=sum(map(len, audio)) / FS, **json.loads(done.stdout.splitlines()[-1]))
