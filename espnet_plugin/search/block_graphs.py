"""Building blocks of a supernet as ONNX graphs: the modules of `espnet_plugin.deploy`, cut where widths change, and without their weights.

Shapes: B batch, S input frames, T encoder frames, F features, D model dimension.
"""

from dataclasses import dataclass
from itertools import count

import onnx
import torch
from onnx import helper, numpy_helper

from espnet_plugin.asr.training.model import TODMModel
from espnet_plugin.deploy import graphs
from espnet_plugin.deploy.chunks import Carried, ChunkedSSM
from espnet_plugin.encoder.mhssm.encoder import TimeReduction
from espnet_plugin.frontend.kaldi_fbank import FRAME_SHIFT
from espnet_plugin.search.timing import Residual

LEAST_FILLED = 2048  # elements of a weight that is not stored


@dataclass(frozen=True)
class Audio:
    """What is timed. Args: streaming: a chunk, else an utterance; frames: S; encoder_frames: T; seconds: of audio."""

    streaming: bool
    frames: int
    encoder_frames: int
    seconds: float

    @property
    def name(self) -> str:
        return "chunk" if self.streaming else "utterance"

    @classmethod
    def of(cls, seconds: float, streaming: bool) -> "Audio":
        if streaming:
            chunk = graphs.STREAM_SHIFT
            return cls(True, graphs.STREAM_FRAMES, chunk // 4, chunk * FRAME_SHIFT)
        frames = max(round(seconds / FRAME_SHIFT), TimeReduction.receptive_field)
        return cls(False, frames, TimeReduction.reduced(frames), seconds)


class Mixers(torch.nn.Module):
    """State space mixers of some layers, with their norms and residual connections, of whole utterances."""

    def __init__(self, layers: list[Residual]):
        super().__init__()
        self.layers = torch.nn.ModuleList(layers).eval()
        for layer in layers:
            layer.block.ssm = ChunkedSSM(layer.block.ssm, graphs.OFFLINE_CHUNK)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Args: x (B, T, D), mask (B, T, 1). Returns: (B, T, D)."""
        for layer in self.layers:
            x = layer(x, mask, None)
        return x


class MixersOnStream(torch.nn.Module):
    """The same for the next chunk of a stream, see `graphs.StreamingEncoder`."""

    def __init__(self, layers: list[Residual]):
        super().__init__()
        self.layers = torch.nn.ModuleList(layers).eval()
        for layer in layers:
            layer.block.ssm = ChunkedSSM(layer.block.ssm, graphs.STREAM_SHIFT // 4)

    @property
    def state_sizes(self) -> list[int]:
        return [layer.block.ssm.state_size for layer in self.layers]

    def forward(self, x: torch.Tensor, c: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Args: x (B, 8, D), c (1, B, all states). Returns: (B, 8, D), next c."""
        carried = tuple(map(Carried, c[0].split(self.state_sizes, dim=-1)))
        for layer, state in zip(self.layers, carried):
            x = layer(x, torch.ones(1, 1, 1), state)
        return x, torch.cat([state.packed for state in carried], dim=-1).unsqueeze(0)


class Ends(torch.nn.Module):
    """What an encoder does before and behind its layers, without the joiner's projection."""

    def __init__(self, model: TODMModel, audio: Audio):
        super().__init__()
        self.encoder, self.streaming = graphs.chunked_encoder(model, graphs.OFFLINE_CHUNK), audio.streaming

    def forward(self, x: torch.Tensor, x_lens: torch.Tensor | None = None) -> torch.Tensor:
        """Args: x (B, S, F), x_lens (B,) for whole utterances. Returns: (B, T, D)."""
        if self.streaming:
            return self.encoder.norm_out(self.encoder.time_reduction(x))
        x = self.encoder.time_reduction(graphs.lengthen(x, TimeReduction.receptive_field))
        mask = torch.arange(x.shape[1]) < TimeReduction.reduced(x_lens).unsqueeze(1)
        return self.encoder.norm_out(x) * mask.unsqueeze(-1).to(x.dtype)


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
