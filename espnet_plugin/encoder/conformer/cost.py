"""Parameters and multiply-adds of the Conformer at any subnet, from its sizes alone."""

from dataclasses import dataclass

from espnet_plugin.supernet.cost import Cost
from espnet_plugin.supernet.subnet import Subnet

# Attention compares all frames of an utterance, so its cost of a second depends on the utterance's length: counted for one of 10 s.
SECONDS = 10
FRAMES = 25 * SECONDS  # encoder frames
KERNEL = 3 * 3  # of both convolutions of ESPnet's Conv2dSubsampling, of stride 2


@dataclass(frozen=True)
class ConformerShape:
    """Sizes of the max net.

    Args:
        input_size: F, features a frame.
        d_model: D.
        num_heads, head_dim: of attention.
        kernel: frames of the depthwise convolution.
    """

    input_size: int
    d_model: int
    num_heads: int
    head_dim: int
    kernel: int

    def cost(self, subnet: Subnet) -> Cost:
        """Of the stand-alone encoder of a subnet; multiply-adds are those of convolutions, linear layers and attention."""
        d, half = self.d_model, (self.input_size - 1) // 2
        quarter = (half - 1) // 2
        conv2, out = KERNEL * d * d, d * quarter * d
        params = KERNEL * d + d + conv2 + d + out + d + 2 * d
        macs = (2 * FRAMES + 1) * half * KERNEL * d + FRAMES * (quarter * conv2 + out)
        total = [self.block(width, heads) for _, width, heads in subnet.per_layer("ffn", "heads")]
        params, macs = params + sum(p for p, _ in total), macs + sum(m for _, m in total)
        return Cost(params, round(macs / SECONDS))

    def block(self, width: int, heads: int) -> tuple[int, int]:
        """Parameters, and multiply-adds of the whole utterance."""
        d, channels, positions = self.d_model, heads * self.head_dim, 2 * FRAMES - 1
        feed_forward = 2 * 2 * d * width
        convolution = 2 * d * d + d * self.kernel + d * d
        linear = feed_forward + 4 * d * channels + convolution
        biases = 2 * (width + d) + 3 * channels + 2 * channels + d + 4 * d  # the second 2 channels: of positions
        norms = 2 * d + 5 * 2 * d
        products = channels * (2 * FRAMES + positions)  # of a frame with keys, values and positions
        return linear + d * channels + biases + norms, FRAMES * (linear + products) + positions * d * channels
