"""Decoding of a Kaldi data directory with a model directory, and its options."""

import fcntl
import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, NamedTuple

import torch
from tqdm import tqdm

from espnet_plugin.asr.inference.answers import Entry, entry_of, write_answers
from espnet_plugin.asr.inference.data import BATCH_SECONDS
from espnet_plugin.asr.inference.loading import TrainedModel, load_model, model_dir_files
from espnet_plugin.asr.inference.longform import Answer, LongForm, Progress, streamed
from espnet_plugin.asr.inference.recognise import Recogniser
from espnet_plugin.asr.inference.search import SearchConf
from espnet_plugin.asr.inference.streaming import StreamLatency, check_streaming, look_ahead_ms
from espnet_plugin.audio.mono import MonoAudio
from espnet_plugin.audio.utterances import open_utterances, read_utterances
from espnet_plugin.audio.windows import WindowConf
from espnet_plugin.common.bounds import Bounds
from espnet_plugin.common.compose import read_yaml
from espnet_plugin.common.conf import build_conf, check_fields
from espnet_plugin.common.files import write_errors, write_text
from espnet_plugin.errors import UserError

type Answers = Callable[
    [Iterator[tuple[str, MonoAudio | UserError]], Progress], Iterator[tuple[str, Answer | UserError]]
]


@dataclass(frozen=True)
class DecodeConf(SearchConf):
    """Options of decoding: those of `SearchConf`, and how audio is taken.

    Args:
        batch_seconds: audio in a batch, s.
        chunk_ms: audio fed at a time with ``--streaming``, ms.
        window_seconds: longer audio is cut at pauses into windows of at most so many s, unless the model streams.

    Raises:
        UserError: a value that is not allowed.
    """

    batch_seconds: Annotated[float, BATCH_SECONDS] = 60.0
    chunk_ms: Annotated[int, Bounds(1, 3_600_000, why="an hour")] = 320
    window_seconds: float = WindowConf.longest

    def __post_init__(self):
        super().__post_init__()
        check_fields("", self)
        WindowConf.of(self.window_seconds)


def read_conf(path: Path | None, given: Mapping[str, Any] = MappingProxyType({})) -> DecodeConf:
    """Options of a YAML file, the defaults without one.

    Args:
        given: on the command line, which wins.

    Raises:
        UserError: no such file, no YAML, or a key or value that is not allowed.
    """
    if path is None:
        return DecodeConf(**given)
    values = read_yaml(path)
    try:
        return build_conf("", DecodeConf, {**values, **given})
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def check_streamed(conf: DecodeConf) -> None:
    """Raise a `UserError` for a search that does not go on from chunk to chunk."""
    if conf.beam_size > 1:
        raise UserError(f"beam_size: {conf.beam_size} must be 1 with --streaming true, which searches greedily")


def streams(recogniser: Recogniser, chunk_ms: int) -> Answers:
    """What feeds each utterance in chunks, as it would come from a microphone.

    Raises:
        UserError: the model needs whole utterances.
    """
    check_streaming(recogniser.model)

    def answers(audio, progress):
        for key, heard in audio:
            yield key, heard if isinstance(heard, UserError) else streamed(recogniser, heard, chunk_ms / 1000, progress)

    return answers


class Opened(NamedTuple):
    """A model that is ready. Args: trained; answers: what answers to audio; latency: of a stream."""

    trained: TrainedModel
    answers: Answers
    latency: StreamLatency | None


def open_model(model_dir: Path, conf: DecodeConf, streaming: bool) -> Opened:
    """Load a model directory.

    Args:
        streaming: see `streams`; greedy search.

    Raises:
        UserError: no model, or with `streaming` one that needs whole utterances or another search; see `search_of`.
    """
    config, checkpoint = model_dir_files(model_dir)
    trained = load_model(config, checkpoint)
    if streaming:
        check_streamed(conf)
        answers = streams(Recogniser(trained), conf.chunk_ms)
        return Opened(trained, answers, StreamLatency(conf.chunk_ms, look_ahead_ms(trained.model)))
    answers = LongForm(Recogniser(trained, conf), WindowConf.of(conf.window_seconds), conf.batch_seconds)
    return Opened(trained, answers, None)


@dataclass(frozen=True)
class DecodeJob:
    """A data directory to decode. Args: number: of the job, from 0; out: folder to write to; the others as in `open_model`."""

    number: int
    model_dir: Path
    data: Path
    out: Path
    conf: DecodeConf
    streaming: bool


@dataclass(frozen=True)
class DecodedSet:
    """What became of a data directory. Args: said: lines for the user; rejected: utterances that could not be used."""

    said: str
    rejected: int


class Journal:
    """Answers so far, so that decoding that was stopped goes on.

    Args:
        path: of the file, a JSON object a line; the first one holds the sum of all that answers depend on.
        sum: of what they depend on now; answers that depend on something else are dropped.

    Attributes:
        answers: by utterance.
        broken: lines that hold no answer, as after two programs wrote at once; a last line that was cut off is not counted.
    """

    def __init__(self, path: Path, sum: str):
        self.path, self.broken = path, 0
        self.answers: dict[str, list[Entry]] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = path.read_bytes().split(b"\n")[:-1] if path.is_file() else []  # the last one may be cut
        if lines[:1] == [json.dumps({"sum": sum}).encode()]:
            for line in lines[1:]:
                found = answers_in(line)
                self.answers |= found
                self.broken += not found
        entries = ({"sum": sum}, *({key: answer} for key, answer in self.answers.items()))
        write_text(path, "".join(json.dumps(entry) + "\n" for entry in entries))

    def add(self, key: str, answers: list[Entry]) -> None:
        self.answers[key] = answers
        with write_errors(self.path), open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps({key: answers}) + "\n")


def answers_in(line: bytes) -> dict[str, list[Entry]]:
    """The utterance of a line of a journal and its answers; nothing of a broken line."""
    try:
        ((key, entries),) = json.loads(line).items()
        return {key: entries} if all({"text", "words"} <= entry.keys() for entry in entries) and entries else {}
    except (ValueError, AttributeError, TypeError):
        return {}


def sum_of(job: DecodeJob) -> str:
    """Of all that the answers of a job depend on: model, data, options and the files that they name.

    Small files are read; of weights and n-grams, which are large, the size and the time of the last change stand for what is in them.
    """
    config, checkpoint = model_dir_files(job.model_dir)
    lm_config, lm_file = job.conf.lm_files or (None, None)
    small = (config, job.data / "wav.scp", job.data / "segments", job.conf.hotwords_file, lm_config)
    large = (checkpoint, job.conf.ngram_file, lm_file)
    texts = [hashlib.sha256(Path(path).read_bytes()).digest() for path in small if path and Path(path).is_file()]
    states = [(str(path), state.st_size, state.st_mtime_ns) for path in large if path for state in (Path(path).stat(),)]
    return hashlib.sha256(repr((job.conf, job.streaming, texts, states)).encode()).hexdigest()


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """While this process decodes into a folder, which is made; file systems that lock no folders hinder nobody.

    Raises:
        UserError: another one does.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(f"--out: another decoding is at work in '{folder}', must end first") from error
        except OSError:  # as NFS, which locks for writing alone
            pass
        yield
    finally:
        os.close(lock)


def decode_set(job: DecodeJob) -> DecodedSet:
    """Decode one data directory with one model.

    Writes into the job's folder what `write_answers` does; rejected.txt with what could not be used and why, where there is any;
    latency.json of a stream. What was answered when decoding was stopped is in unfinished.jsonl and not decoded again.

    Raises:
        UserError: see `open_model`, `read_utterances`, `alone_in`.
    """
    torch.set_num_threads(1)
    recordings, segments, rejected = read_utterances(job.data)
    trained, answers, latency = open_model(job.model_dir, job.conf, job.streaming)
    with alone_in(job.out):
        journal = Journal(job.out / "unfinished.jsonl", sum_of(job))
        found = {key: entries for key, entries in journal.answers.items() if key in segments}
        notes: Counter[str] = Counter()
        named: dict[str, str] = {}
        todo = {key: segment for key, segment in segments.items() if key not in found}
        before = len(found)
        bar = partial(
            tqdm, desc=f"{job.model_dir.name} {job.data.name}", unit="utt", disable=None, leave=False, mininterval=1
        )
        with bar(total=len(segments), initial=before, position=job.number + 1) as shown:
            for key, answer in answers(open_utterances(recordings, todo, trained.fs), lambda seconds: None):
                if isinstance(answer, UserError):
                    rejected[key] = str(answer)
                else:
                    found[key] = [entry_of(one, trained.model.token_list) for one in answer.best]
                    journal.add(key, found[key])
                    notes.update(answer.notes)
                    named |= {note: key for note in answer.notes if note not in named}
                shown.update()
        write_answers(job.out, found, job.conf.nbest)
        said = [
            f"{job.out / 'text'}: {len(found)} utterances" + (f", {before} of them decoded before" if before else "")
        ]
        if journal.broken:
            said.append(
                f"  {journal.broken} broken lines of {journal.path.name} were left out, their utterances decoded again"
            )
        said += [f"  {count} utterances ('{named[note]}' ...): {note}" for note, count in notes.items()]
        write_or_drop(job.out / "rejected.txt", "".join(f"{key}\t{rejected[key]}\n" for key in sorted(rejected)))
        write_or_drop(job.out / "latency.json", "" if latency is None else json.dumps(latency.as_dict()) + "\n")
        journal.path.unlink(missing_ok=True)
        if latency is not None:
            said[0] += f", latency at most {latency.most_ms:g} ms of audio"
        if rejected:
            first = min(rejected)
            said.append(f"  {len(rejected)} left out, see {job.out}/rejected.txt: '{first}' because: {rejected[first]}")
        return DecodedSet("\n".join(said), len(rejected))


def write_or_drop(path: Path, text: str) -> None:
    """Write a file whole; without a text there is none."""
    if text:
        write_text(path, text)
    else:
        path.unlink(missing_ok=True)
