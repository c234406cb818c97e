"""Decodes with sherpa-onnx: a program of its own, since the client ends its process on a file that it does not like.

Reads a JSON object from standard input (see `client.decode`), prints one on the last line. Imports no torch, so that the memory it reports
is the client's.
"""

import json
import sys
import time

import numpy as np
import sherpa_onnx

PIECE = 0.1  # s of audio that a stream gets at a time
TAIL = 0.4  # s of silence behind a stream, without which the last frames would wait for a full chunk for ever


def memory(field: str) -> int | None:
    """Bytes of this process, VmRSS now or VmHWM at most so far; None where the system does not tell."""
    try:
        with open("/proc/self/status") as status:
            return next((1024 * int(line.split()[1]) for line in status if line.startswith(field)), None)
    except OSError:
        return None


class First:
    """When the first token of an utterance came: `heard` s of audio were given until then, the last of it `waited` s before."""

    def __init__(self):
        self.heard = self.waited = None

    def note(self, text: str, heard: float, given: float) -> None:
        """Args: text so far; s of audio so far; time at which the last of it was given."""
        if text and self.heard is None:
            self.heard, self.waited = heard, time.perf_counter() - given


def decode_offline(recognizer, audio: np.ndarray, fs: int, first: First) -> tuple[str, list[str], list[float]]:
    """Returns: text, symbols, their times (s)."""
    given = time.perf_counter()
    stream = recognizer.create_stream()
    stream.accept_waveform(fs, audio)
    recognizer.decode_stream(stream)
    first.note(stream.result.text, len(audio) / fs, given)
    return stream.result.text, stream.result.tokens, stream.result.timestamps


def decode_stream(recognizer, audio: np.ndarray, fs: int, first: First) -> tuple[str, list[str], list[float]]:
    """Returns: text, symbols, their times (s)."""
    stream = recognizer.create_stream()
    piece = int(PIECE * fs)
    pieces = [audio[start : start + piece] for start in range(0, len(audio), piece)]
    heard = 0.0
    for samples in [*pieces, np.zeros(int(TAIL * fs), dtype=np.float32)]:
        given, heard = time.perf_counter(), heard + len(samples) / fs
        stream.accept_waveform(fs, samples)
        while recognizer.is_ready(stream):
            recognizer.decode_stream(stream)
        first.note(recognizer.get_result(stream), heard, given)
    stream.input_finished()
    while recognizer.is_ready(stream):
        recognizer.decode_stream(stream)
    return recognizer.get_result(stream), recognizer.tokens(stream), recognizer.timestamps(stream)


def main() -> None:
    job = json.load(sys.stdin)
    fs = job["fs"]
    with np.load(job["audio"]) as arrays:
        audio = [arrays[str(i)] for i in range(len(arrays.files))]
    before = memory("VmRSS")
    began = time.perf_counter()
    if job["streaming"]:
        recognizer = sherpa_onnx.OnlineRecognizer.from_transducer(
            **job["files"], **job["search"], model_type=job["model_type"], num_threads=job["threads"]
        )
        decode = decode_stream
    else:
        recognizer = sherpa_onnx.OfflineRecognizer.from_transducer(
            **job["files"], **job["search"], model_type="transducer", num_threads=job["threads"]
        )
        decode = decode_offline
    loaded = time.perf_counter()
    firsts = [First() for _ in audio]
    results = [decode(recognizer, samples, fs, first) for samples, first in zip(audio, firsts)]
    done = time.perf_counter()
    peak = memory("VmHWM")
    texts, tokens, times = zip(*results) if results else ([], [], [])
    found = {"texts": texts, "tokens": tokens, "times": times, "load_seconds": loaded - began, "seconds": done - loaded}
    found |= {name: [getattr(first, name) for first in firsts] for name in ("heard", "waited")}
    print(json.dumps(found | {"peak_bytes": None if peak is None or before is None else peak - before}))


if __name__ == "__main__":
    main()
