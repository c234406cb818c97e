import copy
import importlib.util
import random
import types
from pathlib import Path
from unittest import mock

import pytest
import torch

from espnet_plugin.errors import UserError
from espnet_plugin.optim.eden import Eden
from espnet_plugin.optim.scaled_adam import ScaledAdam


class Net(torch.nn.Module):
    """Matrices of two shapes, vectors and single numbers."""

    def __init__(self, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.a, self.b, self.c = torch.nn.Linear(6, 6), torch.nn.Linear(6, 6), torch.nn.Linear(6, 3, bias=False)
        self.gain = torch.nn.Parameter(torch.tensor(1.3))
        self.offset = torch.nn.Parameter(torch.tensor([-0.4]))

    def forward(self, x):
        return self.c(torch.tanh(self.b(torch.tanh(self.a(x) * self.gain)))) + self.offset


def loss_at(net, step):
    generator = torch.Generator().manual_seed(step)
    x = torch.randn(16, 6, generator=generator)
    target = torch.stack([x.sum(1), x[:, 0] * x[:, 1], x.abs().mean(1)], 1)
    # Now and then a large gradient, so that clipping takes part.
    return (net(x) - target).square().mean() * (30.0 if step % 17 == 0 else 1.0)


def train(net, optimizer, steps, scheduler=None):
    for step in steps:
        optimizer.zero_grad()
        loss_at(net, step).backward()
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
    return net


def reference_module():
    """The package's file alone: importing the whole package needs what ``pip install --no-deps zipformer`` leaves out."""
    package = importlib.util.find_spec("zipformer")
    if package is None:
        pytest.skip("the reference is not installed: pip install --no-deps zipformer")
    path = Path(package.submodule_search_locations[0]) / "modules" / "optim.py"
    spec = importlib.util.spec_from_file_location("reference_optim", path)
    module = importlib.util.module_from_spec(spec)
    utils = types.ModuleType("zipformer.utils")
    utils.fix_random_seed = random.seed  # all that the file takes from there, and only for its self-test
    with mock.patch.dict("sys.modules", {"zipformer": types.ModuleType("zipformer"), "zipformer.utils": utils}):
        spec.loader.exec_module(module)
    return module


def test_first_step_by_hand():
    """One step on p = (3, 4), g = (1, -2): v = 0.02 g^2 / 0.02, so the direction is sign(g); rms = sqrt(12.5)."""
    p = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
    optimizer = ScaledAdam([p], lr=0.01)
    p.grad = torch.tensor([1.0, -2.0])
    optimizer.step()
    move = 0.1 * 0.01 * 12.5**0.5
    torch.testing.assert_close(p.detach(), torch.tensor([3.0 - move, 4.0 + move]))


def test_single_number_by_hand():
    p = torch.nn.Parameter(torch.tensor(2.0))
    optimizer = ScaledAdam([p], lr=0.01)
    p.grad = torch.tensor(5.0)
    optimizer.step()
    torch.testing.assert_close(p.detach(), torch.tensor(2.0 - 0.1 * 0.01 * 0.1))


@pytest.mark.parametrize("clipping_scale", [None, 2.0])
def test_same_trajectory_as_the_reference(clipping_scale):
    reference = reference_module()
    ours, theirs = Net(), Net()
    other = reference.ScaledAdam(theirs.named_parameters(), lr=0.03, clipping_scale=clipping_scale)
    other_schedule = reference.Eden(other, lr_batches=60, lr_epochs=1e9, warmup_batches=20, warmup_start=0.1)
    other_schedule.step_batch(0)  # ours sets the rate of the first step by itself
    optimizer = ScaledAdam(ours.parameters(), lr=0.03, clipping_scale=clipping_scale)
    schedule = Eden(optimizer, lr_batches=60, warmup_batches=20, warmup_start=0.1)
    for step in range(200):
        for net, opt in ((ours, optimizer), (theirs, other)):
            opt.zero_grad()
            loss_at(net, step).backward()
            opt.step()
        schedule.step()
        other_schedule.step_batch(step + 1)
        assert optimizer.param_groups[0]["lr"] == pytest.approx(other.param_groups[0]["lr"], rel=1e-9)
    for (name, a), b in zip(ours.named_parameters(), theirs.parameters()):
        difference = (a - b).abs().max() / b.abs().max()
        assert difference < 1e-5, (name, float(difference))


@pytest.mark.parametrize("steps", [7, 43, 130])
def test_resumed_run_equals_an_unbroken_one(steps, tmp_path):
    whole, broken = Net(), Net()
    train(whole, ScaledAdam(whole.parameters(), lr=0.03, clipping_scale=2.0), range(steps + 30))
    first = ScaledAdam(broken.parameters(), lr=0.03, clipping_scale=2.0)
    train(broken, first, range(steps))
    torch.save({"net": broken.state_dict(), "optim": first.state_dict()}, tmp_path / "c.pth")
    states = torch.load(tmp_path / "c.pth", weights_only=True)
    resumed = Net(seed=9)
    resumed.load_state_dict(states["net"])
    second = ScaledAdam(resumed.parameters(), lr=0.03, clipping_scale=2.0)
    second.load_state_dict(states["optim"])
    train(resumed, second, range(steps, steps + 30))
    for a, b in zip(whole.parameters(), resumed.parameters()):
        assert torch.equal(a, b)


def test_order_of_parameters_does_not_matter():
    one, two = Net(), Net()
    train(one, ScaledAdam(list(one.parameters()), lr=0.03), range(50))
    train(two, ScaledAdam(list(two.parameters())[::-1], lr=0.03), range(50))
    for a, b in zip(one.parameters(), two.parameters()):
        torch.testing.assert_close(a, b, atol=1e-7, rtol=1e-6)


def test_a_resumed_run_follows_the_names():
    def build(net, names):
        parameters = dict(net.named_parameters())
        return ScaledAdam([(name, parameters[name]) for name in names], lr=0.03, clipping_scale=2.0)

    first = Net()
    names = [name for name, _ in first.named_parameters() if name != "a.weight"]
    optimizer = build(first, names)
    train(first, optimizer, range(43))

    def resumed(order):
        net = Net(seed=9)
        net.load_state_dict(first.state_dict())
        other = build(net, order)
        other.load_state_dict(copy.deepcopy(optimizer.state_dict()))  # torch would share the tensors
        return net, other, dict(net.named_parameters())

    # One gone and a new one of the shape of another, in front of it: each keeps its own state, the new one begins afresh.
    order = ["a.weight", *[name for name in names if name != "b.bias"]]
    net, other, parameters = resumed(order)
    for name in order[1:]:
        before, after = optimizer.state[dict(first.named_parameters())[name]], other.state[parameters[name]]
        assert before.keys() == after.keys() and after["step"] == 43
        assert all(torch.equal(torch.as_tensor(before[key]), torch.as_tensor(after[key])) for key in before)
    assert parameters["a.weight"] not in other.state and parameters["b.bias"] not in other.state
    train(net, other, range(43, 60))
    assert other.state[parameters["a.weight"]]["step"] == 17

    # Another order alone changes nothing.
    straight, turned = resumed(names), resumed(names[::-1])
    for net, other, _ in (straight, turned):
        train(net, other, range(43, 60))
    for a, b in zip(straight[0].parameters(), turned[0].parameters()):
        torch.testing.assert_close(a, b, atol=1e-7, rtol=1e-6)


def test_a_state_of_another_shape_is_refused():
    net = Net()
    optimizer = ScaledAdam(net.parameters(), lr=0.03)
    train(net, optimizer, range(3))
    turned = ScaledAdam(list(net.parameters())[::-1], lr=0.03)
    with pytest.raises(UserError, match="optimizer state of parameter 0 has shape"):
        turned.load_state_dict(optimizer.state_dict())


@pytest.mark.parametrize(
    "options",
    [
        {"lr": "1e-3"},
        {"lr": 0},
        {"clipping_scale": -1.0},
        {"betas": 0.9},
        {"betas": (0.9, 1.0)},
        {"size_update_period": 0},
        {"clipping_update_period": 2.5},
    ],
)
def test_options_out_of_range_are_refused(options):
    with pytest.raises(UserError, match=f"optim_conf.{next(iter(options))}: "):
        ScaledAdam([torch.nn.Parameter(torch.ones(2))], **options)


def test_a_parameter_without_gradient_is_left_alone():
    net = Net()
    optimizer = ScaledAdam(net.parameters(), lr=0.03, clipping_scale=2.0)
    train(net, optimizer, range(10))
    before, state = net.b.weight.clone(), copy.deepcopy(optimizer.state[net.b.weight])
    for p in net.parameters():
        p.grad = torch.ones_like(p)
    net.b.weight.grad = None
    optimizer.step()
    assert torch.equal(net.b.weight, before)
    assert optimizer.state[net.b.weight]["step"] == state["step"]
    optimizer.zero_grad()
    loss_at(net, 99).backward()
    optimizer.step()
    assert not torch.equal(net.b.weight, before)


@pytest.mark.parametrize("at", [0, 15])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_gradient_that_is_not_finite_leaves_finite_weights(bad, at):
    net = Net()
    optimizer = ScaledAdam(net.parameters(), lr=0.03, clipping_scale=2.0)
    train(net, optimizer, range(at))
    loss_at(net, at).backward()
    net.a.weight.grad.fill_(bad)
    optimizer.step()
    train(net, optimizer, range(at + 1, 30))
    assert all(p.isfinite().all() for p in net.parameters())


def test_rate_is_relative_to_the_size_of_a_parameter():
    def relative_move(scale):
        p = torch.nn.Parameter(torch.full((4,), scale))
        optimizer = ScaledAdam([p], lr=0.01)
        p.grad = torch.tensor([1.0, -1.0, 1.0, -1.0])
        optimizer.step()
        return (p.detach() / scale - 1).abs().max().item()

    assert relative_move(0.01) == pytest.approx(relative_move(2.0), rel=1e-3)


def test_eden_by_hand():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    eden = Eden(optimizer, lr_batches=10, lr_epochs=2, batches_per_epoch=5, warmup_batches=4, warmup_start=0.5)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(1.0)
    for _ in range(2):
        eden.step()
    expected = 2.0 * (1 + 0.2**2) ** -0.25 * (1 + 0.2**2) ** -0.25 * 0.75
    assert optimizer.param_groups[0]["lr"] == pytest.approx(expected)
    for _ in range(8):
        eden.step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(2.0 * 2**-0.25 * 2**-0.25)


def test_eden_counts_fractional_epochs_as_the_reference():
    reference = reference_module()
    optimizers = [torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.045) for _ in range(2)]
    ours = Eden(optimizers[0], lr_batches=50, lr_epochs=2, batches_per_epoch=8, warmup_batches=10, warmup_start=0.1)
    theirs = reference.Eden(optimizers[1], lr_batches=50, lr_epochs=2, warmup_batches=10, warmup_start=0.1)
    for batch in range(60):
        theirs.step_batch(batch)
        theirs.step_epoch(batch / 8)
        assert optimizers[0].param_groups[0]["lr"] == pytest.approx(optimizers[1].param_groups[0]["lr"], rel=1e-9)
        ours.step()


@pytest.mark.parametrize("options", [{"lr_batches": 0}, {"batches_per_epoch": "8"}, {"warmup_start": 2}])
def test_edens_options_out_of_range_are_refused(options):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    with pytest.raises(UserError, match=f"scheduler_conf.{next(iter(options))}: "):
        Eden(optimizer, **options)


def test_eden_resumes():
    def build():
        return Eden(torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1), warmup_batches=10)

    first, second = build(), build()
    for _ in range(25):
        first.step()
    second.load_state_dict(first.state_dict())
    assert second.optimizer.param_groups[0]["lr"] == first.optimizer.param_groups[0]["lr"]
    assert second.batch == 25


def test_lr_scales_slow_the_named_parameters_down():
    moved = {}
    for scales in (None, {"bias": 0.1}):
        torch.manual_seed(0)
        net = torch.nn.Linear(6, 5)
        before = {name: p.detach().clone() for name, p in net.named_parameters()}
        optimizer = ScaledAdam(net.named_parameters(), lr=0.03, lr_scales=scales)
        assert [group["lr"] for group in optimizer.param_groups] == ([0.03, 0.003] if scales else [0.03])
        net(torch.ones(2, 6)).sum().backward()
        optimizer.step()
        moved[bool(scales)] = {name: (p.detach() - before[name]).norm() for name, p in net.named_parameters()}
    assert moved[True]["weight"] == moved[False]["weight"]
    torch.testing.assert_close(moved[True]["bias"], 0.1 * moved[False]["bias"])


@pytest.mark.parametrize("scales", [{"gain": 0.1}, {"bias": 0}, {"bias": "slow"}])
def test_wrong_lr_scales_are_refused(scales):
    with pytest.raises(UserError, match="lr_scales"):
        ScaledAdam(torch.nn.Linear(2, 2).named_parameters(), lr_scales=scales)
    with pytest.raises(UserError, match="names"):
        ScaledAdam(torch.nn.Linear(2, 2).parameters(), lr_scales={"bias": 0.5})


def test_eden_as_icefalls_loop_calls_it():
    reference = reference_module()
    optimizers = [torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.045) for _ in range(2)]
    ours, theirs = (
        module.Eden(optimizer, 50, 2, warmup_batches=10, warmup_start=0.1)
        if module is reference
        else Eden(optimizer, 50, 2, warmup_batches=10, warmup_start=0.1)
        for module, optimizer in zip((None, reference), optimizers)
    )
    for batch in range(1, 40):
        for eden in (ours, theirs):
            if batch % 8 == 1:
                eden.step_epoch(batch // 8)
            eden.step_batch(batch)
        assert ours.get_last_lr() == pytest.approx([optimizers[1].param_groups[0]["lr"]], rel=1e-9)
    resumed = Eden(
        torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.045), 50, 2, warmup_batches=10, warmup_start=0.1
    )
    resumed.load_state_dict({key: value for key, value in theirs.state_dict().items() if key != "base_lrs"})
    assert resumed.get_last_lr() == pytest.approx(ours.get_last_lr(), rel=1e-9)


def test_whole_epochs_by_hand():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    eden = Eden(optimizer, 1e9, 2, batches_per_epoch=4, warmup_batches=0, epochs="whole")
    rates = []
    for _ in range(9):
        rates.append(optimizer.param_groups[0]["lr"])
        eden.step()
    assert rates == pytest.approx([1.0] * 4 + [1.25**-0.25] * 4 + [2**-0.25])
    with pytest.raises(UserError, match="epochs: 'half' is not one of"):
        Eden(optimizer, epochs="half")


def icefalls_groups(net):
    pairs = list(net.named_parameters())
    return [{"named_params": pairs[:3], "lr": 0.03}, {"named_params": pairs[3:], "lr": 0.01}]


def test_icefalls_groups_and_states_go_on_as_they_would_have_there():
    """Trained by the reference, saved in the middle, on with ours: the same weights as all of it with the reference."""
    reference = reference_module()
    there, here = Net(), Net()
    options = dict(clipping_scale=2.0, clipping_update_period=20)
    theirs = reference.ScaledAdam(icefalls_groups(there), lr=0.03, **options)
    train(there, theirs, range(43))
    here.load_state_dict(there.state_dict())
    ours = ScaledAdam(icefalls_groups(here), lr=0.5, **options)
    assert [group["lr"] for group in ours.param_groups] == [0.03, 0.01]
    ours.load_state_dict(copy.deepcopy(theirs.state_dict()))
    train(there, theirs, range(43, 130))
    train(here, ours, range(43, 130))
    for (name, p), q in zip(here.named_parameters(), there.parameters()):
        torch.testing.assert_close(p, q, atol=2e-5, rtol=2e-5, msg=name)


def test_groups_with_names_are_those_without():
    nets = Net(), Net()
    for net, groups in zip(nets, (icefalls_groups(nets[0]), None)):
        pairs = [(p for _, p in group["named_params"]) for group in icefalls_groups(net)]
        groups = groups or [{"params": list(params), "lr": lr} for params, lr in zip(pairs, (0.03, 0.01))]
        train(net, ScaledAdam(groups, clipping_scale=2.0), range(30))
    assert all(torch.equal(p, q) for p, q in zip(nets[0].parameters(), nets[1].parameters()))
