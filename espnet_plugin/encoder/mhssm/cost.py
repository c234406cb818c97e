"""Parameters and multiply-adds of the MH-SSM encoder at any subnet, from its sizes alone."""

from dataclasses import dataclass

from espnet_plugin.supernet.cost import Cost
from espnet_plugin.supernet.dimensions import DIRECTIONS
from espnet_plugin.supernet.subnet import Subnet

FRAME_RATE = 25  # encoder frames a second
CONV_RATE = 50  # frames a second after the first of the two convolutions of stride 2
CONV_KERNEL = 3
# Of a mode a frame: the state times exp(z), two complex numbers, and the real part of readout times state.
MODE_MACS = 4 + 2


@dataclass(frozen=True)
class EncoderShape:
    """Sizes of the max net.

    Args:
        input_size: F, features a frame.
        stem_dim: channels between the two convolutions, the same in every subnet.
        d_model: D.
        num_heads, head_dim, num_modes: H, P, N.
        num_directions: 1 or 2.
    """

    input_size: int
    stem_dim: int
    d_model: int
    num_heads: int
    head_dim: int
    num_modes: int
    num_directions: int

    def cost(self, subnet: Subnet) -> Cost:
        """Of the stand-alone encoder of a subnet.

        Multiply-adds are those of the convolutions, the linear layers and the state space layers as a recurrence, at 25 encoder frames a
        second; norms, activations and additions are left out.
        """
        d, directions = subnet["d_model"], 1 + DIRECTIONS.index(subnet["direction"])
        conv1, conv2 = self.stem_dim * self.input_size * CONV_KERNEL, d * self.stem_dim * CONV_KERNEL
        total = Cost(conv1 + self.stem_dim + conv2 + d + 2 * d, CONV_RATE * conv1 + FRAME_RATE * conv2)
        for _, width, heads in subnet.per_layer("ffn", "heads"):
            total += self.layer(d, width, heads, directions)
        return total

    def layer(self, d: int, width: int, heads: int, directions: int) -> Cost:
        channels = heads * self.head_dim
        modes = directions * channels * self.num_modes
        linear = channels * d + channels // 2 * d + 2 * width * d
        biases = channels + d + width + d
        dynamics = directions * heads * (1 + 2 * self.num_modes)  # step size; decay and frequency of each mode
        params = linear + biases + dynamics + 2 * modes + channels + 4 * d  # readout, skip, two norms
        return Cost(params, FRAME_RATE * (linear + MODE_MACS * modes + channels))

    def products(self, subnet: Subnet) -> list[tuple[int, int]]:
        """Inputs and outputs of each convolution and linear layer of a subnet, which are matrix products on a device."""
        d = subnet["d_model"]
        products = [(CONV_KERNEL * self.input_size, self.stem_dim), (CONV_KERNEL * self.stem_dim, d)]
        for _, width, heads in subnet.per_layer("ffn", "heads"):
            channels = heads * self.head_dim
            products += ((d, channels), (channels // 2, d), (d, width), (width, d))
        return products
