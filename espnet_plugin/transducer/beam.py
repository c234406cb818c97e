"""Beam search of a batch with at most one symbol a frame, as sherpa-onnx's modified_beam_search.

A hypothesis is a sequence of symbols. Paths that give the same one are merged, their probabilities added (Graves 2012, with one symbol a
frame). Hotwords score a symbol once it is chosen, as in sherpa-onnx; language models take part in the choice.
"""

from collections.abc import Sequence

import torch

from espnet_plugin.transducer.context_graph import ContextGraph, Node
from espnet_plugin.transducer.greedy import Predictor
from espnet_plugin.transducer.hypothesis import Hypothesis
from espnet_plugin.transducer.shallow_fusion import LanguageModel, ShallowFusion

HASH = 6364136223846793005  # odd, so that no history is lost in 64 bits (Knuth's multiplier)


class Beam:
    """K hypotheses of each of B utterances, most probable path first; a place that is not used has score -inf.

    Args:
        batch_size, beam_size: B, K.
        context: hotwords, or None.
        device: of the tensors.
    """

    def __init__(self, batch_size: int, beam_size: int, context: ContextGraph | None, device: torch.device):
        self.scores = torch.full((batch_size, beam_size), -torch.inf, device=device)
        self.scores[:, 0] = 0.0
        self.names = torch.zeros(batch_size, beam_size, dtype=torch.long, device=device)  # hashes of the symbols
        self.earlier = torch.ones(beam_size, beam_size, dtype=torch.bool, device=device).tril(-1)
        self.context = context
        self.states: list[list[Node]] = []  # of the hotwords, where there are any
        if context is not None:
            self.states = [[context.root] * beam_size for _ in range(batch_size)]
        self.steps: list[tuple[torch.Tensor, ...]] = []

    def advance(self, scores, parents, symbols, log_probs, emitted) -> None:
        """Go on to the chosen paths of a frame, all (B, K): score, hypothesis it comes from, symbol, its log probability, whether it is
        written."""
        self.steps.append((parents, symbols, log_probs, emitted))
        if self.context is not None:
            scores = scores + self._bonus(self.context, parents, symbols, emitted).to(scores)
        names = self.names.gather(1, parents)
        self.names = torch.where(emitted, names * HASH + symbols + 1, names)
        used = scores > -torch.inf
        same = (self.names.unsqueeze(2) == self.names.unsqueeze(1)) & used.unsqueeze(1)
        merged = torch.where(same, scores.unsqueeze(1), -torch.inf).logsumexp(-1)
        self.scores = torch.where(used & ~(same & self.earlier).any(-1), merged, -torch.inf)

    def _bonus(
        self, context: ContextGraph, parents: torch.Tensor, symbols: torch.Tensor, emitted: torch.Tensor
    ) -> torch.Tensor:
        rows = zip(self.states, parents.tolist(), symbols.tolist(), emitted.tolist())
        moved = [
            [context.step(states[p], s) if e else (0.0, states[p]) for p, s, e in zip(*row)] for states, *row in rows
        ]
        self.states = [[state for _, state in row] for row in moved]
        return torch.tensor([[bonus for bonus, _ in row] for row in moved])

    def hypotheses(self, ends: torch.Tensor, context_size: int) -> list[list[Hypothesis]]:
        """The end of the utterances.

        Args:
            ends: (B, K) what scores change by here.
            context_size: symbols before the first one, which the length of a hypothesis counts in.

        Returns:
            of each utterance, best score a symbol first, as sherpa-onnx orders them.
        """
        scores = self.scores.double() + ends
        if self.context is not None:
            scores = scores + torch.tensor([[self.context.finish(s) for s in row] for row in self.states]).to(scores)
        parents, *values = (torch.stack(step).cpu() for step in zip(*self.steps))  # (T, B, K)
        places = torch.arange(scores.shape[1]).expand(scores.shape)
        for t in range(len(parents) - 1, -1, -1):
            for value in values:
                value[t] = value[t].gather(1, places)
            places = parents[t].gather(1, places)
        symbols, log_probs, emitted = (value.permute(1, 2, 0) for value in values)  # (B, K, T)
        answers = []
        for b, row in enumerate(scores.tolist()):
            found = []
            for k, score in enumerate(row):
                if score > -torch.inf:
                    frames = emitted[b, k].nonzero()[:, 0]
                    own = (values[b, k, frames].tolist() for values in (symbols, log_probs))
                    tokens, of_tokens = map(tuple, own)
                    found.append(Hypothesis(tokens, tuple(frames.tolist()), of_tokens, score))
            answers.append(sorted(found, key=lambda h: h.score / (len(h.tokens) + context_size), reverse=True))
        return answers


@torch.no_grad()
def beam_search(
    encoder_out: torch.Tensor,
    lengths: torch.Tensor,
    decoder,
    joint_network,
    beam_size: int,
    blank_id: int = 0,
    silent: Sequence[int] = (),
    context: ContextGraph | None = None,
    models: Sequence[tuple[LanguageModel, float]] = (),
) -> list[list[Hypothesis]]:
    """The most probable sequences of symbols of each utterance.

    Args:
        encoder_out: (B, T, D).
        lengths: (B,) frames.
        decoder: `StatelessDecoder`, `PredictionAt` or ESPnet's TransducerDecoder.
        joint_network: ESPnet's JointNetwork or `JoinerAt`.
        beam_size: K, hypotheses kept; 1 is greedy search.
        blank_id: index of blank.
        silent: further symbols that are not written, as ``<unk>`` on devices.
        context: hotwords.
        models: language models with their weights.

    Returns:
        hypotheses of each utterance, best first, 1 to K. Their score is the natural logarithm of the probability of all paths that were
        kept, with weighted language models and hotwords; their log probabilities are those of the transducer alone.
    """
    decoder.set_device(encoder_out.device)
    acoustic = joint_network.lin_enc(encoder_out)  # (B, T, J)
    count, frames, _ = acoustic.shape
    predictor = Predictor(decoder, count * beam_size, blank_id)
    predicted = joint_network.lin_dec(predictor.output)  # (B K, J)
    beam = Beam(count, beam_size, context, encoder_out.device)
    fusion = None
    mute = torch.tensor([blank_id, *silent], device=encoder_out.device)
    own = torch.arange(beam_size, device=encoder_out.device).expand(count, -1)
    first_rows = beam_size * torch.arange(count, device=encoder_out.device).unsqueeze(1)
    for t in range(frames):
        logits = joint_network(acoustic[:, t].repeat_interleave(beam_size, 0), predicted, no_projection=True)
        log_probs = logits.log_softmax(-1).unflatten(0, (count, beam_size))  # (B, K, V)
        totals = log_probs + beam.scores.unsqueeze(-1)
        if models:
            fusion = fusion or ShallowFusion(models, count, beam_size, mute, logits)
            totals = totals + fusion.rows
        scores, places = totals.flatten(1).topk(beam_size)
        parents, symbols = places // logits.shape[1], places % logits.shape[1]
        chosen = log_probs.flatten(1).gather(1, places)
        if t >= int(lengths.min()):
            going = (t < lengths).unsqueeze(1)
            scores, parents = torch.where(going, scores, beam.scores), torch.where(going, parents, own)
            symbols = torch.where(going, symbols, blank_id)
        emitted = (symbols.unsqueeze(-1) != mute).all(-1)
        beam.advance(scores, parents, symbols, chosen, emitted)
        rows = (first_rows + parents).flatten()
        predictor.select(rows)
        if emitted.any():
            predictor.advance(symbols.flatten(), emitted.flatten())
            predicted = joint_network.lin_dec(predictor.output)
        else:
            predicted = predicted[rows]
        if fusion is not None:
            fusion.advance(parents, symbols, emitted)
    ends = torch.zeros(count, beam_size) if fusion is None else fusion.ends()
    return beam.hypotheses(ends.to(beam.scores), getattr(decoder, "context_size", 1))
