import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet_plugin.errors import UserError
from espnet_plugin.transducer.distill import DistillConf, alpha_divergence, three_way
from espnet_plugin.transducer.lattice import CACHED


def published(teacher, student, alpha):
    """The definition, in float64 probabilities."""
    p, q = teacher.double().softmax(-1), student.double().softmax(-1)
    if alpha == 1:
        return (p * (p / q).log()).sum(-1)
    if alpha == 0:
        return (q * (q / p).log()).sum(-1)
    return (q * ((p / q) ** alpha - 1)).sum(-1) / (alpha * (alpha - 1))


def logits(seed, spread=2.0, shape=(5, 7)):
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(2, *shape, generator=generator, dtype=torch.float64) * spread).unbind()


def test_two_symbols_by_hand():
    p, q = torch.tensor([0.5, 0.5]), torch.tensor([0.25, 0.75])
    # alpha = -1: (sum q^2 / p - 1) / 2 = (0.125 + 1.125 - 1) / 2
    assert alpha_divergence(p.log(), q.log(), -1.0, None).item() == pytest.approx(0.125)
    assert alpha_divergence(p.log(), q.log(), 1.0).item() == pytest.approx(0.5 * torch.tensor([2.0, 2 / 3]).log().sum())


@given(st.floats(-2, 3), st.integers(0, 999), st.floats(0.1, 3))
@settings(deadline=None, max_examples=80)
def test_equals_the_published_definition(alpha, seed, spread):
    teacher, student = logits(seed, spread)
    if min(abs(alpha), abs(1 - alpha)) < 1e-4:
        alpha = round(alpha)
    torch.testing.assert_close(
        alpha_divergence(teacher, student, alpha, None), published(teacher, student, alpha), atol=1e-7, rtol=1e-6
    )


@pytest.mark.parametrize("limit", [0.0, 1.0])
@pytest.mark.parametrize("step", [1e-6, -1e-6])
def test_limits_are_the_two_kl_divergences(limit, step):
    teacher, student = logits(0)
    near, at = (alpha_divergence(teacher, student, a, None) for a in (limit + step, limit))
    torch.testing.assert_close(near, at, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(at, published(teacher, student, limit))


@given(st.sampled_from([-1.0, -0.5, 0.0, 0.3, 0.8, 1.0, 2.0]), st.integers(0, 99))
@settings(deadline=None, max_examples=30)
def test_gradient_without_clipping(alpha, seed):
    teacher, student = logits(seed, 1.0, (3, 4))
    student.requires_grad_()
    assert torch.autograd.gradcheck(lambda s: alpha_divergence(teacher, s, alpha, None), (student,), atol=1e-5)


@given(st.sampled_from([-1.0, 2.0]), st.integers(0, 99), st.floats(1.5, 10))
@settings(deadline=None, max_examples=30)
def test_clipped_gradient_is_the_published_surrogates(alpha, seed, clip):
    """AlphaNet: - sum q rho log-gradient of q, importance (p / q)^alpha clipped, q and rho held constant."""
    teacher, student = logits(seed, 1.5, (4, 6))
    student.requires_grad_()
    logq = student.log_softmax(-1)
    q = logq.detach().exp()
    rho = (teacher.softmax(-1) / q).pow(alpha).clamp(max=clip) / alpha
    (expected,) = torch.autograd.grad(-(q * rho * logq).sum(), student)
    (found,) = torch.autograd.grad(alpha_divergence(teacher, student, alpha, clip).sum(), student)
    torch.testing.assert_close(found, expected, atol=1e-7, rtol=1e-5)


def test_adaptive_takes_the_larger_divergence_of_each_cell():
    teacher, student = logits(4, shape=(200, 5))
    low, high = (alpha_divergence(teacher, student, alpha) for alpha in (-1.0, 1.0))
    torch.testing.assert_close(alpha_divergence(teacher, student), torch.maximum(low, high))
    assert 0 < (low > high).sum() < 200
    student.requires_grad_()
    gradients = [
        torch.autograd.grad(alpha_divergence(teacher, student, alpha).sum(), student)[0]
        for alpha in ((-1.0, 1.0), -1.0, 1.0)
    ]
    expected = torch.where((low > high).unsqueeze(-1), gradients[1], gradients[2])
    torch.testing.assert_close(gradients[0], expected)


@given(
    st.lists(st.floats(-1e4, 1e4), min_size=4, max_size=4),
    st.lists(st.floats(-1e4, 1e4), min_size=4, max_size=4),
    st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.0, (-1.0, 1.0)]),
    st.sampled_from([torch.float32, torch.bfloat16]),
)
@settings(deadline=None, max_examples=150)
def test_finite_at_the_extremes(teacher, student, alpha, dtype):
    student = torch.tensor(student, dtype=dtype, requires_grad=True)
    value = alpha_divergence(torch.tensor(teacher, dtype=dtype), student, alpha)
    value.backward()
    assert value.isfinite() and student.grad.isfinite().all()


@given(
    st.lists(st.floats(-1e4, 1e4), min_size=8, max_size=8), st.sampled_from([0.0, 1e-3, 0.3, 0.999, 1.0, (0.0, 1.0)])
)
@settings(deadline=None, max_examples=80)
def test_finite_without_clipping_between_0_and_1(values, alpha):
    student = torch.tensor(values[:4], requires_grad=True)
    value = alpha_divergence(torch.tensor(values[4:]), student, DistillConf(alpha=alpha, clip=None).alpha, None)
    value.backward()
    assert value.isfinite() and student.grad.isfinite().all()


def test_nothing_to_learn_from_an_equal_teacher_and_the_teacher_gets_no_gradient():
    teacher, _ = logits(5)
    teacher.requires_grad_()
    student = teacher.detach().clone().requires_grad_()
    value = alpha_divergence(teacher, student)
    value.sum().backward()
    torch.testing.assert_close(value, torch.zeros_like(value), atol=1e-12, rtol=0)
    torch.testing.assert_close(student.grad, torch.zeros_like(student), atol=1e-12, rtol=0)
    assert teacher.grad is None


@pytest.mark.parametrize("blank", [0, 3])
def test_three_way_by_explicit_sums(blank):
    torch.manual_seed(0)
    x = torch.randn(6, 5)
    targets = torch.tensor([1, 2, 4, 1, blank, 2])
    p = x.softmax(-1)
    found = three_way(x, targets, blank).exp()
    symbol = p.gather(1, targets.unsqueeze(1)).squeeze(1) * (targets != blank)
    expected = torch.stack([symbol, p[:, blank], 1 - symbol - p[:, blank]], 1)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(found.sum(1), torch.ones(6))
    value = alpha_divergence(three_way(x, targets, blank), three_way(-x, targets, blank))
    assert value.isfinite().all() and (value > 0).all()


@pytest.mark.parametrize(
    "conf", [dict(weight=-1), dict(form="two_way"), dict(alpha=[1, 2, 3]), dict(clip=None), dict(clip=0)]
)
def test_wrong_values_are_refused(conf):
    with pytest.raises(UserError, match="distill_conf"):
        DistillConf(**conf)


@given(st.integers(0, 99), st.sampled_from([0, 2]))
@settings(deadline=None, max_examples=20)
def test_gradient_of_three_way(seed, blank):
    x, other = logits(seed, 1.0, (6, 5))
    x.requires_grad_()
    targets = torch.randint(0, 5, (6,), generator=torch.Generator().manual_seed(seed))
    targets[0] = blank
    # Where no symbol follows, its log-probability is a constant near the lowest number: looked at as a probability.
    assert torch.autograd.gradcheck(lambda z: three_way(z, targets, blank).exp(), (x,))
    teacher = three_way(other, targets, blank)
    assert torch.autograd.gradcheck(lambda z: alpha_divergence(teacher, three_way(z, targets, blank), 1.0), (x,))


def test_three_way_keeps_a_small_rest():
    """1 - p_symbol - p_blank would be 0 in float32."""
    found = three_way(torch.tensor([[30.0, 30.0, 0.0, 0.0]]), torch.tensor([1]))
    assert found[0, 2].item() == pytest.approx(-30.0, abs=1e-4)


@given(st.lists(st.floats(-1e4, 1e4), min_size=4, max_size=4), st.sampled_from([torch.float32, torch.bfloat16]))
@settings(deadline=None, max_examples=60)
def test_three_way_is_finite_at_the_extremes(values, dtype):
    x = torch.tensor([values, values[::-1]], dtype=dtype, requires_grad=True)
    targets = torch.tensor([1, 0])
    alpha_divergence(three_way(-x.detach(), targets), three_way(x, targets)).sum().backward()
    assert x.grad.dtype == dtype and x.grad.isfinite().all()


@pytest.mark.parametrize("alpha", [(-1.0, 1.0), 0.5])
def test_blocks_change_nothing(alpha, monkeypatch):
    teacher, student = logits(8, shape=(7, 3, 5))
    targets = torch.randint(0, 5, (7, 3))
    student.requires_grad_()

    def values():
        cells = alpha_divergence(teacher, student, alpha) + three_way(student, targets).sum(-1).clamp(min=-1e3)
        return cells, torch.autograd.grad(cells.sum(), student)[0]

    at_once = values()
    monkeypatch.setitem(CACHED, "cpu", 20)  # four cells a block
    for a, b in zip(values(), at_once):
        assert torch.equal(a, b)
