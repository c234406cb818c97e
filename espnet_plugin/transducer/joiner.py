"""The joiner: what every one of them is asked for, and the plain one."""

from typing import Protocol

import torch


class Joiner(Protocol):
    """What loss and search ask of a joiner; ESPnet's JointNetwork has it, `JoinerAt` too, others through an adapter.

    Shapes: D encoder, P prediction network, J joint space, V vocabulary.

    Attributes:
        lin_enc, lin_dec: projections of the encoder's (..., D) and of the prediction network's output (..., P) to (..., J).
        lin_out: linear layer from J, or from more of which the first J are used, to V.
        joint_activation: between the sum of both and `lin_out`.
    """

    lin_out: torch.nn.Linear
    joint_activation: torch.nn.Module

    def lin_enc(self, x: torch.Tensor) -> torch.Tensor: ...

    def lin_dec(self, x: torch.Tensor) -> torch.Tensor: ...

    def __call__(self, enc_out: torch.Tensor, dec_out: torch.Tensor, no_projection: bool = False) -> torch.Tensor:
        """Logits (..., V) of encoder (..., D) and prediction (..., P); of both projected, (..., J), with `no_projection`."""


class AdditiveJoiner(torch.nn.Module):
    """lin_out(tanh(lin_enc(encoder) + lin_dec(prediction))), under the names of ESPnet's JointNetwork.

    Args:
        output_size: V.
        encoder_size, decoder_size: D, P.
        joint_space_size: J.
    """

    one_symbol_a_frame: bool  # whether it was trained so; a model sets it
    linear_class = torch.nn.Linear  # what an elastic subclass replaces
    joint_activation: torch.nn.Module

    def __init__(self, output_size: int, encoder_size: int, decoder_size: int, joint_space_size: int = 256):
        super().__init__()
        self.lin_enc = self.linear_class(encoder_size, joint_space_size)
        self.lin_dec = self.linear_class(decoder_size, joint_space_size)
        self.lin_out = self.linear_class(joint_space_size, output_size)
        self.joint_activation = torch.nn.Tanh()

    def forward(self, enc_out: torch.Tensor, dec_out: torch.Tensor, no_projection: bool = False) -> torch.Tensor:
        """See `Joiner.__call__`."""
        if not no_projection:
            enc_out, dec_out = self.lin_enc(enc_out), self.lin_dec(dec_out)
        return self.lin_out(self.joint_activation(enc_out + dec_out))
