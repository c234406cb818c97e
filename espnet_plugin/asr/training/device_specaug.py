"""ESPnet SpecAugment ``device_specaug``: masks that are drawn where the features are, so that nothing waits for the device."""

import torch
from espnet2.asr.specaug.specaug import SpecAug
from espnet2.layers.mask_along_axis import MaskAlongAxis


def mask_along(
    spec: torch.Tensor, widths: tuple[int, int], dim: int, num_mask: int, replace_with_zero: bool
) -> torch.Tensor:
    """Mask stretches of an axis, distributed as ESPnet's ``mask_along_axis`` does it.

    A mask's width is uniform in the range; its start is uniform from 0 to D less the widest mask of the batch.

    Args:
        spec: (B, S, F).
        widths: smallest width, and one more than the largest.
        dim: 1 (time) or 2 (frequency).
        num_mask: masks of an utterance.
        replace_with_zero: else masked numbers become the mean of all.

    Returns:
        (B, S, F), a new tensor.
    """
    size = spec.shape[dim]
    width = torch.randint(*widths, (len(spec), num_mask, 1), device=spec.device)
    starts = (size - width.amax()).clamp(min=1)  # how many there are, known to the device alone
    start = (torch.rand(width.shape, dtype=torch.float64, device=spec.device) * starts).long()
    place = torch.arange(size, device=spec.device)
    masked = ((start <= place) & (place < start + width)).any(1).unsqueeze(3 - dim)  # (B, D) with the other axis
    return torch.where(masked, 0.0 if replace_with_zero else spec.mean(), spec)


class DeviceSpecAug(SpecAug):
    """ESPnet's SpecAug with its options and distribution; on a CPU it is ESPnet's, number by number.

    ESPnet reads the widest mask back from the device to draw where masks start.
    """

    def forward(self, x: torch.Tensor, x_lengths: torch.Tensor | None = None):
        """Args: x (B, S, F), x_lengths (B,). Returns: the same, masked."""
        if x.device.type == "cpu":
            return super().forward(x, x_lengths)
        if self.time_warp is not None:
            x, x_lengths = self.time_warp(x, x_lengths)
        for mask in (self.freq_mask, self.time_mask):
            if mask is None:
                continue
            if isinstance(mask, MaskAlongAxis):
                widths = tuple(mask.mask_width_range)
            else:
                widths = tuple(int(x.shape[mask.dim] * ratio) for ratio in mask.mask_width_ratio_range)
            if widths[1] > widths[0]:
                x = mask_along(x, widths, mask.dim, mask.num_mask, mask.replace_with_zero)
        return x, x_lengths
