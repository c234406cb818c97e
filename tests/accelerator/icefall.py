"""Steps of the model for icefall's recipes on the simulated accelerator, around the stand-in recipe; run by test_accelerator.py."""

import copy
import sys
from pathlib import Path

import pytest
import torch

from espnet_plugin.common import accelerator

HERE = Path(__file__).parents[1] / "icefall"
sys.path[:0] = [str(HERE / "stand_in"), str(HERE)]

accelerator.device()  # before any backward pass

WIDTHS = "--todm-model-dims 8,16 --todm-prediction-dims 8,16 --todm-joiner-dims 8,16"
CONF = dict(scale=1.0, simple_scale=0.75, pruned_scale=0.55, prune_range=3, am_scale=0.0, lm_scale=0.25)


def built(*given):
    from train import get_model, get_params

    torch.manual_seed(0)
    params = get_params(*given)
    return get_model(params).train(), params


def batch() -> dict:
    from ragged import Ragged

    x = torch.randn(3, 60, 80, generator=torch.Generator().manual_seed(0))
    return dict(x=x, x_lens=torch.tensor([60, 47, 31]), y=Ragged([[2, 3, 4, 5], [1], [7, 7]]))


def counted(model, step, data, count=3):
    """Of updates after the first, in which the model reads how far it is."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)

    def update():
        optimizer.zero_grad()
        step(data)
        optimizer.step()

    with accelerator.counting():
        update()
    with accelerator.counting() as counts:
        for _ in range(count):
            update()
    return counts


@pytest.mark.parametrize("given", ["", WIDTHS])
def test_a_step_in_icefalls_loop_waits_for_lengths_alone(given):
    """icefall sends them to the device; the labels it leaves on the CPU."""
    from train import compute_loss

    model, params = built(*given.split())
    expected = copy.deepcopy(model)
    accelerator.to_device(model)
    data, there = batch(), accelerator.to_device({key: batch()[key] for key in ("x", "x_lens")})
    counts = counted(model, lambda data: compute_loss(params, model, **data).backward(), data | there)
    totals = counts.totals()
    assert totals["mixed_devices"] == 0 and totals["waits"] == 3, counts.report()
    assert totals["launches"] / 3 < 1500, counts.report()
    counted(expected, lambda data: compute_loss(params, expected, **data).backward(), data)
    assert int(model.num_updates.host) == int(expected.num_updates) == 3
    for ours, theirs in zip(model.parameters(), expected.parameters()):
        torch.testing.assert_close(ours.host, theirs.detach(), atol=1e-3, rtol=1e-2)


def test_one_graph_at_a_time_waits_for_nothing():
    model, _ = built()
    accelerator.to_device(model)
    data = batch() | {"x": accelerator.to_device(batch()["x"])}
    counts = counted(model, lambda data: model.accumulate(**data, **CONF), data)
    totals = counts.totals()
    assert totals["mixed_devices"] == totals["waits"] == 0, counts.report()


def test_a_share_of_the_batch():
    model, _ = built("--todm-student-share", "0.5")
    accelerator.to_device(model)
    data = batch() | {"x": accelerator.to_device(batch()["x"])}
    counts = counted(model, lambda data: model.accumulate(**data, **CONF), data)
    assert counts.totals()["mixed_devices"] == counts.totals()["waits"] == 0, counts.report()
