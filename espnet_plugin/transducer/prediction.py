"""ESPnet decoder ``stateless``: a prediction network that sees the last symbols only."""

from collections.abc import Sequence
from typing import Annotated

import torch
import torch.nn.functional as F

from espnet_plugin.common.bounds import Bounds, Dropout, Width
from espnet_plugin.errors import UserError

Context = Annotated[int, Bounds(1, 100, why="longer than a prediction network without memory can use")]  # symbols


class StatelessDecoder(torch.nn.Module):
    """Embedding, depthwise convolution over the last symbols, ReLU (Ghodsi et al. 2020; context 2 as in icefall).

    Before the first symbol stand zero vectors and then blank, as sherpa-onnx does with its first context [-1, 0]. A search state is the
    context itself, so any hypothesis is scored without memory of how it was reached.

    Args:
        vocab_size: V.
        encoder_output_size: not used; ESPnet passes it.
        embed_dim: D.
        context_size: symbols seen, at least 1.
        blank_id: index of blank.
        dropout: of the embedding.
        conv_group: channels that the convolution mixes; 4 as icefall has it, a divisor of D.

    Raises:
        UserError: a context of less than one symbol.
    """

    embedding_class = torch.nn.Embedding  # what an elastic subclass replaces
    dropout_embed: torch.nn.Module

    def __init__(
        self,
        vocab_size: int,
        encoder_output_size: int,
        embed_dim: Width = 256,
        context_size: Context = 2,
        blank_id: Annotated[int, Bounds(0)] = 0,
        dropout: Dropout = 0.0,
        conv_group: Width = 1,
    ):
        super().__init__()
        if context_size < 1:
            raise UserError(f"decoder_conf.context_size: {context_size} must be at least 1 symbol")
        if conv_group < 1 or embed_dim % conv_group:
            raise UserError(f"decoder_conf.conv_group: {conv_group} must divide embed_dim, {embed_dim}")
        self.embed = self.embedding_class(vocab_size, embed_dim)
        self.dropout_embed = torch.nn.Dropout(dropout)
        self.conv = torch.nn.Conv1d(embed_dim, embed_dim, context_size, groups=embed_dim // conv_group, bias=False)
        # Names that ESPnet's transducer search reads.
        self.odim, self.dunits = vocab_size, embed_dim
        self.blank_id, self.context_size = blank_id, context_size

    @property
    def device(self) -> torch.device:
        return self.embed.weight.device

    def set_device(self, device: torch.device) -> None:
        """The weights' device is used; ESPnet's search calls this."""

    def predict(self, contexts: torch.Tensor, *width: int) -> torch.Tensor:
        """Output after every full window of symbols.

        Args:
            contexts: (B, L) symbols, -1 for none.
            width: active channels, where the embedding is elastic.

        Returns:
            (B, L - context_size + 1, D).
        """
        embedded = self.embed(contexts.clamp(min=0), *width) * (contexts >= 0).unsqueeze(-1)
        return F.relu(self.conv(self.dropout_embed(embedded).transpose(1, 2))).transpose(1, 2)

    def forward(self, labels: torch.Tensor, *width: int) -> torch.Tensor:
        """Args: labels (B, U + 1), blank first; width as in `predict`. Returns: (B, U + 1, D), the output after each symbol."""
        return self.predict(F.pad(labels, (self.context_size - 1, 0), value=-1), *width)

    def init_state(self, batch_size: int) -> torch.Tensor:
        """Contexts before blank: (B, context_size), all -1."""
        return torch.full((batch_size, self.context_size), -1, device=self.device)

    def advance(self, state: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Args: state (B, context_size), labels (B,). Returns: the next state."""
        return torch.cat([state[:, 1:], labels.unsqueeze(1)], dim=1)

    def context_of(self, yseq: Sequence[int]) -> list[int]:
        """Last symbols of a hypothesis, which begins with blank."""
        return ([-1] * self.context_size + list(yseq))[-self.context_size :]

    def score(self, hyp, cache: dict[tuple[int, ...], torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """One hypothesis of ESPnet's search. Returns: (D,), state (1, context_size), last label (1,)."""
        outputs, state, _ = self.batch_score([hyp], None, cache, False)
        return outputs[0], state, state[0, -1:]

    def batch_score(self, hyps, dec_states, cache: dict[tuple[int, ...], torch.Tensor], use_lm: bool):
        """Hypotheses of ESPnet's search.

        Args:
            hyps: N objects with ``yseq``.
            dec_states: not needed, the labels hold all.
            cache: context -> output.
            use_lm: whether labels are wanted too.

        Returns:
            (N, D), states (N, context_size), last labels (N, 1) or None.
        """
        contexts = [tuple(self.context_of(hyp.yseq)) for hyp in hyps]
        new = [context for context in dict.fromkeys(contexts) if context not in cache]
        if new:
            outputs = self.predict(torch.tensor(new, device=self.device))[:, 0]
            cache.update(zip(new, outputs))
        states = torch.tensor(contexts, device=self.device)
        return torch.stack([cache[context] for context in contexts]), states, states[:, -1:] if use_lm else None

    def select_state(self, states: torch.Tensor, idx: int) -> torch.Tensor:
        return states[idx : idx + 1]

    def create_batch_states(self, states, new_states: list[torch.Tensor], check_list=None) -> torch.Tensor:
        return torch.cat(new_states, dim=0)
