"""The one text normalisation: what transcripts, biasing lists and references are brought to, once, before anything counts or encodes them.

Characters are Unicode's (normalisation forms: Unicode Standard Annex 15; categories as in its database).
"""

import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from espnet_plugin.common.conf import build_conf
from espnet_plugin.common.tables import one_spaced
from espnet_plugin.errors import UserError

UNICODE_FORMS: dict[str, Literal["NFC", "NFKC", "NFD", "NFKD"]] = dict(nfc="NFC", nfkc="NFKC", nfd="NFD", nfkd="NFKD")
FORMS = ("none", *UNICODE_FORMS)
CASES = ("keep", "upper", "lower")
PUNCTUATION = ("keep", "remove")
# Of token lists and of sentencepiece: a transcript may hold their letters, a symbol of one's own may not be called so.
RESERVED = ("<blank>", "<unk>", "<sos/eos>", "<space>", "<s>", "</s>", "<pad>")
SPACE_MARK, UNKNOWN_MARK = (
    "\u2581",
    "\u2585",
)  # what sentencepiece writes a space as, and uses itself for what it does not know
JOINERS = "\u200c\u200d"  # part of Persian's and India's spelling
# Cc but for white space; of Cf what no writing needs: soft hyphen, zero-width space, direction marks, byte order marks, tags.
INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f]"
)
INSIDE_WORDS = "'\u2019-\u2010\u2011"  # apostrophes and hyphens stay between letters: don't, well-known


def without_punctuation(text: str) -> str:
    """Text without punctuation (category P); apostrophes and hyphens between two letters or digits stay."""
    kept = []
    for before, character, after in zip(f" {text}", text, f"{text[1:]} "):
        inside = character in INSIDE_WORDS and before.isalnum() and after.isalnum()
        kept.append(character if inside or unicodedata.category(character)[0] != "P" else " ")
    return "".join(kept)


def visible(text: str) -> str:
    """Text without control and zero-width characters; joiners stay, where they join something. sentencepiece's marks become ``_``."""
    text = INVISIBLE.sub("", text).replace(SPACE_MARK, "_").replace(UNKNOWN_MARK, "_")
    return " ".join(word for word in text.split(" ") if word.strip(JOINERS))


@dataclass(frozen=True)
class TextConf:
    """How transcripts are written.

    White space becomes one space between words; control and zero-width characters go, but joiners, which Persian and Indian spelling needs.

    Args:
        form: Unicode normalisation form: ``nfc`` composes accents and changes nothing that can be seen; ``nfkc`` also writes full-width
            letters, ligatures and fractions in ordinary letters; ``nfd``, ``nfkd`` take accents apart; ``none`` leaves the text as it is.
        case: ``upper``, ``lower`` or ``keep``.
        punctuation: ``remove`` or ``keep``; of any script, but apostrophes and hyphens within words.
        symbols: non-linguistic symbols as ``<noise>`` that stay as they are, one token each.
        removed: such symbols that are taken out.

    Raises:
        UserError: a value that is not allowed.
    """

    form: str = "nfc"
    case: str = "keep"
    punctuation: str = "keep"
    symbols: Sequence[str] = ()
    removed: Sequence[str] = ()

    def __post_init__(self):
        for name, choices in (("form", FORMS), ("case", CASES), ("punctuation", PUNCTUATION)):
            if getattr(self, name) not in choices:
                raise UserError(f"text_conf.{name}: {getattr(self, name)!r} is not one of {', '.join(choices)}")
        for name in ("symbols", "removed"):
            for symbol in getattr(self, name):
                if symbol in RESERVED:
                    raise UserError(
                        f"text_conf.{name}: '{symbol}' is one of the token list's own, must be another name"
                    )
                if not isinstance(symbol, str) or self.spelled(symbol) != symbol or " " in symbol or not symbol:
                    raise UserError(
                        f"text_conf.{name}: {symbol!r} must be one word of visible characters in form {self.form}"
                    )
        if both := sorted({*self.symbols} & {*self.removed}):
            raise UserError(f"text_conf.removed: '{both[0]}' is among text_conf.symbols, must be in one of them")

    def spelled(self, text: str) -> str:
        """Text in the form, with one space between words and without invisible characters."""
        text = visible(one_spaced(text))
        return (
            text if self.form == "none" else visible(one_spaced(unicodedata.normalize(UNICODE_FORMS[self.form], text)))
        )

    @cached_property
    def pattern(self) -> re.Pattern | None:
        """Finds the symbols, longer ones first, None where there are none."""
        names = sorted({*self.symbols, *self.removed}, key=lambda name: (-len(name), name))
        return re.compile(f"({'|'.join(map(re.escape, names))})") if names else None

    def between(self, text: str, change: Callable[[str], str]) -> str:
        """Change what lies between the symbols, each of which `pattern` finds."""
        if self.pattern is None:
            return change(text)
        return "".join(part if i % 2 else change(part) for i, part in enumerate(self.pattern.split(text)))

    def without_removed(self, text: str) -> str:
        parts = [text] if self.pattern is None else self.pattern.split(text)
        return one_spaced("".join(part for part in parts if part not in self.removed))

    def steps(self) -> Iterator[tuple[str, Callable[[str], str]]]:
        """The changes one after the other: what is changed, in words, and how."""
        yield "white space", one_spaced
        yield "invisible characters", visible
        if self.form != "none":
            yield f"Unicode form {self.form}", self.spelled
        if self.removed:
            yield "symbols removed", self.without_removed
        if self.case != "keep":
            change = str.upper if self.case == "upper" else str.lower
            yield "case", lambda text: self.between(text, change)
        if self.punctuation == "remove":
            yield "punctuation", lambda text: one_spaced(self.between(text, without_punctuation))
        yield "spelling", self.spelled  # letters may have come together that compose

    def normalise(self, text: str, changes: Counter | None = None) -> str:
        """Text as the model knows it. Args: changes: where each kind of change to this text is counted once."""
        for name, change in self.steps():
            before, text = text, change(text)
            if changes is not None and text != before:
                changes[name] += 1
        return text

    def as_dict(self) -> dict:
        """For a YAML or JSON file."""
        return {
            "form": self.form,
            "case": self.case,
            "punctuation": self.punctuation,
            "symbols": list(self.symbols),
            "removed": list(self.removed),
        }


def recorded(conf: Mapping) -> TextConf | None:
    """Normalisation that a training configuration records, None where it records none.

    Raises:
        UserError: a key or value that is not allowed.
    """
    values = (conf.get("model_conf") or {}).get("text_conf")
    return None if values is None else build_conf("model_conf.text_conf", TextConf, values)


def as_tokenized(bpemodel: Path) -> Callable[[str], str]:
    """What a sentencepiece model makes of a text before it encodes it; many apply NFKC."""
    from sentencepiece import SentencePieceProcessor

    pieces = SentencePieceProcessor(str(bpemodel))
    return lambda text: one_spaced(pieces.normalize(text).replace(SPACE_MARK, " "))


def normaliser(conf: Mapping) -> Callable[[str], str]:
    """What references are brought to for a model: the normalisation that it records.

    A model that records none, as those trained before there was one, writes what its tokenizer makes of a text.

    Args:
        conf: training configuration; its ``bpemodel`` is read where nothing is recorded.
    """
    known = recorded(conf)
    if known is not None:
        return known.normalise
    if conf.get("token_type") == "bpe" and conf.get("bpemodel") and Path(conf["bpemodel"]).is_file():
        return as_tokenized(conf["bpemodel"])
    return one_spaced


def normalised(texts: Mapping[str, str], conf: Mapping, name: str) -> dict[str, str]:
    """References as a model would write them; what that changes is told on stderr.

    Args:
        texts: utterance -> words; conf: see `normaliser`; name: of the set.
    """
    change = normaliser(conf)
    done = {key: change(words) for key, words in texts.items()}
    changed = [key for key in texts if texts[key] != done[key]]
    if changed:
        how = "the model's text normalisation" if recorded(conf) else "its tokenizer, since it records no normalisation"
        print(
            f"note: {name}: {len(changed)} of {len(texts)} references are compared as the model writes them, by {how}",
            file=sys.stderr,
        )
    return done
