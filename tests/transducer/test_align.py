"""The best path of known symbols, against all paths written out."""

import itertools

import pytest
import torch

from espnet_plugin.transducer.align import align

D = 12  # of `build`


@pytest.mark.parametrize("kind", ["stateless", "gru"])
@pytest.mark.parametrize("tokens", [[], [2], [3, 3, 1]])
def test_best_of_all_paths(build, kind, tokens):
    """Several symbols may come on one frame; the path ends with the last frame's blank."""
    decoder, joint = build(kind, 4)
    frames = 2 * torch.randn(4, D)
    with torch.no_grad():
        outputs = decoder(torch.tensor([[0, *tokens]]))[0]  # (U + 1, P)
        rows = joint(frames.unsqueeze(1), outputs.unsqueeze(0)).log_softmax(-1)
        found = align(frames, tokens, decoder, joint, 0, -1.5)
    best = {}
    for places in itertools.combinations_with_replacement(range(4), len(tokens)):
        score = sum(float(rows[t, u, token]) for u, (t, token) in enumerate(zip(places, tokens)))
        score += sum(float(rows[t, sum(place <= t for place in places), 0]) for t in range(4))
        best[places] = score
    assert found.frames == max(best, key=best.get) and found.tokens == tuple(tokens) and found.score == -1.5
    expected = [float(rows[t, u, token]) for u, (t, token) in enumerate(zip(found.frames, tokens))]
    assert found.log_probs == pytest.approx(expected, abs=1e-5)
