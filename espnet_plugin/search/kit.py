"""A kit: a folder of ONNX graphs and one script, to time a supernet's building blocks on a device without torch or this project.

A block's time is a weighted sum of graphs' times, which the kit states: of three copies less that of an empty graph, over three. Random
subnets, exported whole as `deploy` does, are in the kit too, so that predictions are checked where the blocks are timed.
"""

import shutil
from pathlib import Path

import onnx
import torch
from tqdm import tqdm

from espnet_plugin.asr.inference.extract import extract, space_of
from espnet_plugin.asr.inference.loading import TrainedModel
from espnet_plugin.asr.training.model import TODMModel
from espnet_plugin.common.files import write_json
from espnet_plugin.deploy import graphs, sherpa
from espnet_plugin.deploy.onnx_file import finish, quantise, to_onnx
from espnet_plugin.encoder.interface import Audio
from espnet_plugin.search import target
from espnet_plugin.search.block_graphs import Nothing, without_weights
from espnet_plugin.search.blocks import ModelBlocks
from espnet_plugin.search.latency import VERSION
from espnet_plugin.search.timing import search_widths, unseen_subnets
from espnet_plugin.supernet.subnet import Subnet

COPIES = 3  # of a block in a graph, so that what a call costs by itself is a small part
REPEAT = 10  # calls in a row of what takes microseconds


class Kit:
    """Writes graphs to a folder and remembers how they are called and what is made of their times.

    Args:
        folder: that is there; trained: supernet; audio: what is timed; int8: quantise as `deploy` does.
        symbols_per_second: expected in speech.

    Raises:
        UserError: the model cannot be deployed, or is to stream and has no forward direction.
    """

    def __init__(self, folder: Path, trained: TrainedModel, audio: Audio, int8: bool, symbols_per_second: float):
        self.folder, self.trained, self.audio, self.int8 = folder, trained, audio, int8
        self.model = model = trained.model
        self.widths, self.space = ModelBlocks(model), space_of(model)
        self.share = self.widths.share(symbols_per_second)
        self.table = {"version": VERSION, "audio": audio.name, "audio_seconds": audio.seconds}
        self.table |= {"symbols_per_second": symbols_per_second, "fixed": self.widths.sizes}
        if audio.streaming:
            self.space = model.encoder.streaming_space()
        self.jobs: dict[str, dict] = {}
        self.blocks: dict[str, list[tuple[str, float]]] = {}
        self.checks: list[dict] = []
        sherpa.check_deployable(self.alone(self.space.min), audio.streaming)

    def alone(self, subnet: Subnet) -> TODMModel:
        return extract(self.trained, subnet).model

    def write(self, name: str, graph: onnx.ModelProto) -> str:
        """Returns: the name of the file."""
        graph = quantise(graph) if self.int8 else graph
        file = f"{name.replace(' ', '_')}.onnx"
        (self.folder / file).write_bytes(finish(without_weights(graph), {}).SerializeToString())
        return file

    @property
    def repeat(self) -> int:
        return REPEAT if self.audio.streaming else 1

    def job(self, file: str, inputs: dict[str, tuple], **more) -> dict:
        """How a graph is called. Args: inputs: name -> shape and kind, see `target.example`."""
        return {"graph": file, "inputs": inputs, "repeat": self.repeat} | more

    def time(self, name: str, module: torch.nn.Module, inputs: dict[str, tuple]) -> None:
        """Add a graph, its axes as free as those of the deployed encoder. Args: inputs: see `job`."""
        examples = {key: torch.from_numpy(target.example(*like)) for key, like in inputs.items()}
        free: dict[int, list] = {1: ["N"], 3: ["N", "T", None]}
        axes: dict[str, list] = {key: free[x.dim()] for key, x in examples.items()}
        axes["y"] = free[3]
        if "c" in inputs:
            axes |= {key: [None, "N", None] for key in ("c", "next_c")}
        outputs = ["y", "next_c"] if "c" in inputs else ["y"]
        self.jobs[name] = self.job(self.write(name, to_onnx(module, examples, outputs, axes)), inputs)

    def add_width(self, d: int, smallest: Subnet) -> None:
        """All blocks of the encoder at a width of its output. Args: smallest: subnet of this width."""
        encoder, alone, name = self.widths.encoder, self.alone(smallest), self.widths.encoder.names(smallest)[0]
        x = {"x": ([1, self.audio.encoder_frames, d], "noise")}
        self.time(f"empty d{d}", Nothing(), x)
        self.time(name, graphs.encoder_parts(alone).ends(self.audio.streaming), self.features(alone))
        self.blocks[name] = [(name, 1)]
        for block in encoder.layers(self.space, self.audio):
            if block.width == d:
                module, more = block.chain(COPIES)
                self.time(block.name, module, x | more)
                self.blocks[block.name] = [(block.name, 1 / COPIES), (f"empty d{d}", -1 / COPIES)]

    def features(self, model: TODMModel) -> dict[str, tuple]:
        """Inputs of an encoder, without states."""
        x = {"x": ([1, self.audio.frames, model.frontend.output_size()], "noise")}
        return x if self.audio.streaming else x | {"x_lens": ([self.audio.frames], "frames")}

    def search(self, model: TODMModel, subnet: Subnet, share: float) -> dict:
        """Decoder and joiner of an extracted model as a search; they are written once for each pair of widths."""
        p, j = subnet["prediction"], subnet["joiner"]
        job = {"frames": self.audio.encoder_frames, "width": j, "share": share}
        for part, name, graph in (
            ("decoder", f"decoder p{p} j{j}", sherpa.decoder_graph),
            ("joiner", f"joiner j{j}", sherpa.joiner_graph),
        ):
            job[part] = f"{name.replace(' ', '_')}.onnx"
            if not (self.folder / job[part]).is_file():
                self.write(name, graph(model))
        return job

    def add_search(self, d: int, p: int, j: int) -> None:
        """The joiner's projection of all frames, and the search with no symbol and with one at every frame."""
        subnet = self.space.min.with_values(d_model=d, prediction=p, joiner=j)
        alone, project = self.alone(subnet), f"project d{d} j{j}"
        if project not in self.jobs:
            self.time(project, alone.joint_network.lin_enc, {"x": ([1, self.audio.encoder_frames, d], "noise")})
        for kind, share in (("silent", 0.0), ("emitting", 1.0)):
            self.jobs[f"{kind} p{p} j{j}"] = {"search": self.search(alone, subnet, share), "repeat": self.repeat}
            terms: list[tuple[str, float]] = [(f"{kind} p{p} j{j}", 1), (project, 1), (f"empty d{d}", -1)]
            self.blocks[f"{kind} d{d} p{p} j{j}"] = terms

    def add_check(self, subnet: Subnet) -> None:
        """A whole subnet to compare a prediction with."""
        alone, inputs = self.alone(subnet), self.features(self.model)
        if self.audio.streaming:
            encoder, _ = sherpa.streaming_encoder(alone)
            states = graphs.StreamingEncoder(alone).state_size
            inputs |= {"h": ([1, 1, 1], "ones"), "c": ([1, 1, states], "noise")}
        else:
            encoder, _ = sherpa.offline_encoder(alone)
        file = self.write(f"check {len(self.checks)}", encoder)  # text forms may be longer than names of files can be
        job = self.job(file, inputs, search=self.search(alone, subnet, self.share))
        self.checks.append({"subnet": str(subnet), "job": job, "blocks": self.widths.weighted(subnet, self.share)})

    def finish(self) -> None:
        """Write kit.json and the script."""
        content = {"table": self.table, "int8": self.int8, "jobs": self.jobs, "blocks": self.blocks}
        write_json(self.folder / "kit.json", content | {"checks": self.checks})
        shutil.copy(target.__file__, self.folder / target.SCRIPT)


def write_kit(
    folder: Path, trained: TrainedModel, audio: Audio, int8: bool, symbols_per_second: float, checks: int
) -> None:
    """Make a kit.

    Args:
        folder: to make; trained: supernet, whose weights do not matter; audio, int8: see `Kit`.
        symbols_per_second: expected in speech; checks: random subnets.

    Raises:
        UserError: see `Kit`.
    """
    folder.mkdir()
    kit = Kit(folder, trained, audio, int8, symbols_per_second)
    space, pairs = kit.space, list(search_widths(kit.model))
    dims = kit.widths.encoder.widths(space)
    subnets = unseen_subnets(space, checks)
    with tqdm(total=len(dims) * (1 + len(pairs)) + len(subnets), desc="kit", disable=None) as bar:
        for d, smallest in dims.items():
            kit.add_width(d, smallest)
            bar.update()
            for p, j in pairs:
                kit.add_search(d, p, j)
                bar.update()
        for subnet in subnets:
            kit.add_check(subnet)
            bar.update()
    kit.finish()
