"""Scripts that put no spaces between words: where a word may end in them, as far as two neighbouring letters tell."""

import re
import unicodedata

UNSPACED = re.compile(
    "["
    "\u0e00-\u0eff"  # Thai, Lao
    "\u0f0b"  # Tibetan's mark between syllables; its letters end no word
    "\u1000-\u109f\ua9e0-\ua9ff\uaa60-\uaa7f"  # Burmese
    "\u1780-\u17ff"  # Khmer
    "\u3001-\u312f\u31a0-\u31bf\u31f0-\u31ff\uff66-\uff9f\U0001b000-\U0001b16f"  # punctuation, kana, Bopomofo
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
    "]"
)
# Vowels of Thai and Lao that are written before their consonant; marks of Burmese and Khmer that put the next consonant below.
LEADING = "\u0e40\u0e41\u0e42\u0e43\u0e44\u0ec0\u0ec1\u0ec2\u0ec3\u0ec4\u1039\u17d2"
# Vowels of Thai and Lao that are written behind their consonant, and a mark that shortens a word; small kana.
TRAILING = "\u0e2f\u0e30\u0e32\u0e33\u0e45\u0eaf\u0eb0\u0eb2\u0eb3ぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮ"
CLINGING = ("Mn", "Mc", "Me", "Lm", "Pc", "Pd", "Pe", "Pf", "Po")  # categories that stay with the letter before
OPENING = ("Ps", "Pi")  # brackets and quotes that stay with the letter behind


def unspaced(before: str, after: str) -> bool:
    """Whether two letters stand side by side without a space though a word ends between them: one is of such a script."""
    return bool(UNSPACED.match(before) or UNSPACED.match(after))


def may_part(before: str, after: str) -> bool:
    """Whether a word may end between two letters that no space divides. A mark, a vowel or punctuation stays with its letter."""
    if before in LEADING or unicodedata.category(before) in OPENING:
        return False
    if after in TRAILING or unicodedata.category(after) in CLINGING:
        return False
    return unspaced(before, after)
