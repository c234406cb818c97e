"""Language models in beam search: their weighted log probabilities are added to the transducer's (shallow fusion, Gulcehre et al. 2015)."""

from collections.abc import Sequence
from typing import Any, Protocol

import torch


class LanguageModel(Protocol):
    """A model of symbols."""

    def score(self, prefixes: list[tuple[int, ...]], states: list) -> tuple[torch.Tensor, list]:
        """Log probabilities (natural) of the symbol behind each prefix.

        Args:
            prefixes: N sequences of one length, () at first.
            states: what came back for each without its last symbol; None for ().

        Returns:
            (N, V), and N states.
        """

    def end(self, states: list) -> list[float]:
        """Log probability that is due where the utterance ends, of N states."""


class ShallowFusion:
    """What language models say after each hypothesis of a beam. Blank and symbols that are not written cost nothing.

    Args:
        models: with their weights.
        batch_size, beam_size: B, K.
        mute: ids without a score.
        like: a tensor of the transducer's logits, for type and device.
    """

    def __init__(
        self,
        models: Sequence[tuple[LanguageModel, float]],
        batch_size: int,
        beam_size: int,
        mute: torch.Tensor,
        like: torch.Tensor,
    ):
        self.models, self.mute, self.like = models, mute, like
        self.prefixes: list[list[tuple[int, ...]]] = [[()] * beam_size for _ in range(batch_size)]
        self.known: dict[
            tuple[int, ...], tuple[torch.Tensor, list]
        ] = {}  # of prefixes in use: row (V,), state of each model
        self._learn({(): [None] * len(models)})
        self._collect()

    def _learn(self, before: dict[tuple[int, ...], list]) -> None:
        """Score new prefixes, given the states before their last symbols, those of one length at a time."""
        for length in {len(prefix) for prefix in before}:
            prefixes = [prefix for prefix in before if len(prefix) == length]
            total: Any = 0.0  # (N, V) with the first model
            states: list[list] = []
            for place, (model, weight) in enumerate(self.models):
                rows, new = model.score(prefixes, [before[prefix][place] for prefix in prefixes])
                total = total + weight * rows.to(self.like)
                states.append(new)
            total[:, self.mute] = 0.0
            self.known.update(zip(prefixes, zip(total, map(list, zip(*states)))))

    def _collect(self) -> None:
        rows = [torch.stack([self.known[prefix][0] for prefix in row]) for row in self.prefixes]
        self.rows = torch.stack(rows)  # (B, K, V)

    def advance(self, parents: torch.Tensor, symbols: torch.Tensor, emitted: torch.Tensor) -> None:
        """Follow the beam, all (B, K)."""
        moved: list[list[tuple[int, ...]]] = []
        before: dict[tuple[int, ...], list] = {}
        for prefixes, *row in zip(self.prefixes, parents.tolist(), symbols.tolist(), emitted.tolist()):
            moved.append([])
            for parent, symbol, written in zip(*row):
                prefix = prefixes[parent]
                if written:
                    parent_states = self.known[prefix][1]
                    prefix = (*prefix, symbol)
                    if prefix not in self.known:
                        before[prefix] = parent_states
                moved[-1].append(prefix)
        self.prefixes = moved
        self._learn(before)
        used = {prefix for row in moved for prefix in row}
        self.known = {prefix: value for prefix, value in self.known.items() if prefix in used}
        self._collect()

    def ends(self) -> torch.Tensor:
        """(B, K) what scores change by at the end of the utterances."""
        totals = []
        for row in self.prefixes:
            states = zip(*(self.known[prefix][1] for prefix in row))  # of each model
            ends = [[weight * end for end in model.end(list(own))] for (model, weight), own in zip(self.models, states)]
            totals.append([sum(values) for values in zip(*ends)])
        return torch.tensor(totals)
