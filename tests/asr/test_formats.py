"""Answers as text, JSON and subtitles."""

import json

import pytest

from espnet_plugin.asr.inference.formats import clock, segments_of, written
from espnet_plugin.asr.inference.longform import Answer
from espnet_plugin.asr.inference.words import Recognised, Word
from espnet_plugin.transducer.hypothesis import Hypothesis


def answer(*words, notes=()):
    words = tuple(Word(text, start, end, 0.5) for text, start, end in words)
    return Answer(
        (Recognised(" ".join(word.text for word in words), words, Hypothesis((), (), (), -3.0)),), 9.0, (), notes
    )


WORDS = (("A", 0.04, 0.2), ("<B>", 0.4, 0.6), ("C&D", 3.0, 3.04))


def test_text_and_json():
    found = answer(*WORDS, notes=("odd",))
    assert written("text", "a.wav", found) == "a.wav\tA <B> C&D\n"
    assert json.loads(written("json", "a.wav", found)) == {
        "audio": "a.wav",
        "seconds": 9.0,
        "text": "A <B> C&D",
        "segments": [{"start": 0.04, "end": 0.6, "text": "A <B>"}, {"start": 3.0, "end": 3.5, "text": "C&D"}],
        "words": [{"word": word, "start": start, "end": end, "confidence": 0.5} for word, start, end in WORDS],
        "notes": ["odd"],
    }


def test_subtitles():
    assert written("srt", "a.wav", answer(*WORDS)) == (
        "1\n00:00:00,040 --> 00:00:00,600\nA <B>\n\n2\n00:00:03,000 --> 00:00:03,500\nC&D\n\n"
    )
    assert written("vtt", "a.wav", answer(*WORDS)) == (
        "WEBVTT\n\n00:00:00.040 --> 00:00:00.600\nA &lt;B>\n\n00:00:03.000 --> 00:00:03.500\nC&amp;D\n"
    )
    assert written("srt", "a.wav", answer()) == "" and written("vtt", "a.wav", answer()) == "WEBVTT\n"


@pytest.mark.parametrize(
    "seconds, text",
    [(0, "00:00:00,000"), (59.9996, "00:01:00,000"), (3661.5, "01:01:01,500"), (360000, "100:00:00,000")],
)
def test_clock(seconds, text):
    assert clock(seconds, ",") == text


def test_segments_are_short_enough_to_read():
    words = [Word("abcdefgh", 0.3 * i, 0.3 * i + 0.2, 1.0) for i in range(100)]
    found = segments_of(words)
    assert " ".join(one.text for one in found).split() == [word.text for word in words]
    assert all(one.end - one.start <= 6 and len(one.text) <= 84 for one in found)
    assert all(left.end <= right.start for left, right in zip(found, found[1:]))


def test_languages_without_spaces_have_segments_too():
    words = [Word("好", 0.6 * i, 0.6 * i + 0.04, 1.0, spaced=i == 0) for i in range(600)]
    found = segments_of(words)
    assert len(found) >= 60 and "".join(one.text for one in found) == "好" * 600
    assert all(one.end - one.start <= 6 for one in found)
    assert segments_of([*words[:2], Word("A", 1.2, 1.3, 1.0)])[0].text == "好好 A"
