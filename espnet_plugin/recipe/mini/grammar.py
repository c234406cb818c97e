"""Sentences of the mini corpus: spoken commands and questions from a grammar of about 170 words.

Upper-case words in a template are slots; ``|`` separates choices.
"""

import random
import zlib

SLOTS = {
    "ROOM": "kitchen|bedroom|garden|office|garage|bathroom|hall",
    "THING": "lights|heater|fan|radio|television|oven|lamp|speakers",
    "NAME": "mary|peter|susan|robert|emma|david|laura|george|anna|victor",
    "DIGIT": "zero|one|two|three|four|five|six|seven|eight|nine",
    "HOUR": "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve",
    "MINUTES": "five|ten|fifteen|twenty|thirty|forty",
    "DAY": "today|tomorrow|on monday|on tuesday|on wednesday|on thursday|on friday|on saturday|on sunday",
    "PART": "in the morning|in the evening|at noon|tonight",
    "CITY": "london|paris|boston|chicago|madrid|sydney|berlin",
    "PLACE": "airport|station|hospital|library|market|museum|hotel|beach|school",
    "VEHICLE": "car|bus|train|taxi|bicycle",
    "ANIMAL": "dog|cat|horse|rabbit|bird|mouse",
    "COLOUR": "red|green|blue|yellow|black|white|orange",
    "OBJECT": "box|table|chair|window|bottle|ball|door|book",
    "SIDE": "left of|right of|behind|under|near",
    "MUSIC": "jazz|classical music|the news|a song|some blues",
    "FOOD": "bread|butter|milk|sugar|apples|coffee|rice|cheese",
    "MUCH": "louder|softer|brighter|warmer|colder",
    "SAYING": "i am late|dinner is ready|call me back|happy birthday|see you soon|thank you very much",
}

TEMPLATES = (
    "turn on the THING",
    "turn off the THING",
    "make the THING MUCH",
    "set the alarm for HOUR MINUTES",
    "wake me at HOUR",
    "timer for MINUTES minutes",
    "call NAME PART",
    "tell NAME SAYING",
    "dial DIGIT DIGIT DIGIT DIGIT",
    "room DIGIT DIGIT DIGIT",
    "weather in CITY DAY",
    "will it rain DAY",
    "from CITY to CITY",
    "drive to the PLACE PART",
    "VEHICLE to the PLACE",
    "the COLOUR ANIMAL sleeps",
    "COLOUR OBJECT SIDE the OBJECT",
    "did NAME see the ANIMAL",
    "play MUSIC DAY",
    "buy FOOD and FOOD",
    "add FOOD to my list",
    "meet NAME DAY",
    "NAME and NAME",
    "open the COLOUR OBJECT",
    "go to the ROOM PART",
)


def vocabulary() -> set[str]:
    """All words that a sentence can hold, in upper case."""
    text = " ".join(word for template in TEMPLATES for word in template.split() if word not in SLOTS)
    return set(" ".join([text, *SLOTS.values()]).replace("|", " ").upper().split())


def use_of(words: str) -> str:
    """The one use of a sentence: dev for an eighth of all sentences, test for another, train for the others."""
    return {0: "dev", 1: "test"}.get(zlib.crc32(words.encode()) % 8, "train")


def sentence(rng: random.Random, use: str) -> str:
    """One random sentence for ``train``, ``dev`` or ``test`` in upper case, as LibriSpeech writes."""
    while True:
        parts = rng.choice(TEMPLATES).split()
        words = " ".join(rng.choice(SLOTS[part].split("|")) if part in SLOTS else part for part in parts).upper()
        if use_of(words) == use:
            return words
