"""Sentences of the mini corpus: spoken commands and questions from a grammar of about 190 words.

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
    "turn on the THING in the ROOM",
    "please turn off the THING in the ROOM",
    "make the THING in the ROOM MUCH",
    "set an alarm for HOUR MINUTES PART",
    "wake me at HOUR DAY",
    "start a timer for MINUTES minutes for the FOOD",
    "call NAME at the PLACE PART",
    "send a message to NAME saying SAYING",
    "dial DIGIT DIGIT DIGIT DIGIT DIGIT",
    "my number is DIGIT DIGIT DIGIT DIGIT",
    "what is the weather in CITY DAY",
    "will it rain in CITY DAY",
    "how far is it from CITY to CITY by VEHICLE",
    "drive to the PLACE in CITY PART",
    "which VEHICLE goes from the PLACE to the PLACE",
    "the ANIMAL sleeps SIDE the COLOUR OBJECT",
    "put the COLOUR OBJECT SIDE the OBJECT",
    "did NAME see the COLOUR ANIMAL DAY",
    "play MUSIC in the ROOM DAY",
    "buy FOOD and FOOD at the market",
    "add FOOD and FOOD to my list",
    "meet NAME at the PLACE DAY at HOUR",
    "NAME and NAME took the VEHICLE to CITY",
    "open the COLOUR door and close the window in the ROOM",
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
