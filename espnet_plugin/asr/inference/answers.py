"""Answers to a data set as files: the best ones, when their words were said, and n-best lists as ESPnet writes them."""

import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import cast

from espnet_plugin.asr.inference.words import Recognised
from espnet_plugin.common.files import write_text, write_whole
from espnet_plugin.common.tables import write_table

type Entry = dict[str, list | str]  # of one answer: text, token, token_int, score, words; as JSON has it


def entry_of(answer: Recognised, token_list: Sequence[str]) -> Entry:
    """An answer as it is kept in a journal."""
    ids = answer.hypothesis.tokens
    words = [[word.text, round(word.start, 3), round(word.end, 3), round(word.confidence, 4)] for word in answer.words]
    found: Entry = {"text": answer.text, "token": " ".join(token_list[i] for i in ids)}
    return found | {"token_int": " ".join(map(str, ids)), "score": f"{answer.hypothesis.score:.6g}", "words": words}


def ctm_lines(found: dict[str, list[Entry]]) -> str:
    """NIST's time-marked conversation: utterance, channel, start, duration (s), word, confidence."""
    return "".join(
        f"{key} 1 {start:.3f} {end - start:.3f} {text} {confidence:.4f}\n"
        for key in sorted(found)
        for text, start, end, confidence in cast(list, found[key][0]["words"])
    )


def write_rank(answers: dict[str, Entry], place: Path) -> None:
    """Write the tables of one answer to each utterance."""
    place.mkdir()
    for name in ("text", "token", "token_int", "score"):
        write_table(place / name, {key: entry[name] for key, entry in answers.items()})


def write_answers(folder: Path, found: dict[str, list[Entry]], nbest: int) -> None:
    """Write ``text`` and ``ctm`` of the best answers, and with `nbest` above 1 the folders ``1best_recog``, ``2best_recog`` ...

    Each has the tables ``text``, ``token``, ``token_int`` and ``score``; utterances with fewer answers are missing from the later ones.
    Folders of a longer list that was written before go.

    Args:
        found: utterance id -> answers, best first.
    """
    write_whole(
        folder / "text", lambda path: write_table(path, {key: best["text"] for key, (best, *_) in found.items()})
    )
    write_text(folder / "ctm", ctm_lines(found))
    ranks = range(nbest if nbest > 1 else 0)
    for old in folder.glob("*best_recog"):
        if old.name.removesuffix("best_recog").isdigit():
            shutil.rmtree(old)
    for rank in ranks:
        answers = {key: entries[rank] for key, entries in found.items() if rank < len(entries)}
        write_whole(folder / f"{rank + 1}best_recog", partial(write_rank, answers))
