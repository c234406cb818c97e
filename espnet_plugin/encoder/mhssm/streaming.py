"""The forward-direction encoder on a stream: chunk by chunk, with a state whose size does not grow.

Shapes: B batch, S input frames of a chunk (10 ms), T encoder frames (40 ms), F features, D model dimension.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from espnet_plugin.encoder.interface import EncoderStream
from espnet_plugin.encoder.mhssm.encoder import MHSSMEncoder, MHSSMLayer, TimeReduction
from espnet_plugin.errors import UserError


@dataclass(frozen=True)
class StreamState:
    """What an encoder remembers between chunks.

    Args:
        frames: (B, S', F), S' < 7, input frames that later encoder frames need; None at the start.
        layers: state (B, H, P, N), complex, of each layer's heads; None at the start.
    """

    frames: torch.Tensor | None
    layers: tuple[torch.Tensor | None, ...]


class MHSSMStream(EncoderStream):
    """An `MHSSMEncoder` on a stream: its frames together are those of the encoder on the whole.

    Args:
        encoder: in evaluation mode.

    Raises:
        UserError: it runs from the end of the audio too.
    """

    look_ahead = TimeReduction.receptive_field - 1 - TimeReduction.stride

    def __init__(self, encoder: MHSSMEncoder):
        if any(layer.mixer.ssm.num_directions > 1 for layer in encoder.layers):
            raise UserError(
                "streaming: this model is bidirectional and needs the whole audio, encoder_conf.bidirectional: true cannot stream; extract "
                "a _forward subnet, or train with false"
            )
        self.encoder = encoder

    def start(self) -> StreamState:
        return StreamState(None, (None,) * len(self.encoder.layers))

    def advance(self, feats: torch.Tensor, state: StreamState) -> tuple[torch.Tensor, StreamState]:
        encoder, stride = self.encoder, TimeReduction.stride
        feats = feats if state.frames is None else torch.cat([state.frames, feats], dim=1)
        ready = TimeReduction.reduced(feats.shape[1])
        if ready == 0:
            return feats.new_zeros(feats.shape[0], 0, encoder.d_model), StreamState(feats, state.layers)
        # Encoder frame t needs the 7 input frames from 4 t on.
        reach = stride * (ready - 1) + TimeReduction.receptive_field
        x, rest = encoder.time_reduction(feats[:, :reach]), feats[:, stride * ready :]
        after = []
        for layer, before in zip(encoder.layers, state.layers):
            x, memory = layer_on_stream(layer, x, before)
            after.append(memory)
        return encoder.norm_out(x), StreamState(rest, tuple(after))


def layer_on_stream(layer: MHSSMLayer, x: torch.Tensor, state: torch.Tensor | None):
    """One layer. Args: x (B, T, D), state (B, H, P, N). Returns: (B, T, D) and the next state."""
    mixer = layer.mixer
    y, state = mixer.ssm.stream(mixer.linear_in(layer.norm_mixer(x)), state)
    x = x + mixer.linear_out(mixer.gate(F.silu(y)))
    return x + layer.feed_forward(layer.norm_ffn(x)), state
