import pytest
import torch
from espnet2.legacy.nets.pytorch_backend.transformer.subsampling import TooShortUttError
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet_plugin.encoder.mhssm import MHSSMEncoder, TimeReduction
from espnet_plugin.encoder.mhssm_supernet import MHSSMSupernetEncoder
from espnet_plugin.errors import UserError

SIZES = dict(d_model=8, num_heads=4, num_modes=2, dt_max=0.5)
SPACE = dict(ffn_dims=[4, 8, 16], depths=[1, 2, 4])


def supernet(seed=0, **conf):
    torch.manual_seed(seed)
    return MHSSMSupernetEncoder(5, num_layers=4, search_space=SPACE, **SIZES | conf)


def plain(encoder, subnet):
    name, conf = encoder.extracted_conf(subnet)
    assert name == "mhssm"
    alone = MHSSMEncoder(5, **conf)
    alone.load_state_dict(encoder.extracted_state(subnet))
    return alone.eval()


@pytest.mark.parametrize("frames, reduced", [(6, 0), (7, 1), (10, 1), (11, 2), (35, 8), (67, 16)])
def test_time_reduction_by_hand(frames, reduced):
    assert TimeReduction.reduced(frames) == reduced
    assert TimeReduction.reduced(torch.tensor([frames])).tolist() == [reduced]
    if reduced:
        assert TimeReduction(5, 8)(torch.randn(1, frames, 5)).shape == (1, reduced, 8)


@given(st.integers(0, 999), st.integers(7, 60))
@settings(deadline=None, max_examples=60)
def test_extraction_is_exact(seed, frames):
    encoder = supernet(seed % 5).eval()
    import random

    subnet = encoder.search_space.sample(random.Random(seed))
    alone = plain(encoder, subnet)
    x, lengths = torch.randn(2, frames, 5), torch.tensor([frames, 7])
    inside, _, _ = encoder(x, lengths, subnet=subnet)
    outside, out_lengths, _ = alone(x, lengths)
    torch.testing.assert_close(inside, outside, atol=1e-6, rtol=1e-6)
    assert out_lengths.tolist() == [TimeReduction.reduced(frames), 1]
    assert encoder.num_parameters(subnet) == sum(p.numel() for p in alone.parameters())


@given(st.integers(7, 50), st.integers(7, 50), st.booleans())
@settings(deadline=None, max_examples=30)
def test_output_does_not_depend_on_the_batch(first, second, bidirectional):
    encoder = supernet(bidirectional=bidirectional).eval()
    a, b = torch.randn(1, first, 5), torch.randn(1, second, 5)
    longest = max(first, second)
    batch = torch.full((2, longest, 5), 7.0)  # padding that would show
    batch[0, :first], batch[1, :second] = a[0], b[0]
    together, lengths, _ = encoder(batch, torch.tensor([first, second]))
    for row, x in enumerate((a, b)):
        alone, _, _ = encoder(x, torch.tensor([x.shape[1]]))
        torch.testing.assert_close(together[row, : lengths[row]], alone[0], atol=2e-5, rtol=1e-4)


def test_no_subnet_means_the_max_net():
    encoder = supernet().eval()
    x, lengths = torch.randn(1, 30, 5), torch.tensor([30])
    assert torch.equal(encoder(x, lengths)[0], encoder(x, lengths, subnet=encoder.search_space.max)[0])


def test_forward_direction_sees_no_future():
    encoder = supernet(bidirectional=False).eval()
    x = torch.randn(1, 35, 5)
    full = encoder(x, torch.tensor([35]))[0]
    part = encoder(x[:, :19], torch.tensor([19]))[0]
    torch.testing.assert_close(full[:, : part.shape[1]], part, atol=1e-5, rtol=1e-4)


def test_weights_of_a_dropped_layer_get_no_gradient():
    encoder = supernet()
    encoder(torch.randn(1, 30, 5), torch.tensor([30]), subnet=encoder.search_space.min)[0].sum().backward()
    kept = encoder.search_space.min.layers
    for index, layer in enumerate(encoder.layers):
        gradient = layer.feed_forward.linear_in.weight.grad
        assert (gradient is not None) == (index in kept)
        if gradient is not None:
            assert gradient[4:].abs().sum() == 0


def test_adaptive_dropout_can_be_switched_off():
    assert supernet().layers[0].feed_forward.dropout.adaptive
    assert not supernet(adaptive_dropout=False).layers[0].feed_forward.dropout.adaptive


def test_errors_are_sentences():
    with pytest.raises(UserError, match="search_space: keys"):
        MHSSMSupernetEncoder(5, search_space=dict(ffn_dims=[8], width=[1]))
    with pytest.raises(UserError, match="must be even"):
        supernet(num_heads=1)
    with pytest.raises(TooShortUttError, match="6 frames"):
        supernet()(torch.randn(1, 6, 5), torch.tensor([6]))
