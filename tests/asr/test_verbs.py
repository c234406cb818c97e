"""``decode`` and ``transcribe`` as users call them."""

import io
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch
from tiny import arguments, build

from espnet_plugin.asr.inference import decode as decoding
from espnet_plugin.asr.inference.answers import write_answers
from espnet_plugin.asr.inference.extract import write_model_dir
from espnet_plugin.asr.inference.loading import TrainedModel
from espnet_plugin.bin import decode, transcribe
from espnet_plugin.common.tables import read_table
from espnet_plugin.errors import UserError

FS = 16000


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory):
    model = build(3).eval().requires_grad_(False)
    model.joint_network.lin_out.bias[:] = torch.tensor([0.0, -99, 1, 0, 0, 1, -99])
    out = tmp_path_factory.mktemp("models") / "max"
    write_model_dir(TrainedModel(model, arguments()), model.search_space.max, out)
    return out


@pytest.fixture
def data(tmp_path):
    """A directory that was never formatted: segments, a pipe, 8 kHz, a file that is none."""
    folder, rng = tmp_path / "set", np.random.default_rng(0)
    folder.mkdir()
    for name, fs in (("wide", FS), ("narrow", 8000)):
        soundfile.write(folder / f"{name}.wav", 0.1 * rng.standard_normal(2 * fs), fs)
    (folder / "wav.scp").write_text(f"r0 cat {folder}/wide.wav |\nr1 {folder}/none.wav\nr2 {folder}/narrow.wav\n")
    (folder / "segments").write_text("a r0 0 0.5\nb r0 0.5 1.5\nc r1 0 1\nd r2 1 2\n")
    return folder


def run_decode(*words):
    decode.main([*map(str, words)])


def test_decode_skips_what_is_bad_and_says_so(model_dir, data, tmp_path, capfd):
    with pytest.raises(UserError, match="1 utterances could not be decoded"):
        run_decode("--model_dir", model_dir, "--data", data, "--out", tmp_path / "out")
    found = read_table(tmp_path / "out" / "set" / "text")
    assert list(found) == ["a", "b", "d"] and all(found.values())
    assert "none.wav' does not exist" in (tmp_path / "out" / "set" / "rejected.txt").read_text()
    said = capfd.readouterr().out
    assert "3 utterances" in said and "1 utterances ('d' ...): sampled at 8000 Hz" in said
    assert sorted(os.listdir(tmp_path / "out" / "set")) == ["ctm", "rejected.txt", "text"]
    (data / "segments").write_text("a r0 0 0.5\nb r0 0.5 1.5\n")
    run_decode("--model_dir", model_dir, "--data", data)
    assert read_table(model_dir / "decode" / "set" / "text") == {key: found[key] for key in "ab"}


def test_decoding_that_was_stopped_goes_on(model_dir, data, tmp_path, monkeypatch):
    class StoppedError(Exception):
        pass

    add, decoded = decoding.Journal.add, []

    def stop(journal, key, text):
        if len(journal.answers) == 2:
            raise StoppedError
        add(journal, key, text)

    def job():
        return decoding.DecodeJob(0, model_dir, data, tmp_path / "out", decoding.DecodeConf(batch_seconds=1e-3), False)

    monkeypatch.setattr(decoding.Journal, "add", stop)
    with pytest.raises(StoppedError):
        decoding.decode_set(job())
    unfinished = tmp_path / "out" / "unfinished.jsonl"
    unfinished.write_text(unfinished.read_text() + '{"d": "cut of')
    monkeypatch.setattr(
        decoding.Journal, "add", lambda journal, key, text: (decoded.append(key), add(journal, key, text))
    )
    said = decoding.decode_set(job()).said
    assert decoded == ["d"] and "3 utterances, 2 of them decoded before" in said
    assert list(read_table(tmp_path / "out" / "text")) == ["a", "b", "d"] and not unfinished.exists()
    unfinished.write_text(json.dumps({"sum": "of another model"}) + '\n{"a": "SAID BY ANOTHER"}\n')
    decoding.decode_set(job())
    assert decoded == ["d", "a", "b", "d"]


def test_one_decoding_at_a_time_is_at_work_in_a_folder(model_dir, data, tmp_path, monkeypatch):
    """A second one is refused until the first ends, which a kill does too; others are not hindered."""
    job = decoding.DecodeJob(0, model_dir, data, tmp_path / "out", decoding.DecodeConf(), False)
    job.out.mkdir()
    hold = (
        "import fcntl, os, sys; fcntl.flock(os.open(sys.argv[1], 0), fcntl.LOCK_EX); print('held', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold, job.out], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(UserError, match=f"another decoding is at work in '{job.out}', must end first"):
            decoding.decode_set(job)
        assert os.listdir(job.out) == []
        decoding.decode_set(replace(job, out=tmp_path / "beside"))
        other.kill()
    decoding.decode_set(job)
    assert sorted(os.listdir(job.out)) == ["ctm", "rejected.txt", "text"]

    def write_and_begin_another(*given):
        with pytest.raises(UserError, match="another decoding"):
            decoding.decode_set(job)
        (job.out / "unfinished.jsonl").unlink()  # by somebody who tidies up
        write_answers(*given)

    monkeypatch.setattr(decoding, "write_answers", write_and_begin_another)
    decoding.decode_set(job)


def test_answers_of_other_hotwords_or_language_models_are_not_kept(model_dir, data, tmp_path):
    """Files of the same names with other content: the sum that a journal begins with changes."""
    names = ("hotwords_file", "lm_train_config", "lm_file", "ngram_file")
    for name in names:
        (tmp_path / name).write_text("ONE\n")
    job = decoding.DecodeJob(0, model_dir, data, tmp_path / "out", decoding.DecodeConf(beam_size=2), False)
    job = replace(job, conf=replace(job.conf, **{name: str(tmp_path / name) for name in names}))
    sums = [decoding.sum_of(job), decoding.sum_of(job)]
    for name in names:
        (tmp_path / name).write_text("OTHER\n")
        sums.append(decoding.sum_of(job))
    beside = replace(job, conf=replace(job.conf, lm_train_config=None))
    for word in ("A", "B"):
        (tmp_path / "config.yaml").write_text(word)
        sums.append(decoding.sum_of(beside))
    assert sums[0] == sums[1] and len(set(sums)) == len(sums) - 1


def test_broken_lines_of_what_was_answered_are_decoded_again(model_dir, data, tmp_path):
    job = decoding.DecodeJob(0, model_dir, data, tmp_path / "out", decoding.DecodeConf(), False)
    journal = decoding.Journal(job.out / "unfinished.jsonl", decoding.sum_of(job))
    kept = dict(text="KEPT", token="", token_int="", score="0", words=[["KEPT", 0, 1, 1]])
    journal.add("a", [kept])
    with journal.path.open("ab") as file:
        file.write(b'{"b": [{"te{"c": []}\n[1]\n{"b": "TEXT"}\n{"b": []}\n{"b": [{"text": "\xff\n')
    journal.add("d", [kept])
    said = decoding.decode_set(job).said
    found = read_table(job.out / "text")
    assert (found["a"], found["d"]) == ("KEPT", "KEPT") and found["b"] != "KEPT"
    assert "3 utterances, 2 of them decoded before" in said and "5 broken lines of unfinished.jsonl" in said


def test_stopping_while_the_answers_are_taken_over_loses_none(tmp_path, monkeypatch):
    """Ctrl-C before each of the lines that are written in turn."""
    path, answer = tmp_path / "unfinished.jsonl", [dict(text="KEPT", words=[])]
    decoding.Journal(path, "sum").add("a", answer)
    dumps, calls = json.dumps, iter(())

    def stopping(value):
        if next(calls):
            raise KeyboardInterrupt
        return dumps(value)

    for last in range(3):  # the sum that is compared, the sum and the answer that are written
        with monkeypatch.context() as patched:
            patched.setattr(decoding.json, "dumps", stopping)
            calls = iter([False] * last + [True])
            with pytest.raises(KeyboardInterrupt):
                decoding.Journal(path, "sum")
        assert decoding.Journal(path, "sum").answers == {"a": answer}


def test_decode_overwrites_nothing_unnoticed(model_dir, data, tmp_path):
    with pytest.raises(UserError, match="would both be written to"):
        run_decode("--model_dir", model_dir, "--data", data, data)
    (data / "wav.scp").write_text("r0 a.wav\nr0 b.wav\n")
    with pytest.raises(UserError, match="key 'r0' stands twice"):
        run_decode("--model_dir", model_dir, "--data", data)


def test_transcribe_reads_files_folders_and_standard_input(model_dir, data, tmp_path, capsys, monkeypatch):
    with pytest.raises(UserError, match="1 of 3 files could not be transcribed"):
        transcribe.main([*map(str, (model_dir, data, tmp_path / "none.wav"))])
    said = capsys.readouterr()
    rows = dict(line.split("\t") for line in said.out.splitlines())
    assert list(rows) == [f"{data}/narrow.wav", f"{data}/wide.wav"] and all(rows.values())
    assert "none.wav' does not exist" in said.err and "narrow.wav: sampled at 8000 Hz" in said.err
    wide = str(data / "wide.wav")
    transcribe.main([str(model_dir), wide, wide])
    assert capsys.readouterr().out == 2 * f"{wide}\t{rows[wide]}\n"
    monkeypatch.setattr(sys, "stdin", type("", (), {"buffer": io.BytesIO((data / "wide.wav").read_bytes())}))
    transcribe.main([str(model_dir), "-", "--format", "json"])
    found = json.loads(capsys.readouterr().out)
    assert (found["audio"], found["seconds"], found["text"]) == ("-", 2.0, rows[f"{data}/wide.wav"])
    transcribe.main([*map(str, (model_dir, data, "--format", "vtt", "--out", tmp_path / "out"))])
    assert (tmp_path / "out" / "wide.vtt").read_text().startswith("WEBVTT\n\n00:00:00.0")
    assert sorted(os.listdir(tmp_path / "out")) == ["narrow.vtt", "wide.vtt"]


def test_transcribe_reads_files_whose_names_are_not_utf_8(model_dir, data, tmp_path, capfd):
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in (b"caf\xe9.wav", b"z.wav"):
        shutil.copyfile(data / "wide.wav", os.fsencode(folder) + b"/" + name)
    for format in ("text", "json"):
        transcribe.main([str(model_dir), str(folder), "--format", format])
        first, second = capfd.readouterr().out.splitlines()
        assert "caf\\udce9.wav" in (json.loads(first)["audio"] if format == "json" else first) and "z.wav" in second
    transcribe.main([*map(str, (model_dir, folder, "--format", "json", "--out", tmp_path / "out"))])
    assert sorted(os.listdir(os.fsencode(tmp_path / "out"))) == [b"caf\xe9.json", b"z.json"]


def test_transcribe_tells_what_cannot_be(model_dir, data, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "wide.flac").write_text("")
    wide = data / "wide.wav"
    for words, said in (
        ((tmp_path / "empty",), "has no audio file"),
        ((data, "--format", "srt"), "--format srt: is for one file, there are 2"),
        ((wide, tmp_path / "wide.flac", "--out", tmp_path), "would both be written to"),
        ((wide, "--window", "0"), "window_seconds: 0.0 must be"),
        ((wide, "--batch_seconds", "nan"), "--batch_seconds: nan must be"),
        ((tmp_path / "wide.flac",), "wide.flac' is not audio"),
    ):
        with pytest.raises(UserError, match=said):
            transcribe.main([*map(str, (model_dir, *words))])
