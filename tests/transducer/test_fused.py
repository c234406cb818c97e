import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet_plugin.transducer import lattice
from espnet_plugin.transducer.cells import joiner_logits
from espnet_plugin.transducer.elastic import ElasticJointNetwork, JoinerAt
from espnet_plugin.transducer.fused import pruned_logits
from espnet_plugin.transducer.pruned import gather_pruned


def problem(B, T, W, R, J, V, seed=0, dtype=torch.float64):
    """Frames, symbols, ranges and an output layer of two more inputs than J."""
    generator = torch.Generator().manual_seed(seed)
    acoustic, prediction = (torch.randn(B, n, J, generator=generator, dtype=dtype) for n in (T, W))
    start = torch.randint(0, W - R + 1, (B, T, 1), generator=generator)
    output = torch.nn.Linear(J + 2, V).to(dtype)
    return acoustic.requires_grad_(), prediction.requires_grad_(), start + torch.arange(R), output


def by_torch(acoustic, prediction, ranges, output):
    hidden = (acoustic.unsqueeze(2) + gather_pruned(prediction, ranges)).tanh()
    return torch.nn.functional.linear(hidden, output.weight[:, : hidden.shape[-1]], output.bias)


@pytest.mark.parametrize("at_once", [1, 40, 10**6])
@given(B=st.integers(1, 3), T=st.integers(1, 7), W=st.integers(1, 5), seed=st.integers(0, 99), data=st.data())
@settings(deadline=None, max_examples=25)
def test_logits_and_gradients_are_those_of_the_joiner_whatever_the_block(at_once, B, T, W, seed, data):
    acoustic, prediction, ranges, output = problem(B, T, W, data.draw(st.integers(1, W)), 6, 5, seed)
    leaves = [acoustic, prediction, output.weight, output.bias]
    expected = by_torch(acoustic, prediction, ranges, output)
    weights = torch.randn(expected.shape, generator=torch.Generator().manual_seed(seed), dtype=expected.dtype)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(lattice.CACHED, "cpu", at_once)
        found = pruned_logits(acoustic, prediction, ranges, output)
        gradients = torch.autograd.grad((found * weights).sum(), leaves)
    torch.testing.assert_close(found, expected)
    for a, b in zip(gradients, torch.autograd.grad((expected * weights).sum(), leaves), strict=True):
        torch.testing.assert_close(a, b)


def test_gradcheck():
    acoustic, prediction, ranges, output = problem(2, 3, 4, 2, 3, 4)
    assert torch.autograd.gradcheck(lambda a, p: pruned_logits(a, p, ranges, output), (acoustic, prediction))


def test_a_hand_worked_cell():
    acoustic, prediction = torch.tensor([[[0.5]]]), torch.tensor([[[9.0], [0.25]]])
    output = torch.nn.Linear(1, 2)
    with torch.no_grad():
        output.weight.copy_(torch.tensor([[2.0], [-1.0]]))
        output.bias.copy_(torch.tensor([0.0, 1.0]))
    found = pruned_logits(acoustic, prediction, torch.tensor([[[1]]]), output)
    torch.testing.assert_close(found, torch.tensor([[[[2 * 0.635149, 1 - 0.635149]]]]))  # tanh(0.75) = 0.635149


@pytest.mark.parametrize("amp", [False, True])
def test_a_narrow_joiner_uses_it_and_autocast_goes_by_the_joiner_itself(amp):
    acoustic, prediction, ranges, _ = problem(2, 4, 3, 2, 6, 5, dtype=torch.float32)
    joiner = JoinerAt(ElasticJointNetwork(5, 6, 6, 8), 6)
    with torch.autocast("cpu", torch.bfloat16, enabled=amp):
        found = joiner_logits(acoustic, prediction, ranges, joiner)
        expected = joiner(acoustic.unsqueeze(2), gather_pruned(prediction, ranges), no_projection=True)
    assert found.dtype == expected.dtype and ("PrunedLogits" in found.grad_fn.name()) != amp
    torch.testing.assert_close(found, expected)
