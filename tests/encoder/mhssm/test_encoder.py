import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from espnet_plugin.encoder.checks import TooShort
from espnet_plugin.encoder.mhssm.encoder import MHSSMEncoder, Stem, TimeReduction
from espnet_plugin.encoder.mhssm.supernet import MHSSMSupernetEncoder
from espnet_plugin.errors import UserError

SIZES = dict(d_model=8, num_heads=4, num_modes=2, dt_max=0.5)
DIRECTIONS = ["forward", "bidirectional"]
SPACE = dict(ffn_dims=[4, 8, 16], depths=[1, 2, 4], heads=[2, 4], model_dims=[4, 6, 8], directions=DIRECTIONS)


def supernet(seed=0, bidirectional=True, **conf):
    torch.manual_seed(seed)
    space = SPACE if bidirectional else SPACE | dict(directions=["forward"])
    return MHSSMSupernetEncoder(
        5, num_layers=4, search_space=space, bidirectional=bidirectional, stem_dim=7, **SIZES | conf
    )


def plain(encoder, subnet):
    name, conf = encoder.plain_class.name, encoder.extracted_conf(subnet)
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


@given(st.integers(0, 10**6), st.integers(7, 60))
@settings(max_examples=100)
def test_extraction_is_exact(seed, frames):
    """With the stem of the only net and with that of all nets of a step."""
    encoder = supernet(seed % 5).eval()
    subnet = encoder.search_space.sample(random.Random(seed))
    alone = plain(encoder, subnet)
    x, lengths = torch.randn(2, frames, 5), torch.tensor([frames, 7])
    inside, _, _ = encoder(x, lengths, subnet=subnet)
    shared = encoder.run(encoder.stem(x, lengths), subnet)
    outside, out_lengths, _ = alone(x, lengths)
    torch.testing.assert_close(inside, outside, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(shared, outside, atol=2e-6, rtol=1e-5)
    assert out_lengths.tolist() == [TimeReduction.reduced(frames), 1]
    assert encoder.cost(subnet).params == sum(p.numel() for p in alone.parameters())


@pytest.mark.parametrize("seed", range(12))
def test_multiply_adds_are_those_of_the_built_encoder(seed):
    """One second more, counted by torch; the recurrence, which torch's counter does not see, by the sizes of its parameters."""
    encoder = supernet(bidirectional=seed % 3 > 0)
    subnet = encoder.search_space.sample(random.Random(seed))
    alone, counts = plain(encoder, subnet), []
    for frames in (107, 207):
        x, lengths = torch.randn(1, frames, 5), torch.tensor([frames])
        _, _, mask = alone.reduce(x, lengths)
        zeros = torch.zeros(mask.shape[1])
        for layer in alone.layers:
            layer.mixer.ssm.forward = lambda u, spectrum: u  # without the kernel, which does not grow like this
        with FlopCounterMode(display=False) as counter:
            alone.run(Stem(alone.time_reduction(x), lengths, mask, (zeros,) * len(alone.layers)))
        counts.append(counter.get_total_flops() // 2)
    ssms = [layer.mixer.ssm for layer in alone.layers]
    recurrence = sum(25 * (6 * ssm.readout.output.numel() // 2 + ssm.readout.skip.numel()) for ssm in ssms)
    assert encoder.cost(subnet).macs == counts[1] - counts[0] + recurrence


def test_weights_of_a_narrow_subnet_only_get_gradients():
    encoder = supernet()
    encoder(torch.randn(1, 30, 5), torch.tensor([30]), subnet=encoder.search_space.min)[0].square().sum().backward()
    layer = encoder.layers[0]
    for gradient, active in (
        (layer.mixer.linear_in.weight.grad, (8, 4)),  # 2 heads of 4 channels, model dimension 4
        (layer.mixer.ssm.readout.output.grad, (1, 2)),  # forward, 2 heads
        (layer.mixer.linear_out.weight.grad, (4, 4)),
        (encoder.time_reduction.conv2.weight.grad, (4, 7)),
        (encoder.norm_out.bias.grad, (4,)),
    ):
        part = gradient[tuple(slice(n) for n in active)]
        assert part.count_nonzero() == gradient.count_nonzero() > 0


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
    kept = [layer.index for layer in encoder.search_space.min.layers]
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
        MHSSMEncoder(5, num_heads=1)
    with pytest.raises(UserError, match="must divide the 512"):
        MHSSMEncoder(5, num_heads=10)
    with pytest.raises(UserError, match="one for each of 2 layers"):
        MHSSMEncoder(5, num_heads=[2], ffn_dims=[4, 4])
    with pytest.raises(TooShort, match="6 frames"):
        supernet()(torch.randn(1, 6, 5), torch.tensor([6]))
