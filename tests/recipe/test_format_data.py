import json
import random
import zlib
from pathlib import Path

import numpy as np
import soundfile

from espnet_plugin.common.tables import read_table


def tone(seconds: float, fs: int) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * fs)) / fs)


def data_directory(folder: Path, waves: dict[str, object], text: dict[str, str], segments: str = "") -> Path:
    folder.mkdir()
    (folder / "wav.scp").write_text("".join(f"{key} {source}\n" for key, source in waves.items()))
    (folder / "text").write_text("".join(f"{key} {words}\n" for key, words in text.items()))
    if segments:
        (folder / "segments").write_text(segments)
    return folder


def test_what_is_right_passes_and_the_rest_is_converted(tmp_path, run_script):
    soundfile.write(tmp_path / "right.flac", tone(1, 16000), 16000)
    soundfile.write(tmp_path / "slow.wav", tone(1, 8000), 8000)
    soundfile.write(tmp_path / "stereo.wav", np.stack([tone(1, 16000), np.zeros(16000)], axis=1), 16000)
    soundfile.write(tmp_path / "float.wav", tone(1, 16000), 16000, subtype="FLOAT")
    waves = {
        "b/right": tmp_path / "right.flac",
        "slow": tmp_path / "slow.wav",
        "a/stereo": tmp_path / "stereo.wav",
        "float": tmp_path / "float.wav",
        "piped": f"cat {tmp_path / 'slow.wav'} |",
    }
    data = data_directory(tmp_path / "data", waves, {key: "HELLO" for key in waves})
    done = run_script("format_data", "--data", data, "--out", tmp_path / "raw")
    assert done.returncode == 0, done.stderr
    paths = read_table(tmp_path / "raw/wav.scp")
    assert list(paths) == sorted(waves)
    assert paths["b/right"] == str(tmp_path / "right.flac")
    for key, path in paths.items():
        wave, fs = soundfile.read(path)
        assert fs == 16000 and wave.shape == (16000,), key
        expected = tone(1, 16000) * (0.5 if key == "a/stereo" else 1)
        assert np.abs(wave - expected)[200:-200].max() < 1e-3, key
    assert set(read_table(tmp_path / "raw/utt2num_samples").values()) == {"16000"}
    assert read_table(tmp_path / "raw/utt2spk") == {key: key for key in waves}
    sums = read_table(tmp_path / "raw/utt2crc")
    assert sums["slow"] == sums["piped"] != sums["float"] and list(sums) == list(paths)
    samples = soundfile.read(tmp_path / "right.flac", dtype="float32")[0]
    assert sums["b/right"] == f"{zlib.crc32(samples):08x}"
    assert (tmp_path / "raw/feats_type").read_text() == "raw\n"
    assert (tmp_path / "raw/rejected.txt").read_text() == ""


def test_unusable_utterances_are_listed_with_the_reason(tmp_path, run_script):
    for name, seconds in (("good", 1.0), ("short", 0.05), ("long", 3.0), ("empty", 0.0)):
        soundfile.write(tmp_path / f"{name}.wav", tone(seconds, 16000), 16000)
    soundfile.write(tmp_path / "whole.flac", tone(2, 16000), 16000)
    encoded = (tmp_path / "whole.flac").read_bytes()
    (tmp_path / "cutoff.flac").write_bytes(encoded[: len(encoded) // 2])
    damaged = bytearray(encoded)
    damaged[len(encoded) // 2 : len(encoded) // 2 + 500] = bytes(500)
    (tmp_path / "damaged.flac").write_bytes(damaged)
    (tmp_path / "garbage.wav").write_bytes(random.Random(0).randbytes(5000))
    soundfile.write(tmp_path / "nan.wav", np.full(16000, np.nan), 16000, subtype="FLOAT")
    names = ("good", "short", "long", "empty", "garbage", "nan", "absent")
    waves = {name: tmp_path / f"{name}.wav" for name in names} | {
        "cutoff": tmp_path / "cutoff.flac",
        "damaged": tmp_path / "damaged.flac",
        "command": "false |",
        "silent": tmp_path / "good.wav",
        "untold": tmp_path / "good.wav",
    }
    text = {key: "HELLO" for key in waves if key != "untold"} | {"silent": "", "unheard": "HELLO"}
    data = data_directory(tmp_path / "data", waves, text)
    done = run_script("format_data", "--data", data, "--out", tmp_path / "raw", "--max_duration", 2.5)
    assert done.returncode == 0, done.stderr
    assert "1 utterances" in done.stdout and "12 left out" in done.stdout
    assert read_table(tmp_path / "raw/text") == {"good": "HELLO"}
    rejected = dict(line.split("\t") for line in (tmp_path / "raw/rejected.txt").read_text().splitlines())
    assert rejected == {
        "absent": f"audio '{tmp_path}/absent.wav' does not exist",
        "command": "command failed with status 1: false |",
        "cutoff": f"audio '{tmp_path}/cutoff.flac' is damaged after 0.000 s",
        "damaged": f"audio '{tmp_path}/damaged.flac' is damaged after 0.000 s",
        "empty": f"audio '{tmp_path}/empty.wav' has no samples",
        "garbage": f"audio '{tmp_path}/garbage.wav' is not audio that libsndfile or FFmpeg reads",
        "long": "3.000 s, allowed are 0.1 to 2.5 s",
        "nan": f"audio '{tmp_path}/nan.wav' has samples that are infinite or no numbers",
        "short": "0.050 s, allowed are 0.1 to 2.5 s",
        "silent": "empty transcript",
        "unheard": "no audio",
        "untold": "no transcript",
    }


def test_segments_are_cut(tmp_path, run_script):
    wave = np.concatenate([np.linspace(0, level, 8000) for level in (0.1, 0.2, 0.3, 0.4)])
    soundfile.write(tmp_path / "talk.wav", wave, 8000)
    segments = "u1 talk 0.5 1.5\nu2 talk 3.5 -1\nu3 talk 3 9\nu4 other 0 1\nu5 talk 2 1\nu6 talk 3.5 4.2\n"
    data = data_directory(
        tmp_path / "data", {"talk": tmp_path / "talk.wav"}, {f"u{n}": "HI" for n in range(1, 7)}, segments
    )
    done = run_script("format_data", "--data", data, "--out", tmp_path / "raw", "--fs", 8000)
    assert done.returncode == 0, done.stderr
    cut = {key: soundfile.read(path)[0] for key, path in read_table(tmp_path / "raw/wav.scp").items()}
    assert {key: len(samples) for key, samples in cut.items()} == {"u1": 8000, "u2": 4000, "u6": 4000}
    np.testing.assert_allclose(cut["u1"], wave[4000:12000], atol=1e-4)
    rejected = (tmp_path / "raw/rejected.txt").read_text().splitlines()
    assert rejected[0] == f"u3\taudio '{tmp_path}/talk.wav' has 4.000 s, a piece from 3.0 to 9.0 s is not in it"
    assert rejected[1] == "u4\tno recording 'other' in wav.scp"
    assert [line.split("\t")[0] for line in rejected] == ["u3", "u4", "u5"]


def test_what_was_mended_is_counted(tmp_path, run_script):
    soundfile.write(tmp_path / "slow.wav", tone(1, 8000), 8000)
    soundfile.write(tmp_path / "scale.wav", tone(1, 16000) * 32768, 16000, subtype="FLOAT")
    soundfile.write(tmp_path / "phases.wav", np.stack([tone(1, 16000), -tone(1, 16000)], axis=1), 16000)
    soundfile.write(tmp_path / "silence.wav", np.zeros(16000), 16000)
    (tmp_path / "x.ark").write_bytes(b"slow " + (tmp_path / "slow.wav").read_bytes())
    waves = {key: tmp_path / f"{key}.wav" for key in ("slow", "scale", "phases", "silence")} | {
        "z": f"{tmp_path}/x.ark:5"
    }
    done = run_script(
        "format_data",
        "--data",
        data_directory(tmp_path / "data", waves, dict.fromkeys(waves, "HI")),
        "--out",
        tmp_path / "raw",
    )
    assert done.returncode == 0, done.stderr
    assert "2 utterances: sampled at 8000 Hz for a model of 16000 Hz" in done.stdout
    assert "1 utterances: floating-point samples at the scale of 16-bit" in done.stdout
    assert "1 utterances: channels of opposite phases" in done.stdout
    assert "silence.wav' is silent" in (tmp_path / "raw/rejected.txt").read_text()
    for key, path in read_table(tmp_path / "raw/wav.scp").items():
        assert np.abs(soundfile.read(path)[0] - tone(1, 16000))[200:-200].max() < 1e-3, key


def test_real_speech_in_sph_files(tmp_path, an4_dir, run_script):
    waves = {path.stem: path for path in sorted(an4_dir.rglob("*.sph"))}
    data = data_directory(tmp_path / "data", waves, {key: "YES" for key in waves})
    done = run_script("format_data", "--data", data, "--out", tmp_path / "raw")
    assert done.returncode == 0, done.stderr
    paths = read_table(tmp_path / "raw/wav.scp")
    assert paths.keys() == waves.keys() and len(waves) >= 7
    for key, path in paths.items():
        original, fs = soundfile.read(waves[key])
        assert fs == 16000
        np.testing.assert_allclose(soundfile.read(path)[0], original, atol=1e-4)


def test_mistakes_end_in_one_sentence_and_change_nothing(tmp_path, refused, run_script):
    soundfile.write(tmp_path / "a.wav", tone(1, 16000), 16000)
    data = data_directory(tmp_path / "data", {"a": tmp_path / "a.wav"}, {"a": "HELLO"})
    out = tmp_path / "raw"
    assert run_script("format_data", "--data", data, "--out", out).returncode == 0
    before = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    (data / "segments").write_text("u1 a zero 1\n")
    assert "'u1 a zero 1' must be" in refused("format_data", "--data", data, "--out", out)
    (data / "segments").unlink()
    (tmp_path / "a.wav").unlink()
    assert "no usable utterance among 1, a because: audio" in refused("format_data", "--data", data, "--out", out)
    (data / "text").unlink()
    assert f"'{data}/text' does not exist" in refused("format_data", "--data", data, "--out", out)
    assert "another folder" in refused("format_data", "--data", data, "--out", data)
    assert "does not exist" in refused("format_data", "--data", tmp_path / "nowhere", "--out", out)
    assert {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()} == before


def test_a_write_that_fails_keeps_the_output_of_before(tmp_path, refused, run_script):
    soundfile.write(tmp_path / "a.wav", np.random.default_rng(0).uniform(-0.5, 0.5, 16000), 8000)
    data = data_directory(tmp_path / "data", {"a": tmp_path / "a.wav"}, {"a": "HELLO"})
    command = ["format_data", "--data", data, "--out", tmp_path / "raw"]
    assert run_script(*command).returncode == 0
    assert "File too large" in refused(*command, before="ulimit -f 8")
    assert soundfile.info(read_table(tmp_path / "raw/wav.scp")["a"]).frames == 32000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.wav", "data", "raw"]


def test_speeds_change_length_and_pitch(tmp_path, run_script, refused):
    for key in ("a", "b"):
        soundfile.write(tmp_path / f"{key}.flac", tone(2, 16000), 16000)
    waves = {"u1": tmp_path / "a.flac", "u2": tmp_path / "b.flac"}
    data = data_directory(tmp_path / "data", waves, {"u1": "ONE", "u2": "TWO"})
    (data / "utt2spk").write_text("u1 s\nu2 s\n")
    options = ["--data", data, "--out", tmp_path / "raw", "--speeds"]
    done = run_script("format_data", *options, 0.8, 1.0, 1.25)
    assert done.returncode == 0, done.stderr
    samples = read_table(tmp_path / "raw/utt2num_samples")
    assert samples == {
        f"{speed}{key}": str(length)
        for key in waves
        for speed, length in (("sp0.8-", 40000), ("", 32000), ("sp1.25-", 25600))
    }
    paths = read_table(tmp_path / "raw/wav.scp")
    assert paths["u1"] == str(tmp_path / "a.flac")
    wave = soundfile.read(paths["sp1.25-u1"])[0]
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave))))
    assert abs(spectrum.argmax() * 16000 / len(wave) - 1.25 * 440) < 1
    assert read_table(tmp_path / "raw/text")["sp0.8-u2"] == "TWO"
    assert set(read_table(tmp_path / "raw/spk2utt")) == {"s", "sp0.8-s", "sp1.25-s"}
    assert "--speeds: 3.0 must be from 0.5 to 2.0" in refused("format_data", *options, 3)


def test_transcripts_from_anywhere_are_read_and_normalised(tmp_path, run_script):
    """A byte order mark, an ideographic space behind the id, U+2028 for a space, accents apart, no-break and zero-width spaces, CRLF."""
    soundfile.write(tmp_path / "a.flac", tone(1, 16000), 16000)
    keys = ["bom", "crlf", "line", "nfd", "noise", "wide", "plain"]
    data = data_directory(tmp_path / "data", dict.fromkeys(keys, tmp_path / "a.flac"), {})
    lines = [
        "\ufeffbom ONE",
        "crlf TWO\r",
        "line ONE\u2028TWO\x0cTHREE",
        "nfd a\u0306",
        "noise <n> A<x>",
        "wide\u3000TWO\u00a0 \u200bX",
        "plain A",
    ]
    (data / "text").write_bytes("\n".join(lines).encode())
    options = ["--symbols", "<n>", "--remove_symbols", "<x>", "--text_case", "upper"]
    done = run_script("format_data", "--data", data, "--out", tmp_path / "raw", *options)
    assert done.returncode == 0, done.stderr
    said = {
        "bom": "ONE",
        "crlf": "TWO",
        "line": "ONE TWO THREE",
        "nfd": "\u0102",
        "noise": "<n> A",
        "wide": "TWO X",
        "plain": "A",
    }
    assert read_table(tmp_path / "raw/text") == said
    facts = json.loads((tmp_path / "raw/set.json").read_text())
    assert facts["transcripts_changed"] == 4 and facts["changes"]["Unicode form nfc"] == 1 and facts["speakers"] is None
    assert "4 transcripts were changed by normalisation: 2 white space, " in done.stdout and "no utt2spk" in done.stdout


def test_a_name_that_is_too_long_for_a_file_gets_a_hash(tmp_path, run_script):
    soundfile.write(tmp_path / "a.wav", tone(1, 8000), 8000)
    keys = ["\u957f" * 33, "\u957f" * 33 + "2", "short/er"]
    data = data_directory(tmp_path / "data", dict.fromkeys(keys, tmp_path / "a.wav"), dict.fromkeys(keys, "HELLO"))
    done = run_script("format_data", "--data", data, "--out", tmp_path / "raw")
    assert done.returncode == 0, done.stderr
    paths = read_table(tmp_path / "raw/wav.scp")
    assert (
        paths.keys() == set(keys) and len(set(paths.values())) == 3 and paths["short/er"].endswith("/short%2Fer.flac")
    )
    assert all(soundfile.info(path).frames == 16000 for path in paths.values())


def test_a_channel_of_a_recording_may_be_named(tmp_path, run_script):
    soundfile.write(tmp_path / "talk.wav", np.stack([tone(1, 16000), np.zeros(16000)], axis=1), 16000)
    data = data_directory(
        tmp_path / "data", {"talk": tmp_path / "talk.wav"}, {"l": "HI", "r": "HI"}, "l talk 0 1 A\nr talk 0 1 2\n"
    )
    done = run_script("format_data", "--data", data, "--out", tmp_path / "raw")
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(soundfile.read(read_table(tmp_path / "raw/wav.scp")["l"])[0], tone(1, 16000), atol=1e-4)
    assert (tmp_path / "raw/rejected.txt").read_text() == (
        f"r\taudio '{tmp_path}/talk.wav' has 2 channels, so none of number 2, counted from 0\n"
    )
