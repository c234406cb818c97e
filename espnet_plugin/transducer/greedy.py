"""Greedy transducer search of a batch, at most one symbol a frame, as sherpa-onnx and ESPnet's greedy search do it."""

from collections.abc import Sequence

import torch

from espnet_plugin.transducer.hypothesis import Hypothesis


class Predictor:
    """The prediction network as a batch of states: stateless, or ESPnet's recurrent ``transducer`` decoder.

    Args:
        decoder: prediction network.
        batch_size: B.
        blank_id: the symbol that every hypothesis starts with.

    Attributes:
        output: (B, P), behind the symbols so far.
    """

    output: torch.Tensor

    def __init__(self, decoder, batch_size: int, blank_id: int):
        self.decoder = decoder
        self.state = decoder.init_state(batch_size)
        start = torch.full((batch_size,), blank_id, device=decoder.device)
        if hasattr(decoder, "predict"):
            self.advance(start, torch.ones_like(start, dtype=torch.bool))
        else:
            output, self.state = decoder.rnn_forward(decoder.embed(start.unsqueeze(1)), self.state)
            self.output = output[:, 0]

    def advance(self, labels: torch.Tensor, rows: torch.Tensor) -> None:
        """Feed `labels` (B,) to the rows (B,) that emitted; the others keep state and output."""
        if hasattr(self.decoder, "predict"):  # stateless
            state = torch.where(rows.unsqueeze(1), self.decoder.advance(self.state, labels), self.state)
            self.state, self.output = state, self.decoder.predict(state)[:, 0]
            return
        output, state = self.decoder.rnn_forward(self.decoder.embed(labels.unsqueeze(1)), self.state)
        self.output = torch.where(rows.unsqueeze(1), output[:, 0], self.output)
        keep = rows.view(1, -1, 1)
        self.state = tuple(old if new is None else torch.where(keep, new, old) for new, old in zip(state, self.state))

    def select(self, rows: torch.Tensor) -> None:
        """Go on from these rows (N,), in this order."""
        self.output = self.output[rows]
        if hasattr(self.decoder, "predict"):
            self.state = self.state[rows]
        else:
            self.state = tuple(state if state is None else state[:, rows] for state in self.state)


@torch.no_grad()
def greedy_hypotheses(
    encoder_out: torch.Tensor,
    lengths: torch.Tensor,
    decoder,
    joint_network,
    blank_id: int = 0,
    predictor: Predictor | None = None,
    silent: Sequence[int] = (),
) -> list[Hypothesis]:
    """Most probable symbol of each frame, given the symbols before.

    Args:
        encoder_out: (B, T, D).
        lengths: (B,) frames.
        decoder: `StatelessDecoder`, `PredictionAt` or ESPnet's TransducerDecoder.
        joint_network: see `Joiner`.
        blank_id: index of blank.
        predictor: to go on from on a stream, and changed by the search; None at the start of the utterances.
        silent: further symbols that are passed over like blank.

    Returns:
        the path of each utterance.
    """
    decoder.set_device(encoder_out.device)  # ESPnet's makes its states there
    acoustic = joint_network.lin_enc(encoder_out)  # (B, T, J)
    predictor = predictor or Predictor(decoder, len(encoder_out), blank_id)
    predicted = joint_network.lin_dec(predictor.output)  # (B, J)
    best, log_probs = [], []
    for t in range(acoustic.shape[1]):
        logits = joint_network(acoustic[:, t], predicted, no_projection=True)
        top, symbols = logits.max(-1)
        mute = t >= lengths
        for index in silent:
            mute = mute | (symbols == index)
        symbols = symbols.masked_fill(mute, blank_id)
        best.append(symbols)
        log_probs.append(top - logits.logsumexp(-1))
        emitted = symbols != blank_id
        if emitted.any():
            predictor.advance(symbols, emitted)
            predicted = joint_network.lin_dec(predictor.output)
    rows = zip(torch.stack(best, 1).tolist(), torch.stack(log_probs, 1).tolist(), lengths.tolist())
    return [path(symbols[:length], logs[:length], blank_id) for symbols, logs, length in rows]


def path(symbols: list[int], log_probs: list[float], blank_id: int) -> Hypothesis:
    """One symbol a frame as a hypothesis."""
    frames = tuple(frame for frame, symbol in enumerate(symbols) if symbol != blank_id)
    tokens, of_tokens = tuple(symbols[frame] for frame in frames), tuple(log_probs[frame] for frame in frames)
    return Hypothesis(tokens, frames, of_tokens, sum(log_probs))


def greedy_search(*args, **kwargs) -> list[list[int]]:
    """Symbols of each utterance: those of `greedy_hypotheses`, which see."""
    return [list(found.tokens) for found in greedy_hypotheses(*args, **kwargs)]
