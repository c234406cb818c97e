"""ONNX files: from a module, made small, quantised."""

import logging
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

from espnet_plugin.deploy import scans

OPSET = 17  # what sherpa-onnx's ONNX Runtime and older ones on devices load


def to_onnx(module: torch.nn.Module, inputs: dict, outputs: list[str], axes: dict[str, list]) -> onnx.ModelProto:
    """Export a module.

    Args:
        module: in evaluation mode.
        inputs: name -> example tensor, in the order of `forward`.
        outputs: names in order.
        axes: input or output name -> names of its axes, None for a fixed one.

    Returns:
        the graph; constant parts of it are not folded, except transposed weights.
    """
    dynamic = {name: {i: axis for i, axis in enumerate(names) if axis} for name, names in axes.items()}
    with tempfile.TemporaryDirectory() as folder, torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on the exporter's age, and on shapes that are constant here
        path = Path(folder) / "graph.onnx"
        # The exporter built on TorchScript: the newer one has no scripted loops.
        torch.onnx.export(
            module.eval(),
            tuple(inputs.values()),
            path,
            dynamo=False,
            opset_version=OPSET,
            do_constant_folding=False,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes=dynamic,
        )
        model = onnx.load(path)
    scans.expand(model)
    share_constants(model)
    fold_transposes(model)
    return model


def graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """A graph and all inside it, as the bodies of loops."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from graphs(attribute.g)


def share_constants(model: onnx.ModelProto) -> None:
    """Keep one of all equal constants, as an initialiser of the outer graph, where loops see it too."""
    kept, same = {}, {}
    for graph in graphs(model.graph):
        nodes = []
        for node in graph.node:
            if node.op_type != "Constant" or node.attribute[0].name != "value":
                nodes.append(node)
                continue
            tensor = node.attribute[0].t
            value = numpy_helper.to_array(tensor)
            key = (value.dtype.str, value.shape, value.tobytes())
            if key not in kept:
                kept[key] = node.output[0]
                model.graph.initializer.append(numpy_helper.from_array(value, node.output[0]))
            same[node.output[0]] = kept[key]
        del graph.node[:]
        graph.node.extend(nodes)
    rename(model, same)


def fold_transposes(model: onnx.ModelProto) -> None:
    """Store weights as they are multiplied with; quantisation finds no others."""
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes = []
    for node in model.graph.node:
        if node.op_type != "Transpose" or node.input[0] not in weights:
            nodes.append(node)
            continue
        value = numpy_helper.to_array(weights[node.input[0]]).transpose(list(node.attribute[0].ints))
        model.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(value), node.output[0]))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    drop_unused(model)


def drop_unused(model: onnx.ModelProto) -> None:
    """Remove initialisers that nothing reads."""
    read = {name for graph in graphs(model.graph) for node in graph.node for name in node.input}
    read |= {output.name for graph in graphs(model.graph) for output in graph.output}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in read]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)


def rename(model: onnx.ModelProto, names: dict[str, str]) -> None:
    """Rename values everywhere. Args: names: old -> new."""
    for graph in graphs(model.graph):
        for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
            value.name = names.get(value.name, value.name)
        for node in graph.node:
            node.input[:] = [names.get(name, name) for name in node.input]
            node.output[:] = [names.get(name, name) for name in node.output]


def shorten_names(model: onnx.ModelProto) -> None:
    """Short names for all but inputs and outputs: in a small model the exporter's would take a fifth of the file."""
    keep = {value.name for value in (*model.graph.input, *model.graph.output)} | {""}
    short: dict[str, str] = {}
    for graph in graphs(model.graph):
        del graph.value_info[:]
        for node in graph.node:
            node.name = node.doc_string = ""
        values = [value.name for value in (*graph.input, *graph.output, *graph.initializer)]
        for name in (*values, *(name for node in graph.node for name in (*node.input, *node.output))):
            if name not in keep:
                short.setdefault(name, f"_{len(short):x}")
    rename(model, short)


def quantise(model: onnx.ModelProto) -> onnx.ModelProto:
    """Weights of matrix products as int8, one scale for each output; their inputs are quantised at run time. All else stays float.

    Weights take 7 of the 8 bits: on x86 pairs of products are added in 16 bits and would overflow (ONNX Runtime calls it reduce_range).
    """
    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        onnx.save(model, before)
        level = logging.root.level
        logging.root.setLevel(logging.ERROR)  # it recommends a pre-processing that would fold the tables
        try:
            quantize_dynamic(
                before,
                after,
                op_types_to_quantize=["MatMul"],
                per_channel=True,
                reduce_range=True,
                weight_type=QuantType.QInt8,
            )
        finally:
            logging.root.setLevel(level)
        return onnx.load(after)


def finish(model: onnx.ModelProto, metadata: dict) -> onnx.ModelProto:
    """Short names, metadata for the client, a check of the whole. Returns: `model`."""
    shorten_names(model)
    helper.set_model_props(model, {key: str(value) for key, value in metadata.items()})
    onnx.checker.check_model(model)
    return model
