import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet_plugin.supernet.layers import AdaptiveDropout, ElasticLinear


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
