"""Graphs of a kit: one that computes nearly nothing, and any without its weights."""

from itertools import count

import onnx
import torch
from onnx import helper, numpy_helper

LEAST_FILLED = 2048  # elements of a weight that is not stored


class Nothing(torch.nn.Module):
    """What a call costs that computes nearly nothing."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 1.5


def without_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with its large weights made at load time, each of another value so that none is merged with another. Changes `model`."""
    kept, made, number = [], [], count(1)
    for tensor in model.graph.initializer:
        value = numpy_helper.to_array(tensor)
        if value.size < LEAST_FILLED or value.dtype.kind not in "fi":
            kept.append(tensor)
            continue
        i = next(number)
        filler = value.dtype.type(1e-3 * (1 + 1e-3 * i) if value.dtype.kind == "f" else 1 + i % 100)
        shape = helper.make_tensor(f"{tensor.name}_shape", onnx.TensorProto.INT64, [value.ndim], value.shape)
        one = helper.make_tensor("value", tensor.data_type, [1], [filler])
        kept.append(shape)
        made.append(helper.make_node("ConstantOfShape", [shape.name], [tensor.name], value=one))
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    nodes = [*made, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model
