"""The node ``todm::Carry``, a linear recurrence over chunks that encoders export, as ONNX's Scan (see `Carry` there)."""

import onnx
from onnx import TensorProto, helper

DOMAIN, NAME = "todm", "Carry"
PLACES = ("todm_0", "todm_1")
AXIS = 3  # of the chunks


def scan(node: onnx.NodeProto) -> list[onnx.NodeProto]:
    """Nodes that compute what a `Carry` does: a Scan with a state for each direction, the second one from the last chunk on."""
    directions, (turn, *added) = len(node.output), node.input
    turns = [f"{name}_turn" for name in node.output]
    inside = [
        f"{node.output[0]}_{what}{r}" for what in ("state", "added", "before", "after") for r in range(directions)
    ]
    state, one, before, after = (inside[i * directions : (i + 1) * directions] for i in range(4))
    body, outer, starts = [], [], []
    for r in range(directions):
        body.append(helper.make_node("Identity", [state[r]], [before[r]]))
        body.append(helper.make_node("MatMul", [state[r], turns[r]], [f"{after[r]}_turned"]))
        body.append(helper.make_node("Add", [f"{after[r]}_turned", one[r]], [after[r]]))
        outer.append(helper.make_node("Gather", [turn, PLACES[r]], [turns[r]], axis=1))
        # Zeros of the state's shape: the first chunk of what is added, less itself.
        first, start = f"{node.output[r]}_first", f"{node.output[r]}_start"
        outer.append(helper.make_node("Gather", [added[r], PLACES[0]], [first], axis=AXIS))
        outer.append(helper.make_node("Sub", [first, first], [start]))
        starts.append(start)

    def typed(names: list[str]) -> list[onnx.ValueInfoProto]:
        return [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names]

    graph = helper.make_graph(body, f"{node.output[0]}_body", typed([*state, *one]), typed([*after, *before]))
    ways = list(range(directions))
    outer.append(
        helper.make_node(
            "Scan",
            [*starts, *added],
            [*(f"{name}_end" for name in node.output), *node.output],
            body=graph,
            num_scan_inputs=directions,
            scan_input_directions=ways,
            scan_output_directions=ways,
            scan_input_axes=[AXIS] * directions,
            scan_output_axes=[AXIS] * directions,
        )
    )
    return outer


def expand(model: onnx.ModelProto) -> None:
    """Replace every `Carry` of a model."""
    nodes = [scan(node) if (node.domain, node.op_type) == (DOMAIN, NAME) else [node] for node in model.graph.node]
    if all(len(one) == 1 for one in nodes):
        return
    del model.graph.node[:]
    model.graph.node.extend(node for one in nodes for node in one)
    places = (helper.make_tensor(name, TensorProto.INT64, [], [place]) for place, name in enumerate(PLACES))
    model.graph.initializer.extend(places)
    kept = [opset for opset in model.opset_import if opset.domain != DOMAIN]
    del model.opset_import[:]
    model.opset_import.extend(kept)
