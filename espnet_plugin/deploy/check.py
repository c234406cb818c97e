"""Exported graphs against the model they came from, run by ONNX Runtime."""

from pathlib import Path

import onnx
import onnxruntime
import torch

from espnet_plugin.asr.training.model import TODMModel
from espnet_plugin.deploy.graphs import encoder_parts, joint_width
from espnet_plugin.encoder.interface import ExportParts

LENGTHS = (
    7,
    8,
    39,
    150,
    601,
)  # input frames, those that are not too few: the shortest, beside a chunk's edge, over several chunks


class Runtime:
    """A graph, or the file of one, in ONNX Runtime, tensors in and out, on one thread."""

    def __init__(self, graph: onnx.ModelProto | Path):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        source = str(graph) if isinstance(graph, Path) else graph.SerializeToString()
        self.session = onnxruntime.InferenceSession(source, options, ["CPUExecutionProvider"])

    def __call__(self, *inputs: torch.Tensor) -> list[torch.Tensor]:
        named = {value.name: x.numpy() for value, x in zip(self.session.get_inputs(), inputs, strict=True)}
        return [torch.from_numpy(y) for y in self.session.run(None, named)]


def random_features(model: TODMModel, frames: int) -> torch.Tensor:
    """(2, frames, F), distributed as the training data."""
    x = torch.randn(2, frames, model.frontend.output_size(), generator=torch.Generator().manual_seed(frames))
    return x if model.normalize is None else (x * model.normalize.std + model.normalize.mean).float()


@torch.no_grad()
def encode(model: TODMModel, x: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What PyTorch makes of features x (B, S, F). Returns: (B, T, J), (B,)."""
    if model.normalize is not None:
        x, _ = model.normalize(x.clone(), lengths)
    out, lengths, _ = model.encoder(x, lengths)
    return model.joint_network.lin_enc(out), lengths


def run_stream(encoder: Runtime, parts: ExportParts, x: torch.Tensor) -> torch.Tensor:
    """Chunks of a stream one after the other, as the client feeds them. Args: x (B, S, F). Returns: (B, T, J)."""
    frames, shift = parts.stream_frames, parts.stream_shift
    _, _, packed = encoder.session.get_inputs()
    h, c = torch.zeros(1, len(x), 1), torch.zeros(1, len(x), packed.shape[2])
    outputs = []
    for start in range(0, x.shape[1] - frames + 1, shift):
        out, h, c = encoder(x[:, start : start + frames], h, c)
        outputs.append(out)
    return torch.cat(outputs, dim=1)


def encoder_difference(model: TODMModel, graph: onnx.ModelProto | Path, streaming: bool) -> float:
    """Largest difference over utterances of several lengths, each beside a shorter one in a batch; a length that differs is infinite."""
    encoder = Runtime(graph)
    worst = 0.0
    for frames in (max(frames, model.encoder.shortest) for frames in LENGTHS):
        if streaming:
            parts = encoder_parts(model)
            frames = parts.stream_shift * (frames // parts.stream_shift) + parts.stream_frames
            x = random_features(model, frames)
            expected, lengths = encode(model, x, torch.tensor([frames, frames]))
            found = run_stream(encoder, parts, x)
        else:
            x, lengths = (
                random_features(model, frames),
                torch.tensor([frames, max(frames * 2 // 3, model.encoder.shortest)]),
            )
            found, found_lengths = encoder(x, lengths)
            expected, lengths = encode(model, x, lengths)
            if not torch.equal(found_lengths, lengths):
                return float("inf")
        for row, length in enumerate(lengths.tolist()):
            worst = max(worst, (found[row, :length] - expected[row, :length]).abs().max().item())
    return worst


@torch.no_grad()
def decoder_difference(model: TODMModel, graph: onnx.ModelProto) -> float:
    """Largest difference over random contexts, and those at the start of an utterance."""
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(0, model.vocab_size, (64, model.decoder.context_size), generator=generator)
    y[0], y[0, -1] = -1, 0
    return (Runtime(graph)(y)[0] - model.joint_network.lin_dec(model.decoder.predict(y)[:, 0])).abs().max().item()


@torch.no_grad()
def joiner_difference(model: TODMModel, graph: onnx.ModelProto) -> float:
    """Largest difference of the logits."""
    width = joint_width(model)
    pair = torch.randn(2, 64, width, generator=torch.Generator().manual_seed(0))
    return (Runtime(graph)(*pair)[0] - model.joint_network(pair[0], pair[1], no_projection=True)).abs().max().item()
