"""Parameters and multiply-adds of prediction network and joiner, from their sizes alone.

Both are counted once a frame, `rate` times a second: what greedy search with at most one symbol a frame needs at most.
"""

import torch

from espnet_plugin.supernet.cost import Cost


def stateless_cost(vocab_size: int, width: int, context_size: int, rate: int, group: int = 1) -> Cost:
    """Of a `StatelessDecoder`: embedding, convolution without bias over groups of channels."""
    return Cost((vocab_size + context_size * group) * width, rate * context_size * group * width)


def recurrent_cost(decoder: torch.nn.Module, rate: int) -> Cost:
    """Of ESPnet's recurrent prediction network, whose size is fixed: every weight matrix is used once a step."""
    embeddings = sum(p.numel() for m in decoder.modules() if isinstance(m, torch.nn.Embedding) for p in m.parameters())
    weights = sum(p.numel() for p in decoder.parameters() if p.ndim > 1)
    return Cost(sum(p.numel() for p in decoder.parameters()), rate * (weights - embeddings))


def joiner_cost(vocab_size: int, encoder_dim: int, prediction_dim: int, width: int, bias: bool, rate: int) -> Cost:
    """Of an additive joiner; bias: whether the prediction network's projection has one."""
    weights = width * (encoder_dim + prediction_dim + vocab_size)
    return Cost(weights + width * (1 + bias) + vocab_size, rate * weights)
