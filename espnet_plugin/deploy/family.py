"""Sizes of one supernet in one folder: graphs for each, one file of weights for all.

A smaller size's weights are leading blocks of a larger one's, so a graph reads the larger tensor and slices it; ONNX Runtime folds that
when it loads. Tensors are matched by their values, so this holds for whatever a search space slices, and costs bytes where it does not.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from espnet_plugin.asr.training.model import TODMModel
from espnet_plugin.common.files import check_place, write_whole
from espnet_plugin.deploy import check
from espnet_plugin.deploy.readme import readme
from espnet_plugin.deploy.sherpa import LARGEST_DIFFERENCE, MADE_OF, PARTS, export_parts, tokens_text, write_texts
from espnet_plugin.errors import UserError

WEIGHTS = "weights.bin"
LEAST = 256  # bytes: smaller tensors stay in the graph


@dataclass(frozen=True)
class Kept:
    """A tensor in the file of weights. Args: value; offset: its first byte."""

    value: np.ndarray
    offset: int

    def leads_with(self, value: np.ndarray) -> bool:
        """Whether `value` is the leading block of this tensor."""
        if self.value.ndim != value.ndim or self.value.dtype != value.dtype:
            return False
        if any(own < other for own, other in zip(self.value.shape, value.shape)):
            return False
        return np.array_equal(self.value[tuple(map(slice, value.shape))], value)


class Weights:
    """The file of weights as it grows."""

    def __init__(self):
        self.kept: list[Kept] = []
        self.size = 0

    def find(self, value: np.ndarray) -> Kept:
        """The tensor that `value` is a leading block of, added when there is none."""
        for kept in self.kept:
            if kept.leads_with(value):
                return kept
        kept = Kept(value, self.size)
        self.kept.append(kept)
        self.size += value.nbytes
        return kept

    def write(self, path: Path) -> None:
        with path.open("wb") as file:
            for kept in self.kept:
                file.write(np.ascontiguousarray(kept.value).tobytes())


def external(name: str, kept: Kept) -> onnx.TensorProto:
    """A tensor that lies in the file of weights."""
    tensor = onnx.TensorProto(name=name, data_type=helper.np_dtype_to_tensor_dtype(kept.value.dtype))
    tensor.dims.extend(kept.value.shape)
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", WEIGHTS), ("offset", kept.offset), ("length", kept.value.nbytes)):
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def move_out(model: onnx.ModelProto, weights: Weights) -> None:
    """Replace a graph's tensors by references to `weights`, sliced where the graph's are smaller."""
    kept_inside, slices, whole = [], [], {}
    for tensor in model.graph.initializer:
        value = numpy_helper.to_array(tensor)
        if value.nbytes < LEAST or value.ndim == 0:
            kept_inside.append(tensor)
            continue
        kept = weights.find(value)
        if kept.value.shape == value.shape:
            whole[tensor.name] = external(tensor.name, kept)
            continue
        name, ends = f"{tensor.name}_whole", f"{tensor.name}_ends"
        whole[name] = external(name, kept)
        starts = f"{tensor.name}_starts"
        kept_inside.append(numpy_helper.from_array(np.zeros(value.ndim, dtype=np.int64), starts))
        kept_inside.append(numpy_helper.from_array(np.array(value.shape, dtype=np.int64), ends))
        slices.append(helper.make_node("Slice", [name, starts, ends], [tensor.name]))
    nodes = [*slices, *model.graph.node]
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend([*kept_inside, *whole.values()])


def export_family(
    models: dict[str, TODMModel],
    out: Path,
    streaming: bool = False,
    inputs: Iterable[Path] = (),
    bpemodel: Path | None = None,
) -> dict[str, float]:
    """Write a folder with encoder-NAME.onnx, decoder-NAME.onnx and joiner-NAME.onnx for each size, which share weights.bin.

    Args:
        models: name -> size of one supernet, in evaluation mode.
        out: folder, replaced whole if it was exported before.
        streaming: for the client's OnlineRecognizer.
        inputs: model directories, which `out` must not hold.
        bpemodel: the sentencepiece model, for hotwords.

    Returns:
        name -> largest difference of the encoder, as loaded from the folder, from PyTorch.

    Raises:
        UserError: a size cannot be deployed, the sizes have different tokens, or `out` is something else (see `check_place`).
    """
    out = check_place(Path(out), MADE_OF, inputs)
    texts = {tokens_text(model) for model in models.values()}
    if len(texts) > 1:
        raise UserError(f"sizes {', '.join(models)}: their token lists differ, so they are not of one supernet")
    sizes = {name: export_parts(model, False, streaming) for name, model in models.items()}
    by_size = sorted(sizes, key=lambda name: -sum(part.graph.ByteSize() for part in sizes[name]))
    weights = Weights()
    for name in by_size:
        for part in sizes[name]:
            move_out(part.graph, weights)
    found = {}

    def write(folder: Path) -> None:
        folder.mkdir()
        weights.write(folder / WEIGHTS)
        for name, parts in sizes.items():
            for part in parts:
                path = folder / f"{part.name}-{name}.onnx"
                path.write_bytes(part.graph.SerializeToString())
                onnx.checker.check_model(path)
            found[name] = check.encoder_difference(models[name], folder / f"encoder-{name}.onnx", streaming)
            if not found[name] <= LARGEST_DIFFERENCE:
                raise UserError(f"encoder-{name}.onnx differs from PyTorch by {found[name]:.2g}: not exported")
        names = {part: f"{part}-{by_size[0]}.onnx" for part in PARTS}
        model = models[by_size[0]]
        write_texts(folder, model, bpemodel, lambda hotwords: readme(names, streaming, False, by_size, hotwords))

    write_whole(out, write, MADE_OF, inputs)
    return found
