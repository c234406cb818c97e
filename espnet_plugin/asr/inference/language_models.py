"""Language models for shallow fusion: ESPnet's neural ones, and n-grams in ARPA's or KenLM's format."""

import itertools
import math
from pathlib import Path

import torch
from espnet2.tasks.lm import LMTask

from espnet_plugin.asr.training.model import TODMModel
from espnet_plugin.common.files import need_file
from espnet_plugin.errors import UserError

LN10 = math.log(10)  # ARPA files hold decimal logarithms


class NeuralLM:
    """One of ESPnet's language models over the transducer's tokens. Args: lm; sos: symbol that a sentence begins with."""

    def __init__(self, lm, sos: int):
        self.lm, self.sos = lm, sos

    def score(self, prefixes: list[tuple[int, ...]], states: list) -> tuple[torch.Tensor, list]:
        """See `LanguageModel.score`."""
        device = next(self.lm.parameters()).device
        ys = torch.tensor([(self.sos, *prefix) for prefix in prefixes], device=device)
        return self.lm.batch_score(ys, states, torch.zeros(len(ys), 1, 1, device=device))

    def end(self, states: list) -> list[float]:
        """As in ESPnet's transducer search, the end of a sentence is not scored."""
        return [0.0] * len(states)


def load_lm(model: TODMModel, train_config: Path, lm_file: Path) -> NeuralLM:
    """A language model that ESPnet trained (`espnet2.bin.lm_train`) on the same tokens.

    Args:
        model: the transducer that it goes with.
        train_config: its configuration.
        lm_file: its weights.

    Raises:
        UserError: a file is missing or does not fit, or its tokens are others.
    """
    need_file("lm_file:", lm_file)
    need_file("lm_train_config:", train_config)
    try:
        trained, args = LMTask.build_model_from_file(train_config, lm_file)
    except Exception as error:  # whatever building and unpickling may raise
        raise UserError(
            f"lm_file: '{lm_file}' with '{train_config}' cannot be loaded: must be what espnet2.bin.lm_train wrote"
        ) from error
    if list(args.token_list) != list(model.token_list):
        raise UserError(
            f"lm_train_config: '{train_config}' has {len(args.token_list)} tokens that are not the model's "
            f"{len(model.token_list)}, must be the same list"
        )
    return NeuralLM(trained.lm.eval(), model.sos)


def open_ngram(path: Path | str):
    """KenLM on a file.

    Raises:
        UserError: the package or the file is missing, or it is no n-gram.
    """
    if not Path(path).is_file():
        raise UserError(f"ngram_file: '{path}' does not exist")
    try:
        import kenlm
    except ModuleNotFoundError as error:
        raise UserError("ngram_file needs KenLM: pip install 'espnet-todm[lm]'") from error
    try:
        config = kenlm.Config()
        config.show_progress = False
        return kenlm, kenlm.Model(str(path), config)
    except (OSError, RuntimeError) as error:
        reason = str(error).split("\n")[0]
        raise UserError(f"ngram_file: '{path}' cannot be read as ARPA or KenLM's binary: {reason}") from error


class TokenNgram:
    """An n-gram over the model's tokens, as ESPnet's recipes make it."""

    def __init__(self, kenlm, ngram, model: TODMModel):
        self.kenlm, self.ngram = kenlm, ngram
        self.names = ["</s>" if token == "<sos/eos>" else token for token in model.token_list]
        self.rows: dict = {}  # of states, which are few: that is what an n-gram is

    def row(self, state) -> torch.Tensor:
        if state not in self.rows:
            out = self.kenlm.State()
            self.rows[state] = torch.tensor([LN10 * self.ngram.BaseScore(state, name, out) for name in self.names])
        return self.rows[state]

    def score(self, prefixes: list[tuple[int, ...]], states: list) -> tuple[torch.Tensor, list]:
        """See `LanguageModel.score`."""
        new = []
        for prefix, before in zip(prefixes, states):
            state = self.kenlm.State()
            if prefix:
                self.ngram.BaseScore(before, self.names[prefix[-1]], state)
            else:
                self.ngram.BeginSentenceWrite(state)
            new.append(state)
        return torch.stack([self.row(state) for state in new]), new

    def end(self, states: list) -> list[float]:
        """As for neural models, the end of a sentence is not scored."""
        return [0.0] * len(states)


class WordNgram:
    """An n-gram over words: a word is scored when the next one begins, or the utterance ends."""

    def __init__(self, kenlm, ngram, model: TODMModel):
        self.kenlm, self.ngram = kenlm, ngram
        self.pieces = [model.piece(index) for index in range(len(model.token_list))]
        self.begins = torch.tensor([piece.startswith(" ") for piece in self.pieces])

    def _finish(self, state) -> tuple[float, object]:
        """Log probability of the open word, and the state behind it. A state here is (KenLM's, letters of the open word)."""
        words, letters = state
        total, after = 0.0, words
        for word in letters.split():
            before, after = after, self.kenlm.State()
            total += LN10 * self.ngram.BaseScore(before, word, after)
        return total, after

    def score(self, prefixes: list[tuple[int, ...]], states: list) -> tuple[torch.Tensor, list]:
        """See `LanguageModel.score`."""
        new = []
        for prefix, before in zip(prefixes, states):
            if prefix:
                piece = self.pieces[prefix[-1]]
                opened = piece.startswith(" ")
                new.append((self._finish(before)[1], piece) if opened else (before[0], before[1] + piece))
            else:
                start = self.kenlm.State()
                self.ngram.BeginSentenceWrite(start)
                new.append((start, ""))
        due = torch.tensor([[self._finish(state)[0]] for state in new])
        return due * self.begins, new

    def end(self, states: list) -> list[float]:
        """The last word."""
        return [self._finish(state)[0] for state in states]


def words_of_arpa(path: Path | str) -> list[str]:
    """What an n-gram in ARPA's text format is over, without symbols such as ``<unk>``; nothing of a binary file."""
    with open(path, encoding="utf-8", errors="replace") as file:
        if next((line for line in file if line.strip()), "").strip() != "\\data\\":
            return []
        rows = (line.split() for line in itertools.takewhile(lambda line: "2-grams:" not in line, file))
        return [row[1] for row in rows if len(row) > 1 and not row[1].startswith("<") and row[0] != "ngram"]


def is_over_tokens(ngram, words: list[str], tokens: list[str], space: str) -> bool:
    """Whether an n-gram is over a model's tokens.

    An n-gram over words may know all letters and nearly all Chinese characters too, as words of one: so it is asked both ways.

    Args:
        words: what it is over, nothing where that cannot be read.
        tokens: of the model, without those that are no text; space: the one that stands for a space, where there is one.
    """
    if space in tokens and space not in ngram:
        return False
    known, strange = sum(token in ngram for token in tokens), len(words) - len(set(words) & set(tokens))
    return (2 * known > len(tokens) and 2 * strange <= len(words)) or (bool(words) and not strange)


def ngram_of(path: Path | str, model: TODMModel) -> TokenNgram | WordNgram:
    """The n-gram of a file, over tokens or over words, see `is_over_tokens`.

    Raises:
        UserError: see `open_ngram`; or the model cannot spell one of its words.
    """
    kenlm, ngram = open_ngram(path)
    special = {model.blank_id, *model.silent, model.sos, model.eos}
    tokens = [token for index, token in enumerate(model.token_list) if index not in special]
    words, letters = words_of_arpa(path), set("".join(tokens))
    if is_over_tokens(ngram, words, tokens, model.sym_space):
        return TokenNgram(kenlm, ngram, model)
    if words and not any(set(word) <= letters for word in words[:1000]):
        raise UserError(
            f"ngram_file: '{path}' has words such as '{words[0]}', none in the letters of the model, whose tokens are such as "
            f"'{tokens[0]}' (upper or lower case?)"
        )
    return WordNgram(kenlm, ngram, model)
