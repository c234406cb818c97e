"""The blocks of the MH-SSM supernet whose times add up to a subnet's, in torch and as graphs.

Shapes: B batch, T encoder frames, D model dimension.
"""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, cast

import torch

from espnet_plugin.encoder.interface import Audio, Block, TimingBlocks
from espnet_plugin.encoder.mhssm.chunks import Carried, ChunkedSSM, fill_chunks
from espnet_plugin.encoder.mhssm.cost import EncoderShape
from espnet_plugin.encoder.mhssm.encoder import MHSSM, FeedForward, MHSSMEncoder, TimeReduction
from espnet_plugin.encoder.mhssm.export import OFFLINE_CHUNK, STREAM_CHUNK, MHSSMExport
from espnet_plugin.supernet.space import SearchSpace
from espnet_plugin.supernet.subnet import Subnet

FRAME_SHIFT = 1 / (MHSSMEncoder.frame_rate * TimeReduction.stride)  # of input frames, s


class Residual(torch.nn.Module):
    """Norm, block, residual connection, as in a layer of the encoder."""

    def __init__(self, d: int, block: torch.nn.Module):
        super().__init__()
        self.norm, self.block = torch.nn.LayerNorm(d), block

    def forward(self, x: torch.Tensor, *rest) -> torch.Tensor:
        return x + self.block(self.norm(x), *rest)


class Mixer(Residual):
    """A state space mixer on an utterance, its kernel made anew."""

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Args: x (1, T, D), mask (1, T, 1). Returns: (1, T, D)."""
        return super().forward(x, mask, cast(MHSSM, self.block).ssm.spectrum(x.shape[1]))


class FeedForwardBlock(Residual):
    """A feed-forward network, which has no use for a mask."""

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """Args: x (1, T, D). Returns: (1, T, D)."""
        return super().forward(x)


class Mixers(torch.nn.Module):
    """State space mixers of some layers, with their norms and residual connections, of whole utterances."""

    def __init__(self, layers: list[Residual]):
        super().__init__()
        self.layers = cast(Sequence[Residual], torch.nn.ModuleList(layers).eval())
        for layer in layers:
            mixer = cast(MHSSM, layer.block)
            mixer.add_module("ssm", ChunkedSSM(mixer.ssm, OFFLINE_CHUNK))

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Args: x (B, T, D), mask (B, T, 1). Returns: (B, T, D)."""
        frames = x.shape[1]
        x, mask = fill_chunks(x, OFFLINE_CHUNK), fill_chunks(mask, OFFLINE_CHUNK)
        for layer in self.layers:
            x = layer(x, mask, None)
        return x[:, :frames]


class MixersOnStream(torch.nn.Module):
    """The same for the next chunk of a stream, see `export.StreamingEncoder`."""

    def __init__(self, layers: list[Residual]):
        super().__init__()
        self.layers = cast(Sequence[Residual], torch.nn.ModuleList(layers).eval())
        for layer in layers:
            mixer = cast(MHSSM, layer.block)
            mixer.add_module("ssm", ChunkedSSM(mixer.ssm, STREAM_CHUNK))

    @property
    def state_sizes(self) -> list[int]:
        return [cast(ChunkedSSM, layer.block.ssm).state_size for layer in self.layers]

    def forward(self, x: torch.Tensor, c: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Args: x (B, 8, D), c (1, B, all states). Returns: (B, 8, D), next c."""
        carried = tuple(map(Carried, c[0].split(self.state_sizes, dim=-1)))
        for layer, state in zip(self.layers, carried):
            x = layer(x, torch.ones(1, 1, 1), state)
        return x, torch.cat([state.packed for state in carried], dim=-1).unsqueeze(0)


class MHSSMBlocks(TimingBlocks):
    """Blocks of a supernet. Args: shape: its sizes."""

    def __init__(self, shape: EncoderShape):
        self.shape = shape

    def shapes(self) -> dict[str, int]:
        """``dim``, ``heads`` and ``directions`` are those of the max net; the others are no part of a block's name."""
        shape = self.shape
        return dict(
            dim=shape.d_model,
            heads=shape.num_heads,
            directions=shape.num_directions,
            input_size=shape.input_size,
            stem_dim=shape.stem_dim,
            head_dim=shape.head_dim,
            num_modes=shape.num_modes,
        )

    def names(self, subnet: Subnet) -> list[str]:
        d, way = subnet["d_model"], subnet["direction"]
        mixers = [f"mixer d{d} h{heads} {way}" for heads in subnet["heads"]]
        return [f"stem d{d}", *mixers, *(f"feed-forward d{d} x{width}" for width in subnet["ffn"])]

    def ends(self, width: int) -> torch.nn.Module:
        reduction = TimeReduction(self.shape.input_size, width, self.shape.stem_dim)
        return torch.nn.Sequential(reduction, torch.nn.LayerNorm(width)).eval()

    def widths(self, space: SearchSpace) -> dict[int, Subnet]:
        return {d: space.min.with_values(d_model=d) for d in space["d_model"]}

    def layers(self, space: SearchSpace, audio: Audio) -> Iterator[Block]:
        for d in self.widths(space):
            for heads, way in product(space["heads"], space["direction"]):
                yield self.mixer(d, heads, way, audio)
            for width in space["ffn"]:
                yield self.feed_forward(d, width)

    def mixer(self, d: int, heads: int, way: str, audio: Audio) -> Block:
        """Block of a model dimension, a number of heads and a direction."""
        sizes: dict[str, Any] = dict(num_modes=self.shape.num_modes, bidirectional=way == "bidirectional")

        def module() -> Mixer:
            return Mixer(d, MHSSM(d, heads, self.shape.head_dim, **sizes)).eval()

        def chain(copies: int):
            layers = [Residual(d, MHSSM(d, heads, self.shape.head_dim, **sizes)) for _ in range(copies)]
            if not audio.streaming:
                return Mixers(layers), {"mask": ([1, audio.encoder_frames, 1], "ones")}
            module = MixersOnStream(layers)
            return module, {"c": ([1, 1, sum(module.state_sizes)], "noise")}

        return Block(f"mixer d{d} h{heads} {way}", d, module, chain)

    def feed_forward(self, d: int, width: int) -> Block:
        """Block of a model dimension and a feed-forward width."""

        def module() -> FeedForwardBlock:
            return FeedForwardBlock(d, FeedForward(d, width, 0.0)).eval()

        def chain(copies: int):
            return torch.nn.Sequential(*(module() for _ in range(copies))), {}

        return Block(f"feed-forward d{d} x{width}", d, module, chain)

    def audio(self, seconds: float, streaming: bool) -> Audio:
        if streaming:
            return Audio(True, MHSSMExport.stream_frames, STREAM_CHUNK, MHSSMExport.stream_shift * FRAME_SHIFT)
        frames = max(round(seconds / FRAME_SHIFT), MHSSMEncoder.shortest)
        return Audio(False, frames, TimeReduction.reduced(frames), seconds)
