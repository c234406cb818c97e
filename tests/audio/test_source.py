"""Recordings by every way of naming them."""

import io
import os
import struct
import sys

import numpy as np
import pytest
import soundfile

from espnet_plugin.audio.mono import read_mono
from espnet_plugin.audio.source import JOINED, Recording
from espnet_plugin.errors import UserError

RNG = np.random.default_rng(0)
WAVE = np.round(RNG.uniform(-0.5, 0.5, 8000) * 32768) / 32768


def in_memory(wave=WAVE, rate=16000, **options) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, wave, rate, **{"format": "WAV", "subtype": "PCM_16"} | options)
    return file.getvalue()


@pytest.fixture
def wav(tmp_path):
    path = tmp_path / "a b, c.wav"
    path.write_bytes(in_memory())
    return path


def test_every_name_of_a_recording_gives_its_samples(wav, tmp_path, monkeypatch):
    other = in_memory(-WAVE)
    (tmp_path / "x.ark").write_bytes(b"u0 " + in_memory() + b"u1 " + other)
    (tmp_path / "x.ark:3").write_bytes(other)  # a file of that name comes first
    standard = type("", (), {"buffer": io.BytesIO(in_memory())})
    monkeypatch.setattr(sys, "stdin", standard)
    place = 3 + len(in_memory()) + 3
    for source, expected in (
        (str(wav), WAVE),
        (f"cat '{wav}' |", WAVE),
        (f"{tmp_path}/x.ark:{place}", -WAVE),
        (f"{tmp_path}/x.ark:3", -WAVE),
        ("-", WAVE),
    ):
        np.testing.assert_array_equal(read_mono(source, 16000), expected.astype(np.float32), err_msg=source)


def test_a_name_that_is_not_utf_8(tmp_path):
    name = os.fsdecode(bytes(tmp_path) + b"/caf\xe9.wav")
    with open(name, "wb") as file:
        file.write(in_memory())
    np.testing.assert_array_equal(read_mono(name, 16000), WAVE.astype(np.float32))
    with Recording(name) as recording:
        assert recording.is_plain
    os.truncate(name, 3)
    with pytest.raises(UserError, match=r"caf\\udce9.wav' is not audio") as error:
        Recording(name)
    assert str(error.value).encode()


def test_pieces_and_blocks_are_parts_of_the_whole(wav):
    with Recording(str(wav)) as recording:
        assert (recording.rate, recording.channels, recording.frames) == (16000, 1, 8000)
        blocks = list(recording.blocks(1000, 7777, seconds=0.1))
    assert [len(block) for block in blocks] == [1600] * 4 + [377]
    np.testing.assert_array_equal(np.concatenate(blocks)[:, 0], WAVE[1000:7777].astype(np.float32))


def test_formats_that_libsndfile_does_not_read(tmp_path):
    av = pytest.importorskip("av")
    tone = (0.3 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000) * 32768).astype(np.int16)
    with av.open(str(tmp_path / "a.m4a"), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(tone[None], format="s16", layout="mono")
        frame.rate = 16000
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    wave = read_mono(tmp_path / "a.m4a", 16000)
    assert abs(len(wave) - 16000) <= 3000  # the encoder pads
    spectrum = np.abs(np.fft.rfft(wave[4000:12000]))
    assert np.argmax(spectrum) * 2 == 440
    with av.open(str(tmp_path / "picture.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.width = stream.height = 16
        picture = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")
        for packet in (*stream.encode(picture), *stream.encode(None)):
            container.mux(packet)
    with pytest.raises(UserError, match=r"picture.mp4' has no sound"):
        Recording(str(tmp_path / "picture.mp4"))


def of_no_length(flac: bytes) -> bytes:
    """A FLAC file whose header says that its length is not known: 36 bits of 0, from the middle of byte 21."""
    return flac[:21] + bytes([flac[21] & 0xF0]) + bytes(4) + flac[26:]


def test_files_that_do_not_say_how_long_they_are(tmp_path):
    flac, wav = of_no_length(in_memory(format="FLAC")), in_memory()
    for name, content in (("a.flac", flac), ("a.wav", wav[:40] + bytes(4) + wav[44:])):
        (tmp_path / name).write_bytes(content)
        for source in (f"{tmp_path}/{name}", f"cat {tmp_path}/{name} |"):
            np.testing.assert_array_equal(read_mono(source, 16000), WAVE.astype(np.float32), err_msg=source)
    (tmp_path / "a.ark").write_bytes(b"u0 " + flac + b"u1 " + flac)
    with pytest.raises(UserError, match=r"a.ark:3' does not say how long it is"):
        Recording(f"{tmp_path}/a.ark:3")
    for format in ("WAV", "AIFF", "AU", "OGG", "CAF"):
        subtype = "VORBIS" if format == "OGG" else "PCM_16"
        (tmp_path / "empty").write_bytes(in_memory(WAVE[:0], format=format, subtype=subtype))
        with pytest.raises(UserError, match="empty' has no samples"):
            read_mono(tmp_path / "empty", 16000)


@pytest.mark.parametrize("format, subtype", [("MP3", "MPEG_LAYER_III"), ("OGG", "VORBIS"), ("OGG", "OPUS")])
def test_files_that_were_joined_end_to_end_are_read_to_the_last(tmp_path, format, subtype):
    tones = [0.3 * np.sin(2 * np.pi * hertz * np.arange(32000) / 16000) for hertz in (440, 880)]
    first, second = (in_memory(tone, format=format, subtype=subtype) for tone in tones)
    (tmp_path / "one").write_bytes(first)
    (tmp_path / "two").write_bytes(first + second)
    with Recording(str(tmp_path / "one")) as recording:
        assert recording.file.format == format and recording.frames == 32000  # libsndfile's, no second decoding
    for source in (tmp_path / "two", f"cat {tmp_path}/two |"):
        wave = read_mono(source, 16000)
        assert abs(len(wave) - 64000) <= 3000
        assert np.argmax(np.abs(np.fft.rfft(wave[8000:24000]))) == 440
        assert np.argmax(np.abs(np.fft.rfft(wave[-24000:-8000]))) == 880


@pytest.mark.parametrize(
    "source, said",
    [
        ("none.wav", r"none.wav' does not exist"),
        ("none.ark:12", r"none.ark:12' does not exist: there is no file '.*none.ark'"),
        ("text.wav", "text.wav' is not audio that libsndfile or FFmpeg reads"),
        ("", "' is a folder"),
        ("cut.flac", r"cut.flac' is damaged after 0.000 s"),
    ],
)
def test_what_cannot_be_read_is_named(source, said, tmp_path):
    (tmp_path / "text.wav").write_text("no audio")
    (tmp_path / "cut.flac").write_bytes(in_memory(format="FLAC")[:-8000])
    with pytest.raises(UserError, match=said):
        read_mono(f"{tmp_path}/{source}", 16000)


def test_a_command_that_fails_says_why(tmp_path):
    with pytest.raises(UserError, match=r"command failed with status 3: echo sorry >&2; exit 3 \|: sorry"):
        Recording("echo sorry >&2; exit 3 |")
    with pytest.raises(UserError, match="is not audio"):
        Recording("true |")


@pytest.mark.parametrize(
    "kind", [dict(format="WAV"), dict(format="WAVEX"), dict(format="FLAC")], ids=lambda k: k["format"]
)
def test_a_file_behind_another_one_is_said(kind, tmp_path):
    one = in_memory(**kind)
    for name, content, said in (("one", one, ()), ("tail", one + b"\0" * 99, ()), ("two", one + one, (JOINED,))):
        path = tmp_path / name
        path.write_bytes(content)
        for source in (str(path), f"cat {path} |"):
            with Recording(source) as recording:
                assert recording.notes == said
                assert sum(map(len, recording.blocks())) == recording.frames == 8000
    (tmp_path / "all.ark").write_bytes(one + b"second " + one)  # of an archive others follow by right
    with Recording(f"{tmp_path}/all.ark:0") as recording:
        assert recording.notes == ()


def test_a_wav_file_that_was_cut_off_is_used_as_far_as_it_goes_and_said(wav, tmp_path):
    whole = wav.read_bytes()
    (tmp_path / "cut.wav").write_bytes(whole[:5044])
    with Recording(str(tmp_path / "cut.wav")) as recording:
        assert recording.frames == 2500
        assert "shorter than its header says" in recording.notes[0]
    piped = whole[:40] + struct.pack("<I", 0xFFFFFFFF) + whole[44:]  # as programs write that do not know yet
    (tmp_path / "piped.wav").write_bytes(piped)
    with Recording(str(tmp_path / "piped.wav")) as recording:
        assert (recording.frames, recording.notes) == (8000, ())
