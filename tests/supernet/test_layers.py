import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet_plugin.supernet.layers import (
    AdaptiveDropout,
    ElasticConv1d,
    ElasticDepthwiseConv1d,
    ElasticEmbedding,
    ElasticLayerNorm,
    ElasticLinear,
    SharedBatchNorm1d,
    dropout,
)
from espnet_plugin.supernet.slices import leading


def sliced(plain, elastic):
    """The plain layer with the first part of the elastic one's weights."""
    plain.load_state_dict(
        {name: leading(elastic.state_dict()[name], v.shape) for name, v in plain.state_dict().items()}
    )
    return plain


def random_weights(layer):
    for p in layer.parameters():
        torch.nn.init.normal_(p)
    return layer


def test_elastic_linear_by_hand():
    layer = ElasticLinear(2, 2)
    layer.weight.data = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    layer.bias.data = torch.tensor([10.0, 20.0])
    assert layer(torch.tensor([1.0, 1.0])).tolist() == [13.0, 27.0]
    assert layer(torch.tensor([1.0]), in_features=1, out_features=1).tolist() == [11.0]


@given(st.integers(1, 9), st.integers(1, 9), st.booleans(), st.integers(0, 99))
@settings(deadline=None)
def test_elastic_linear_equals_a_linear_layer_holding_the_slice(width_in, width_out, bias, seed):
    torch.manual_seed(seed)
    elastic, plain = ElasticLinear(9, 9, bias=bias), torch.nn.Linear(width_in, width_out, bias=bias)
    plain.weight.data = elastic.weight.data[:width_out, :width_in].clone()
    if bias:
        plain.bias.data = elastic.bias.data[:width_out].clone()
    x = torch.randn(3, width_in)
    torch.testing.assert_close(elastic(x, width_in, width_out), plain(x))


@given(st.integers(1, 9), st.integers(0, 99))
def test_elastic_norm_equals_a_norm_over_the_slice(width, seed):
    torch.manual_seed(seed)
    elastic = random_weights(ElasticLayerNorm(9))
    x = torch.randn(3, 4, 9)[..., :width]
    torch.testing.assert_close(elastic(x), sliced(torch.nn.LayerNorm(width), elastic)(x))


def test_a_norm_does_not_commute_with_slicing():
    norm, x = ElasticLayerNorm(4), torch.tensor([[1.0, 2.0, 3.0, 10.0]])
    assert not torch.allclose(norm(x)[:, :2], norm(x[:, :2]))


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 3), st.booleans(), st.integers(0, 99))
def test_elastic_convolutions_equal_ordinary_ones_holding_the_slice(width_in, width_out, kernel, bias, seed):
    torch.manual_seed(seed)
    x = torch.randn(2, width_in, 7)
    elastic = ElasticConv1d(9, 9, kernel, stride=2, bias=bias)
    plain = sliced(torch.nn.Conv1d(width_in, width_out, kernel, stride=2, bias=bias), elastic)
    torch.testing.assert_close(elastic(x, width_out), plain(x), atol=1e-6, rtol=1e-5)
    elastic = ElasticDepthwiseConv1d(9, kernel, bias=bias)
    plain = sliced(torch.nn.Conv1d(width_in, width_in, kernel, groups=width_in, bias=bias), elastic)
    torch.testing.assert_close(elastic(x), plain(x), atol=1e-6, rtol=1e-5)


@given(st.integers(1, 9), st.integers(0, 99))
def test_elastic_embedding_equals_an_embedding_holding_the_slice(width, seed):
    torch.manual_seed(seed)
    elastic, ids = ElasticEmbedding(5, 9), torch.randint(5, (2, 3))
    assert torch.equal(elastic(ids, width), sliced(torch.nn.Embedding(5, width), elastic)(ids))
    assert torch.equal(elastic(ids), elastic.weight[ids])


def test_slices_are_not_copies():
    layer = ElasticLinear(4, 4)
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        layer(torch.randn(5, 2, requires_grad=True), out_features=3)
    assert any(t.untyped_storage().data_ptr() == layer.weight.untyped_storage().data_ptr() for t in saved)


def test_inactive_weights_get_no_gradient():
    layer = ElasticLinear(4, 4)
    layer(torch.randn(5, 2), in_features=2, out_features=3).sum().backward()
    assert layer.weight.grad[:3, :2].abs().min() > 0
    assert layer.weight.grad[3:].abs().sum() == layer.weight.grad[:, 2:].abs().sum() == 0


@given(st.integers(1, 64), st.floats(0, 0.9))
def test_dropout_shrinks_with_the_width(width, p):
    assert AdaptiveDropout(p, 64).probability(width) == p * width / 64
    assert AdaptiveDropout(p, 64, adaptive=False).probability(width) == p


def test_dropout_rate_is_the_stated_one():
    torch.manual_seed(0)
    dropout = AdaptiveDropout(0.4, 100)
    for width in (25, 50, 100):
        y = dropout(torch.ones(2000, width))
        assert abs((y == 0).float().mean() - 0.4 * width / 100) < 0.01
        assert abs(y.mean() - 1) < 0.02  # survivors are scaled up
    assert (dropout.eval()(torch.ones(10, 100)) == 1).all()


@pytest.mark.parametrize("p", [0.1, 0.5, 0.003])
@pytest.mark.parametrize("shape", [(401, 1001), (4, 1003, 100)])
def test_dropout_drops_the_share_asked_for_everywhere_and_keeps_the_mean(p, shape):
    torch.manual_seed(0)
    x = torch.ones(shape, requires_grad=True)
    y = dropout(x, p)
    assert torch.unique(y.detach()).tolist() == pytest.approx([0.0, 1 / (1 - p)], rel=2e-5)
    zero = (y == 0).flatten().double()
    deviation = (p * (1 - p)) ** 0.5
    for share in (zero, zero[0::4], zero[1::4], zero[2::4], zero[3::4]):  # four numbers come from one draw
        assert abs(share.mean() - p) < 5 * deviation / len(share) ** 0.5
    for lag in (1, 2, 3, 4):  # neighbours do not know of each other
        both = (zero[lag:] * zero[:-lag]).mean()
        assert abs(both - p * p) < 5 * p / len(zero) ** 0.5
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())


def test_dropout_at_its_ends_and_with_a_seed():
    x = torch.randn(7, 5)
    assert dropout(x, 0.0) is x and not dropout(x, 1.0).any()
    masks = []
    for _ in range(2):
        torch.manual_seed(3)
        masks += [dropout(torch.ones(9, 9, dtype=torch.bfloat16), 0.4), dropout(torch.ones(9, 9), 0.4)]
    assert torch.equal(masks[0], masks[2]) and torch.equal(masks[1], masks[3])
    assert masks[0].dtype == torch.bfloat16 and not torch.equal(masks[0] == 0, masks[1] == 0)


def test_shared_batch_norm_by_hand():
    """The first batch sets the statistics, the second counts as much; the result is that of torch's in evaluation."""
    norm = SharedBatchNorm1d(1).train()
    norm(torch.tensor([[[1.0, 3.0]]]))  # mean 2, variance 1
    assert norm.running_mean.item() == 2 and norm.running_var.item() == 1
    x = torch.tensor([[[2.0, 6.0]]], requires_grad=True)  # mean 4, variance 4
    y = norm(x)
    assert norm.running_mean.item() == 3 and norm.running_var.item() == 2.5
    assert y[0, 0].tolist() == pytest.approx([-1 / 2.5**0.5, 3 / 2.5**0.5], rel=1e-4)
    y.sum().backward()  # the statistics are constants
    assert x.grad[0, 0].tolist() == pytest.approx([1 / 2.5**0.5] * 2, rel=1e-4)
    plain = torch.nn.BatchNorm1d(1).eval()
    plain.load_state_dict(norm.state_dict())
    torch.testing.assert_close(plain(x), norm.eval()(x))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), 1e30])
def test_a_batch_without_finite_statistics_moves_none(bad):
    """The first batch as a later one: what comes after it finds the statistics as if it had not been."""
    norm, other = SharedBatchNorm1d(2).train(), SharedBatchNorm1d(2).train()
    broken = torch.ones(1, 2, 4)
    broken[0, 1, 2] = bad
    for batch in torch.randn(3, 2, 2, 4):
        norm(broken)
        norm(batch)
        other(batch)
        assert all(map(torch.equal, norm.buffers(), other.buffers()))


def test_the_next_net_may_move_shared_statistics_before_backward():
    norm = SharedBatchNorm1d(3).train()
    first = norm(torch.randn(2, 3, 5, requires_grad=True))
    norm(torch.randn(2, 3, 5))
    first.square().sum().backward()
    assert norm.weight.grad.isfinite().all()
