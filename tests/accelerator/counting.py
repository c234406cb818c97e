"""What the simulated accelerator counts, by hand; run by test_accelerator.py."""

import pytest
import torch

from espnet_plugin.common.accelerator import Simulated, counting, device, to_device

device()  # before any backward pass


def totals(function):
    with counting() as counts:
        result = function()
    return list(counts.totals().values()), result  # launches, waits, mixed devices, tensors of the host


def test_values_are_the_cpus():
    x = torch.arange(6.0).view(2, 3)
    ours = to_device(x.clone())
    counted, y = totals(lambda: (ours @ ours.t()).relu_() + 1)
    assert y.device == device() and torch.equal(y.host, (x @ x.t()).relu() + 1)
    assert counted == [3, 0, 0, 0]  # the transpose is a view


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.sum().item(),
        lambda x: bool((x > 0).any()),
        lambda x: int(x.max()),
        lambda x: x.tolist(),
        lambda x: x[x > 0],
        lambda x: x.nonzero(),
        lambda x: x.cpu(),
        lambda x: torch.equal(x, x),
    ],
)
def test_what_waits(function):
    assert totals(lambda: function(to_device(torch.ones(3))))[0][1] == 1


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.view(3, 1).expand(3, 2)[1:],
        lambda x: torch.empty_like(x),
        lambda x: x.detach().unsqueeze(0).transpose(0, 1),
    ],
)
def test_what_starts_nothing(function):
    assert totals(lambda: function(to_device(torch.ones(3))))[0] == [0, 0, 0, 0]


def test_two_devices_and_tensors_of_the_host():
    x = to_device(torch.ones(3))
    assert totals(lambda: x + torch.ones(3))[0][2] == 1
    assert totals(lambda: x + torch.tensor(1.0))[0][2] == 0  # a number may lie anywhere
    for function in (
        lambda: torch.tensor([1, 2], device=device()),
        lambda: x.new_tensor([1.0]),
        lambda: torch.ones(2).to(device()),
    ):
        counted, made = totals(function)
        assert counted[3] == 1 and isinstance(made, Simulated)
    counted, made = totals(lambda: torch.zeros(2, device=device()))
    assert counted == [1, 0, 0, 0] and isinstance(made, Simulated)


def test_gradients_and_places():
    layer = to_device(torch.nn.Linear(3, 2))
    with counting() as counts:
        layer(to_device(torch.ones(4, 3))).sum().backward()
    assert torch.equal(layer.weight.grad.host, torch.full((2, 3), 4.0))
    assert {place for _, place in counts.launches} == {"autograd"} and "launches: " in counts.report()
    with counting() as counts:
        torch.nn.functional.silu(layer(to_device(torch.ones(4, 3)))).sum().backward()
    assert counts.launches["silu_backward", "autograd"] == 1
