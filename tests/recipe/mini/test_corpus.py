import random
import sys

import hypothesis.strategies as st
import numpy as np
import pytest
import soundfile
from hypothesis import given

from espnet_plugin.errors import UserError
from espnet_plugin.recipe.mini import corpus as mini_corpus
from espnet_plugin.recipe.mini.grammar import sentence, use_of, vocabulary

SMALL = ["--train", "12", "--mini", "2", "--dev", "2", "--test", "2"]
COUNTS = {"train": 3000, "mini": 150, "dev": 1400, "test": 1400}


@pytest.fixture(scope="module")
def people():
    return mini_corpus.speakers(COUNTS)


def files_of(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_same_seed_same_bytes_with_any_number_of_processes(tmp_path, run_script):
    for name, options in (("one", ["--nj", 1]), ("two", ["--nj", 2]), ("other", ["--nj", 2, "--seed", 1])):
        done = run_script("mini.corpus", "--out", tmp_path / name, *SMALL, *options)
        assert done.returncode == 0, done.stderr
    one, two, other = (files_of(tmp_path / name) for name in ("one", "two", "other"))
    assert one == two
    assert one.keys() == other.keys() and one != other
    parts = {name.split("/")[1] for name in one if name.endswith(".flac")}
    assert parts == {"train-clean-mini", "dev-mini", "dev-clean", "dev-other", "test-clean", "test-other"}
    assert sum(name.endswith(".flac") for name in one) == 12 + 5 * 2
    info = soundfile.info(next((tmp_path / "one").rglob("*.flac")))
    assert (info.samplerate, info.channels, info.subtype) == (16000, 1, "PCM_16")


@pytest.mark.parametrize(
    "variant",
    dict.fromkeys(
        [*mini_corpus.TRAIN_WOMEN, *mini_corpus.TRAIN_MEN, *" ".join(mini_corpus.HELD_OUT_VARIANTS.values()).split()]
    ),
)
def test_a_voice_repeats_itself(variant):
    """In one process, with another voice in between: breath and flutter come from the seed alone."""
    espeak = mini_corpus.Espeak()
    spoken = []
    for _ in range(2):
        espeak.speak("GOOD MORNING", "en-us+f1", 170, 50, 3)
        spoken.append(espeak.speak("TURN ON THE RADIO", f"en-us+{variant}", 170, 50, 7))
    assert len(spoken[0]) > 0.5 * mini_corpus.ESPEAK_FS
    assert abs(len(spoken[0]) - len(spoken[1])) < 0.05 * mini_corpus.ESPEAK_FS
    assert np.abs(spoken[0]).max() < 0.999  # no clipping


def test_sizes_and_voices(people):
    count = {part: sum(p.count for p in people if p.part == part) for part in {p.part for p in people}}
    assert count.pop("train-clean-mini") == 3000 and count.pop("dev-mini") == 150
    assert count == dict.fromkeys(["dev-clean", "dev-other", "test-clean", "test-other"], 1400)
    for part in count:
        assert len({p.voice for p in people if p.part == part}) == 28
    train = {p.voice for p in people if p.part.startswith("train")}
    assert len(train) >= 24
    variants = {part: {p.voice.split("+")[1] for p in people if p.part == part} for part in {p.part for p in people}}
    for part, found in variants.items():
        for another, others in variants.items():
            shared = {part, another} == {"dev-mini", "dev-clean"}
            assert part == another or shared or not found & others, (part, another)
    accents = {p.voice.split("+")[0] for p in people if p.part.endswith("other")}
    assert not accents & {voice.split("+")[0] for voice in train}
    assert len({p.number for p in people}) == len(people)


def test_half_of_the_training_speakers_are_women(people):
    train = [p for p in people if p.part.startswith("train")]
    women = sum(p.voice.split("+")[1] in mini_corpus.TRAIN_WOMEN for p in train)
    assert women == len(train) / 2 and all(p.varied for p in train)
    assert not any(p.varied for p in people if not p.part.startswith("train"))


VARIANT = "language variant\nname x\nformant 1 100 50 80 -30\nconsonants 60\n\nstressAdd 9 9\n"


@given(seed=st.integers())
def test_a_varied_voice_stays_near_the_shipped_one(seed):
    lines = mini_corpus.varied(VARIANT, random.Random(seed)).splitlines()
    assert lines == mini_corpus.varied(VARIANT, random.Random(seed)).splitlines()
    voicing, consonants, language, name, formant, own, empty, stress, *rhythm = lines
    assert (language, name, empty, stress) == ("language variant", "name x", "", "stressAdd 9 9")
    assert 62 <= int(voicing.split()[1]) <= 160 and all(50 <= int(v) <= 200 for v in consonants.split()[1:])
    word, number, frequency, strength, width, shift = formant.split()
    assert (word, number, shift) == ("formant", "1", "-30") and 94 <= int(frequency) <= 106
    assert 35 <= int(strength) <= 70 and 57 <= int(width) <= 112 and 30 <= int(own.split()[1]) <= 120
    for line in rhythm:
        changes = line.split()
        assert changes[0] == "stressAdd" and len(changes) == 9
        assert all(most <= int(change) <= 0 for change, most in zip(changes[1:], mini_corpus.EQUAL_SYLLABLES))


def test_a_speaker_has_a_voice_of_its_own_and_says_the_words(tmp_path):
    data = mini_corpus.own_data(tmp_path, "f1", random.Random(1))
    own, shipped = (
        mini_corpus.Espeak(folder).speak("OPEN THE DOOR", "en-us+f1", 170, 50, 7) for folder in (data, None)
    )
    assert len(own) > 0.5 * mini_corpus.ESPEAK_FS and not np.array_equal(own, shipped)


def test_some_utterances_of_training_are_several_sentences_with_pauses(people):
    espeak = mini_corpus.Espeak()
    train, held_out = (next(p for p in people if p.part == part) for part in ("train-clean-mini", "dev-clean"))
    assert not any(p.joined for p in people if p.part != "train-clean-mini")
    made = [mini_corpus.make_utterance(espeak, train, index, 0) for index in range(120)]
    long = [len(wave) for words, wave in made if len(words.split()) > 7]  # more words than any one sentence has
    assert 3 <= len(long) <= 20  # a twelfth
    longest = max((len(wave), wave) for _, wave in made)[1]
    level = np.convolve(np.abs(longest), np.ones(1600) / 1600, mode="same")
    quiet = (level[4000:-4000] < 0.1 * level.max()).sum() / mini_corpus.FS
    assert quiet > 0.2  # s of pauses
    words, _ = mini_corpus.make_utterance(espeak, held_out, 0, 0)
    assert use_of(words) == "dev"


def test_noise_of_the_other_sets_is_not_in_training(people):
    train = {noise for p in people if p.part.startswith("train") for noise in p.noises}
    other = {noise for p in people if p.part.endswith("other") for noise in p.noises}
    assert train and other and not train & other


def test_grammar_has_enough_words():
    assert len(vocabulary()) >= 100
    assert all(word.isalpha() and word.isupper() for word in vocabulary())


@given(seed=st.integers(), use=st.sampled_from(["train", "dev", "test"]))
def test_a_sentence_has_one_use_and_known_words(seed, use):
    words = sentence(random.Random(seed), use)
    assert use_of(words) == use
    assert set(words.split()) <= vocabulary()


def test_training_has_every_word_of_the_grammar():
    rng = random.Random(0)
    assert {word for _ in range(3000) for word in sentence(rng, "train").split()} == vocabulary()


@given(seed=st.integers(0, 2**32), length=st.integers(1600, 40000))
@pytest.mark.parametrize("noise", [mini_corpus.white, mini_corpus.dull, mini_corpus.street, mini_corpus.babble])
def test_noise_is_as_long_as_the_speech_and_never_silent(noise, seed, length):
    wave = np.random.default_rng(seed).uniform(-0.5, 0.5, length)
    found = noise(np.random.default_rng(seed), wave)
    assert found.shape == wave.shape and np.isfinite(found).all() and np.abs(found).max() > 0


def test_an_unknown_voice_is_refused():
    for voice in ("en-us+nobody", "en-xx+f1"):
        with pytest.raises(UserError, match="has no voice"):
            mini_corpus.Espeak().speak("HELLO", voice, 170, 50, 0)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(UserError, match="pip install espeakng-loader"):
        mini_corpus.Espeak()


def test_an_existing_corpus_is_kept(tmp_path, refused):
    (tmp_path / "LibriSpeech").mkdir()
    assert "exists already" in refused("mini.corpus", "--out", tmp_path, *SMALL)


def test_a_write_that_fails_leaves_nothing_behind(tmp_path, refused):
    # A limit on the size of files stands for a full disk: both are errors of the file system in the middle of the work.
    assert "File too large" in refused("mini.corpus", "--out", tmp_path, *SMALL, before="ulimit -f 8")
    assert not any(tmp_path.iterdir())
