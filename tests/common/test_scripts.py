"""Where words may end without a space."""

import pytest

from espnet_plugin.common.scripts import may_part


@pytest.mark.parametrize(
    "text",
    [
        "今|天|好",
        "我|LOVE|你|3|次",
        "好。|我",  # punctuation stays with the letter before it
        "说|「好」|了",
        "コー|ヒー|を|ちょっ|と|飲|む",  # marks of length and small kana
        "แม่|น้ำ|ไท|ย",  # vowels on either side of their consonant, tones
        "ພາ|ສາ|ລາ|ວ",
        "မြ|န်|မာ",
        "ខ្មែ|រ",  # a consonant below another
        "བོད་|ཡིག",  # between syllables
        "don't",
        "Straße",
        "한국어",  # has spaces
        "مرحبا",
        "नमस्ते",
        "𠀀|𠀁",
    ],
)
def test_words_may_end_between_syllables_of_scripts_without_spaces(text):
    letters = text.replace("|", "")
    found = [letters[0]]
    for before, after in zip(letters, letters[1:]):
        found.append(f"|{after}" if may_part(before, after) else after)
    assert "".join(found) == text
