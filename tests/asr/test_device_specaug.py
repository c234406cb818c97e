"""Masks drawn on the device, against ESPnet's."""

import pytest
import torch
from espnet2.asr.specaug.specaug import SpecAug
from espnet2.layers.mask_along_axis import mask_along_axis

from espnet_plugin.asr.training.device_specaug import DeviceSpecAug, mask_along
from espnet_plugin.common import accelerator

OPTIONS = dict(
    apply_time_warp=False,
    freq_mask_width_range=(0, 5),
    num_freq_mask=2,
    time_mask_width_ratio_range=(0.0, 0.3),
    num_time_mask=3,
)


@pytest.mark.parametrize("dim", [1, 2])
def test_one_mask_by_hand(dim):
    """Width 2 of 3: it starts at 0, and so masks the first two; ESPnet draws the start below 3 - 2."""
    spec = torch.ones(2, 3, 3)
    expected = torch.tensor([0.0, 0.0, 1.0]).view(1, -1, 1) if dim == 1 else torch.tensor([0.0, 0.0, 1.0])
    assert torch.equal(mask_along(spec, (2, 3), dim, 1, True), expected.expand(2, 3, 3))
    spec[:, 2:], spec[..., 2:] = 4.0, 4.0
    masked = mask_along(spec, (2, 3), dim, 1, False)
    assert torch.equal(masked == spec.mean(), (expected == 0).expand(2, 3, 3)) and (spec > 0).all()


@pytest.mark.parametrize("masks", [1, 2])
def test_the_distribution_is_espnets(masks):
    """How often each bin is masked, and how many bins are, over 20,000 spectrograms in batches of 4: within five standard errors."""
    torch.manual_seed(0)
    found = []
    for draw in (
        lambda spec: mask_along(spec, (0, 6), 2, masks, True),
        lambda spec: mask_along_axis(spec, None, (0, 6), 2, masks, True)[0],
    ):
        hidden = torch.cat([draw(torch.ones(4, 1, 12)).flatten(1) == 0 for _ in range(5000)])
        counts = torch.nn.functional.one_hot(hidden.sum(1), 13)
        found.append(torch.cat([hidden, counts], 1).double().mean(0))
    ours, theirs = found
    # Masks of a batch depend on each other through the widest: a quarter of them counts as independent.
    error = (theirs * (1 - theirs) * 2 / 5000).sqrt()
    assert ((ours - theirs).abs() <= 5 * error + 1e-9).all()
    assert theirs[:12].max() > 0.2


def test_on_a_cpu_it_is_espnets_number_by_number():
    spec = torch.randn(3, 40, 20)
    masked = []
    for module in (DeviceSpecAug(**OPTIONS), SpecAug(**OPTIONS)):
        torch.manual_seed(3)
        masked.append(module(spec.clone(), torch.tensor([40, 30, 20]))[0])
    assert torch.equal(*masked) and not torch.equal(masked[0], spec)


def test_nothing_waits_on_a_device():
    spec = torch.randn(3, 40, 20)
    with accelerator.counting() as counts:
        masked, _ = DeviceSpecAug(**OPTIONS)(accelerator.to_device(spec.clone()))
    assert counts.totals() | dict(launches=0) == dict(launches=0, waits=0, mixed_devices=0, host_tensors=0)
    kept = masked.host == spec
    assert (masked.host[~kept] == 0).all() and 0 < kept.float().mean() < 1
