"""A stream in the clothes of zipformer's, whose states icefall's exporter writes and sherpa-onnx makes from metadata.

To that client there is one zipformer layer with six states. Ours needs one, which lies in the first; the others are as small as metadata
can make them. The exporter feeds 2 C + 13 frames a call, where C is zipformer's chunk at 50 frames a second, and moves on by 2 C.

Shapes: N batch, F features, n numbers of our state.
"""

from typing import Protocol, cast

import torch

from espnet_plugin.encoder.mhssm.export import MHSSMExport
from espnet_plugin.encoder.mhssm.supernet import MHSSMSupernetEncoder
from espnet_plugin.errors import UserError
from espnet_plugin.supernet.subnet import Subnet

CHUNK = MHSSMExport.stream_shift // 2  # C, frames at 50 a second
LEFT = 1  # zipformer's left context, the first axis of the state that we use
DIM = 4  # its encoder's width


def folded(x: torch.Tensor) -> torch.Tensor:
    """The frames of a call as C rows, which the exporter wants to see between the two halves of an encoder; `unfolded` undoes it.

    Args:
        x: (N, 2 C + 13, F).

    Returns:
        (N, C, ...), zeros appended.
    """
    frames = x[:, : MHSSMExport.stream_frames].flatten(1)
    missing = -frames.shape[1] % CHUNK
    return torch.nn.functional.pad(frames, (0, missing)).reshape(x.shape[0], CHUNK, -1)


def unfolded(x: torch.Tensor, features: int) -> torch.Tensor:
    """Args: x (N, C, ...) from `folded`. Returns: (N, frames that our stream takes, F)."""
    frames = MHSSMExport.stream_frames
    return x.flatten(1)[:, : frames * features].reshape(x.shape[0], frames, features)


class Streaming(Protocol):
    """What `StreamAttributes` needs of the encoder that it is a part of."""

    net: MHSSMSupernetEncoder
    subnet: Subnet
    streaming: torch.nn.Module | None

    def stream(self) -> torch.nn.Module: ...

    def widened(self, x: torch.Tensor) -> torch.Tensor: ...


class StreamAttributes:
    """What icefall's streaming exporter reads and calls of an encoder, which is `Streaming` besides."""

    chunk_size = (CHUNK,)
    left_context_frames = (LEFT,)
    num_encoder_layers = (1,)
    downsampling_factor = (1,)
    encoder_dim = (DIM,)
    cnn_module_kernel = (3,)
    value_head_dim = (1,)
    num_heads = (1,)
    query_head_dim = (0,)  # n, of an encoder that can stream

    def stream(self: Streaming) -> torch.nn.Module:
        """The exported form of a stream.

        Raises:
            UserError: the size needs whole utterances, or the encoder is not in evaluation on CPU.
        """
        if self.streaming is None:
            raise UserError(
                f"--subnet: '{self.subnet}' cannot stream; it must be of direction forward, on CPU and in evaluation"
            )
        return self.streaming

    def get_init_states(self: Streaming, batch_size: int = 1, device: torch.device | str = "cpu") -> list[torch.Tensor]:
        """Six states: ours as (1, N, n), five that nobody uses."""
        shapes = [
            (LEFT, batch_size, cast(int, self.stream().state_size)),
            (1, batch_size, LEFT, 3 * DIM // 4),
            (LEFT, batch_size, 1),
            (LEFT, batch_size, 1),
            (batch_size, DIM, 1),
            (batch_size, DIM, 1),
        ]
        return [torch.zeros(shape, device=device) for shape in shapes]

    def streaming_forward(
        self: Streaming,
        x: torch.Tensor,
        x_lens: torch.Tensor,
        states: list[torch.Tensor],
        src_key_padding_mask: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor, list[torch.Tensor]]:
        """One call on a stream.

        Args:
            x: (C, N, ...) folded frames.
            x_lens: (N,).
            states: see `get_init_states`.
            src_key_padding_mask: not used.

        Returns:
            (T, N, D), x_lens, the next states.
        """
        frames = unfolded(x.permute(1, 0, 2), self.net.input_size)
        out, state = self.stream()(frames, states[0][0])
        return self.widened(out).permute(1, 0, 2), x_lens, [state.unsqueeze(0), *(other * 1 for other in states[1:])]
