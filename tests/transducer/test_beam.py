"""Beam search against all paths written out, against a search over dictionaries, and against greedy search."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet_plugin.transducer.beam import beam_search
from espnet_plugin.transducer.context_graph import ContextGraph
from espnet_plugin.transducer.greedy import greedy_hypotheses

V, D = 7, 12  # of `build`


class Bigram:
    """A language model of random numbers for tests: the next symbol depends on the last one; a bonus at the end for an even last symbol."""

    def __init__(self, seed=0):
        self.table = torch.randn(V + 1, V, generator=torch.Generator().manual_seed(seed)).log_softmax(-1)

    def score(self, prefixes, states):
        assert all(state == (prefix[:-1] if prefix else None) for prefix, state in zip(prefixes, states))
        return self.table[[prefix[-1] if prefix else V for prefix in prefixes]], list(prefixes)

    def end(self, states):
        return [0.5 if prefix and prefix[-1] % 2 == 0 else 0.0 for prefix in states]


@torch.no_grad()
def log_probs_of(decoder, joint, frame, prefix, blank):
    """(V,) of one frame after one prefix, straight from the modules."""
    predicted = decoder(torch.tensor([[blank, *prefix]]))[:, -1]
    return joint(frame[None], predicted)[0].log_softmax(-1)


def reference(encoder_out, decoder, joint, beam, blank=0, silent=(), context=None, models=()):
    """Modified beam search over a dictionary of prefixes, in double precision: what sherpa-onnx's documentation describes."""
    kept = {(): (0.0, context and context.root)}
    for frame in encoder_out:
        paths = []
        for prefix, (score, state) in kept.items():
            rows = log_probs_of(decoder, joint, frame, prefix, blank).double()
            for model, weight in models:
                extra = model.table[prefix[-1] if prefix else V].double().clone()
                extra[[blank, *silent]] = 0.0
                rows = rows + weight * extra
            paths += [(score + float(row), prefix, state, symbol) for symbol, row in enumerate(rows)]
        paths.sort(key=lambda found: -found[0])
        kept = {}
        for score, prefix, state, symbol in paths[:beam]:
            if symbol != blank and symbol not in silent:
                prefix = (*prefix, symbol)
                if context:
                    bonus, state = context.step(state, symbol)
                    score += bonus
            if prefix in kept:
                score = torch.logaddexp(torch.tensor(score).double(), torch.tensor(kept[prefix][0]).double()).item()
            kept[prefix] = (score, state)
    if context:
        kept = {prefix: (score + context.finish(state), state) for prefix, (score, state) in kept.items()}
    ends = {prefix: sum(weight * model.end([prefix])[0] for model, weight in models) for prefix in kept}
    found = [(prefix, score + ends[prefix]) for prefix, (score, _) in kept.items()]
    size = getattr(decoder, "context_size", 1)
    return sorted(found, key=lambda one: -one[1] / (len(one[0]) + size))


@pytest.mark.parametrize("kind", ["stateless", "lstm"])
def test_a_wide_beam_finds_the_probability_of_every_sequence(build, kind):
    """All V ^ T paths written out, those with the same symbols added up."""
    decoder, joint = build(kind, 3)
    frames = 2 * torch.randn(3, D)
    expected: dict[tuple[int, ...], float] = {}
    for path in itertools.product(range(V), repeat=len(frames)):
        prefix, total = (), 0.0
        for frame, symbol in zip(frames, path):
            total += float(log_probs_of(decoder, joint, frame, prefix, 0)[symbol])
            prefix = (*prefix, symbol) if symbol else prefix
        expected[prefix] = expected.get(prefix, 0.0) + math.exp(total)
    (found,) = beam_search(frames[None], torch.tensor([3]), decoder, joint, 7**3)
    assert {hypothesis.tokens: math.exp(hypothesis.score) for hypothesis in found} == pytest.approx(expected, rel=1e-4)
    assert sum(math.exp(hypothesis.score) for hypothesis in found) == pytest.approx(1, rel=1e-4)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    kind=st.sampled_from(["stateless", "gru"]),
    beam=st.integers(1, 6),
    blank=st.sampled_from([0, V - 1]),
    hot=st.booleans(),
    fused=st.booleans(),
)
def test_the_same_hypotheses_as_a_search_over_dictionaries(build, seed, kind, beam, blank, hot, fused):
    decoder, joint = build(kind, seed, blank)
    encoder_out, lengths = 2 * torch.randn(3, 8, D), torch.tensor([8, 5, 1])
    encoder_out[1, 5:] = float("nan")  # padding does not matter
    phrases = [([2, 3], 1.5), ([2, 3, 4], 0.7), ([3, 3], 1.0)] if hot else []
    options = dict(
        silent=(1,), context=ContextGraph(phrases) if hot else None, models=[(Bigram(), 0.3)] if fused else []
    )
    found = beam_search(encoder_out, lengths, decoder, joint, beam, blank, **options)
    for x, length, hypotheses in zip(encoder_out, lengths, found):
        expected = reference(x[:length], decoder, joint, beam, blank, **options)
        assert [hypothesis.tokens for hypothesis in hypotheses] == [prefix for prefix, _ in expected]
        assert [hypothesis.score for hypothesis in hypotheses] == pytest.approx([s for _, s in expected], abs=1e-3)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", ["stateless", "lstm", "gru"])
def test_a_beam_of_one_is_greedy_search(build, kind, seed):
    decoder, joint = build(kind, seed)
    encoder_out, lengths = 2 * torch.randn(4, 12, D), torch.tensor([12, 7, 1, 12])
    greedy = greedy_hypotheses(encoder_out, lengths, decoder, joint)
    for (alone,), expected in zip(beam_search(encoder_out, lengths, decoder, joint, 1), greedy):
        assert (alone.tokens, alone.frames) == (expected.tokens, expected.frames)
        assert alone.log_probs == pytest.approx(expected.log_probs, abs=1e-5)
        assert alone.score == pytest.approx(expected.score, abs=1e-4)


def test_one_at_a_time_equals_the_batch(build):
    decoder, joint = build("lstm", 1)
    encoder_out, lengths = 2 * torch.randn(4, 12, D), torch.tensor([12, 3, 5, 12])
    together = beam_search(encoder_out, lengths, decoder, joint, 4)
    for x, length, expected in zip(encoder_out, lengths, together):
        (alone,) = beam_search(x[None, :length], length[None], decoder, joint, 4)
        assert [(h.tokens, h.frames) for h in alone] == [(h.tokens, h.frames) for h in expected]
        assert [h.score for h in alone] == pytest.approx([h.score for h in expected], abs=1e-4)


def test_frames_and_log_probabilities_are_those_of_the_path(build):
    decoder, joint = build("stateless", 5)
    encoder_out = 2 * torch.randn(1, 10, D)
    for hypothesis in beam_search(encoder_out, torch.tensor([10]), decoder, joint, 4)[0]:
        assert sorted(set(hypothesis.frames)) == list(hypothesis.frames)  # one symbol a frame, in order
        for place, (token, frame, log_prob) in enumerate(
            zip(hypothesis.tokens, hypothesis.frames, hypothesis.log_probs)
        ):
            row = log_probs_of(decoder, joint, encoder_out[0, frame], hypothesis.tokens[:place], 0)
            assert log_prob == pytest.approx(float(row[token]), abs=1e-5)


def test_no_hotwords_and_no_weight_change_nothing(build):
    decoder, joint = build("stateless", 2)
    encoder_out, lengths = 2 * torch.randn(2, 9, D), torch.tensor([9, 6])
    plain = beam_search(encoder_out, lengths, decoder, joint, 3)
    assert beam_search(encoder_out, lengths, decoder, joint, 3, context=ContextGraph([])) == plain
    assert beam_search(encoder_out, lengths, decoder, joint, 3, models=[(Bigram(), 0.0)]) == plain


def test_merging_by_hand(build):
    """Two frames, blank and one symbol, each with probability 1/2: the symbol once has two paths and 1/2, nothing and twice have 1/4."""
    decoder, joint = build("stateless", 0)
    decoder.conv.weight.data.zero_()
    joint.lin_enc.weight.data.zero_()
    joint.lin_out.weight.data.zero_()
    joint.lin_out.bias.data[:] = torch.tensor([0.0, 0.0] + [-math.inf] * (V - 2))
    (found,) = beam_search(torch.zeros(1, 2, D), torch.tensor([2]), decoder, joint, 4)
    assert {h.tokens: math.exp(h.score) for h in found} == pytest.approx({(): 0.25, (1,): 0.5, (1, 1): 0.25})
