"""Answers as text, JSON and subtitles."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from espnet_plugin.asr.inference.longform import Answer
from espnet_plugin.asr.inference.words import Word, text_of

FORMATS = ("text", "json", "srt", "vtt")
GAP = 0.8  # s between words that divides segments
LONGEST = 6.0  # s of a segment, as subtitles are read
WIDEST = 84  # characters of a segment: two lines of 42
SHORTEST = 0.5  # s that a subtitle is shown, where the next one leaves the time


@dataclass(frozen=True)
class Segment:
    """Words that belong together. Args: start, end: s; text."""

    start: float
    end: float
    text: str


def segments_of(words: Sequence[Word]) -> list[Segment]:
    """Words in segments, divided where nobody speaks, or where a segment would become too long to read."""
    groups: list[list[Word]] = []
    for word in words:
        now = groups[-1] if groups else None
        fits = now is not None and (
            word.start - now[-1].end < GAP
            and word.end - now[0].start <= LONGEST
            and len(text_of([*now, word])) <= WIDEST
        )
        if fits:
            groups[-1].append(word)
        else:
            groups.append([word])
    found = []
    for group, following in zip(groups, [*groups[1:], None]):
        most = following[0].start if following else float("inf")
        end = max(group[-1].end, min(group[0].start + SHORTEST, most))
        found.append(Segment(group[0].start, end, text_of(group)))
    return found


def clock(seconds: float, point: str) -> str:
    """``00:01:02,345``. Args: point: what divides seconds from milliseconds."""
    whole, thousandths = divmod(round(1000 * seconds), 1000)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}{point}{thousandths:03d}"


def srt(answer: Answer) -> str:
    """SubRip: numbered segments with their times."""
    return "".join(
        f"{number}\n{clock(one.start, ',')} --> {clock(one.end, ',')}\n{one.text}\n\n"
        for number, one in enumerate(segments_of(answer.best[0].words), 1)
    )


def vtt(answer: Answer) -> str:
    """WebVTT (W3C): the same with other marks; ``&`` and ``<`` would begin markup."""
    cues = "".join(
        f"\n{clock(one.start, '.')} --> {clock(one.end, '.')}\n{one.text.replace('&', '&amp;').replace('<', '&lt;')}\n"
        for one in segments_of(answer.best[0].words)
    )
    return f"WEBVTT\n{cues}"


def as_json(name: str, answer: Answer) -> str:
    """One object on one line: audio, seconds, text, segments, words with times (s) and confidence, other answers, notes."""
    best, *others = answer.best
    found = {"audio": name, "seconds": round(answer.seconds, 3), "text": best.text}
    found["segments"] = [
        {"start": round(s.start, 3), "end": round(s.end, 3), "text": s.text} for s in segments_of(best.words)
    ]
    found["words"] = [
        {"word": w.text, "start": round(w.start, 3), "end": round(w.end, 3), "confidence": round(w.confidence, 4)}
        for w in best.words
    ]
    if others:
        found["others"] = [{"text": other.text, "score": round(other.hypothesis.score, 4)} for other in others]
    if answer.notes:
        found["notes"] = list(answer.notes)
    return json.dumps(found, ensure_ascii=False)


def written(format: str, name: str, answer: Answer) -> str:
    """An answer in one of `FORMATS`; text is ``name<TAB>words``. Ends with a line's end."""
    match format:
        case "text":
            return f"{name}\t{answer.best[0].text}\n"
        case "json":
            return f"{as_json(name, answer)}\n"
        case "srt":
            return srt(answer)
        case "vtt":
            return vtt(answer)
    raise ValueError(format)
