"""The additive tanh joiner on pruned cells as one operation that works in blocks: what lies between its steps stays in the cache.

Shapes: B batch, T frames, U symbols, R prune range, J joint space, V vocabulary.
"""

import torch

from espnet_plugin.transducer.lattice import blocks


class _PrunedLogits(torch.autograd.Function):
    @staticmethod
    def forward(ctx, acoustic, prediction, ranges, weight, bias):
        frames, symbols, rows = parts(acoustic, prediction, ranges)
        R, J = ranges.shape[2], frames.shape[1]
        hidden = frames.new_empty(len(frames), R * J)
        logits = frames.new_empty(len(frames), R * len(weight))
        for out, frame, row, made in blocks(hidden, frames, rows, logits):
            cells = out.view(-1, R, J)
            torch.index_select(symbols, 0, row.flatten(), out=cells.view(-1, J))
            cells.add_(frame.unsqueeze(1)).tanh_()
            torch.addmm(bias, cells.view(-1, J), weight.t(), out=made.view(-1, len(weight)))
        ctx.save_for_backward(hidden, rows, weight)
        ctx.shapes = acoustic.shape, prediction.shape
        return logits.view(*ranges.shape, -1)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        hidden, rows, weight = ctx.saved_tensors
        (R, V), J = grad.shape[2:], weight.shape[1]
        acoustic_shape, prediction_shape = ctx.shapes
        on_frames = hidden.new_empty(len(hidden), J)
        on_symbols = hidden.new_zeros(prediction_shape.numel() // J, J)
        on_weight, on_bias = torch.zeros_like(weight), weight.new_zeros(V)
        for h, row, g, frame in blocks(hidden, rows, grad.reshape(len(hidden), R * V), on_frames):
            g, h = g.view(-1, V), h.view(-1, J)
            on_weight.addmm_(g.t(), h)
            on_bias += g.sum(0)
            cells = torch.ops.aten.tanh_backward(g @ weight, h)
            on_symbols.index_add_(0, row.flatten(), cells)
            torch.sum(cells.view(-1, R, J), 1, out=frame)
        return on_frames.view(acoustic_shape), on_symbols.view(prediction_shape), None, on_weight, on_bias


def parts(acoustic: torch.Tensor, prediction: torch.Tensor, ranges: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Frames (B T, J), symbols (B (U + 1), J), and which of the symbols each frame keeps (B T, R)."""
    first = prediction.shape[1] * torch.arange(len(prediction), device=ranges.device)
    return acoustic.flatten(0, 1), prediction.flatten(0, 1), (ranges + first.view(-1, 1, 1)).flatten(0, 1)


def pruned_logits(
    acoustic: torch.Tensor, prediction: torch.Tensor, ranges: torch.Tensor, output: torch.nn.Linear
) -> torch.Tensor:
    """What ``output(tanh(acoustic + prediction))`` is on the kept cells; for the backward pass only the tanh is kept.

    Args:
        acoustic: (B, T, J).
        prediction: (B, U + 1, J).
        ranges: (B, T, R) symbol index of each cell.
        output: layer from J, or from more of which the first J are used, to V.

    Returns:
        (B, T, R, V).
    """
    weight = output.weight[:, : acoustic.shape[-1]]
    return _PrunedLogits.apply(acoustic, prediction, ranges, weight, output.bias)
