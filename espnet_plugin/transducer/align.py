"""When the symbols of a known sequence are emitted: the most probable path that gives them (Viterbi)."""

import numpy as np
import torch

from espnet_plugin.transducer.greedy import Predictor
from espnet_plugin.transducer.hypothesis import Hypothesis


@torch.no_grad()
def align(
    encoder_out: torch.Tensor, tokens: list[int], decoder, joint_network, blank_id: int, score: float
) -> Hypothesis:
    """The best path of the regular lattice, in which a frame has any number of symbols.

    Args:
        encoder_out: (T, D) of one utterance, T at least 1.
        tokens: U symbols.
        decoder, joint_network: see `greedy.greedy_hypotheses`.
        score: of the hypothesis, passed on.
    """
    decoder.set_device(encoder_out.device)
    predictor = Predictor(decoder, 1, blank_id)
    outputs = [predictor.output]
    for token in tokens:
        predictor.advance(torch.tensor([token], device=encoder_out.device), torch.ones(1, dtype=torch.bool))
        outputs.append(predictor.output)
    log_probs = joint_network(encoder_out.unsqueeze(1), torch.cat(outputs).unsqueeze(0)).log_softmax(
        -1
    )  # (T, U + 1, V)
    on_blank = log_probs[..., blank_id].double().cpu().numpy()
    index = torch.tensor([*tokens, blank_id], device=encoder_out.device).view(1, -1, 1)
    on_symbol = log_probs.gather(2, index.expand(len(log_probs), -1, 1))[..., 0].double().cpu().numpy()
    best = np.full(on_blank.shape, -np.inf)  # of paths into node (t, u)
    best[0, 0] = 0.0
    emitted = np.zeros(best.shape, dtype=bool)  # whether the best of them comes from (t, u - 1)
    for t in range(len(best)):
        if t:
            best[t] = best[t - 1] + on_blank[t - 1]
        for u in range(1, len(tokens) + 1):
            by_symbol = best[t, u - 1] + on_symbol[t, u - 1]
            if by_symbol > best[t, u]:
                best[t, u], emitted[t, u] = by_symbol, True
    backwards, t = [], len(best) - 1
    for u in range(len(tokens), 0, -1):
        while not emitted[t, u]:
            t -= 1
        backwards.append(t)
    frames = tuple(reversed(backwards))
    of_tokens = tuple(float(on_symbol[frame, u]) for u, frame in enumerate(frames))
    return Hypothesis(tuple(tokens), frames, of_tokens, score)
