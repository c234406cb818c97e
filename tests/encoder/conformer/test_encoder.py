"""The elastic Conformer: it is ESPnet's at full size, and its subnets are cut out exactly."""

import random

import pytest
import torch
from espnet2.asr.encoder.conformer_encoder import ConformerEncoder
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from espnet_plugin.encoder.checks import TooShort
from espnet_plugin.encoder.conformer.cost import FRAMES, SECONDS
from espnet_plugin.encoder.conformer.encoder import SizedConformerEncoder
from espnet_plugin.encoder.conformer.supernet import ConformerSupernetEncoder
from espnet_plugin.errors import UserError

SIZES = dict(output_size=12, attention_heads=3, linear_units=16, num_blocks=3, cnn_module_kernel=5, max_pos_emb_len=40)
SPACE = dict(depths=[1, 2, 3], ffn_dims=[4, 8, 16], heads=[1, 2, 3])
LATEST = dict(rel_pos_type="latest", macaron_style=True)


def supernet(seed=0, dtype=torch.float32, **conf):
    torch.manual_seed(seed)
    encoder = ConformerSupernetEncoder(9, **dict(search_space=SPACE) | SIZES | conf).to(dtype)
    with torch.no_grad():
        for name, value in encoder.state_dict().items():  # as after training
            if "running_mean" in name:
                value.normal_()
            elif "running_var" in name:
                value.uniform_(0.5, 2)
    return encoder.eval()


def plain(encoder, subnet):
    name, conf = encoder.plain_class.name, encoder.extracted_conf(subnet)
    assert name == "conformer_sized"
    alone = SizedConformerEncoder(9, **conf).to(encoder.after_norm.weight.dtype)
    alone.load_state_dict(encoder.extracted_state(subnet))
    return alone.eval()


@pytest.mark.parametrize("seed", range(3))
def test_the_max_net_is_espnets_conformer(seed):
    """The same names of weights, the same output in float64, also of a padded batch."""
    encoder = supernet(seed, torch.float64)
    espnets = ConformerEncoder(9, **SIZES, **LATEST).double().eval()
    espnets.load_state_dict(encoder.state_dict())
    x, lengths = torch.randn(2, 47, 9).double(), torch.tensor([47, 30])
    expected, expected_lengths, _ = espnets(x, lengths)
    out, out_lengths, _ = encoder(x, lengths)
    torch.testing.assert_close(out, expected, atol=1e-12, rtol=1e-12)
    assert torch.equal(out_lengths, expected_lengths)
    encoder.load_state_dict(espnets.state_dict())


def test_a_subnet_of_one_width_and_all_heads_is_an_espnet_conformer():
    encoder = supernet(1, torch.float64)
    subnet = encoder.search_space.uniform(2, 8)
    espnets = ConformerEncoder(9, **SIZES | dict(num_blocks=2, linear_units=8), **LATEST).double().eval()
    espnets.load_state_dict(encoder.extracted_state(subnet))
    x, lengths = torch.randn(2, 35, 9).double(), torch.tensor([35, 20])
    torch.testing.assert_close(espnets(x, lengths)[0], encoder(x, lengths, subnet=subnet)[0], atol=1e-12, rtol=1e-12)


@given(st.integers(0, 10**6), st.integers(7, 60))
@settings(max_examples=60, deadline=None)
def test_extraction_is_exact(seed, frames):
    """Into a model that runs ESPnet's own forward pass."""
    encoder = supernet(seed % 5)
    subnet = encoder.search_space.sample(random.Random(seed))
    alone = plain(encoder, subnet)
    x, lengths = torch.randn(2, frames, 9), torch.tensor([frames, 7])
    stem = encoder.stem(x, lengths)
    outside, out_lengths, _ = alone(x, lengths)
    torch.testing.assert_close(encoder.run(stem, subnet), outside, atol=2e-6, rtol=1e-5)
    torch.testing.assert_close(alone.run(alone.stem(x, lengths)), outside, atol=0, rtol=0)
    assert torch.equal(stem.lengths, out_lengths) and int(out_lengths[1]) == 1
    assert encoder.cost(subnet).params == sum(p.numel() for p in alone.parameters())
    assert type(alone).forward is ConformerEncoder.forward
    kinds = {type(module).__module__ for module in alone.modules()} - {SizedConformerEncoder.__module__}
    assert all(kind.startswith(("espnet2.", "torch.")) for kind in kinds)


@pytest.mark.parametrize("seed", range(6))
def test_multiply_adds_are_those_of_the_built_encoder(seed):
    """Of an utterance that gives 10 s of encoder frames, counted by torch."""
    encoder = supernet()
    subnet = encoder.search_space.sample(random.Random(seed))
    frames = 4 * FRAMES + 3
    with FlopCounterMode(display=False) as counter:
        _, lengths, _ = plain(encoder, subnet)(torch.randn(1, frames, 9), torch.tensor([frames]))
    assert lengths.tolist() == [FRAMES]
    assert encoder.cost(subnet).macs == round(counter.get_total_flops() / 2 / SECONDS)


def test_weights_of_a_narrow_subnet_only_get_gradients():
    encoder = supernet(dropout_rate=0.0).train()
    encoder(torch.randn(1, 30, 9), torch.tensor([30]), subnet=encoder.search_space.min)[0].square().sum().backward()
    block = encoder.encoders[0]
    for gradient, active in (
        (block.self_attn.linear_q.weight.grad, (4, 12)),  # one head of 4 channels
        (block.self_attn.linear_pos.weight.grad, (4, 12)),
        (block.self_attn.linear_out.weight.grad, (12, 4)),
        (block.self_attn.pos_bias_v.grad, (1, 4)),
        (block.feed_forward.w_1.weight.grad, (4, 12)),
        (block.feed_forward_macaron.w_2.weight.grad, (12, 4)),
    ):
        inside = torch.zeros_like(gradient, dtype=torch.bool)
        inside[tuple(slice(n) for n in active)] = True
        assert gradient[~inside].abs().sum() == 0 and gradient[inside].abs().sum() > 0
    assert encoder.encoders[1].feed_forward.w_1.weight.grad is None


@pytest.mark.parametrize("name", ["max", "min"])
def test_padding_does_not_leak(name):
    encoder = supernet()
    subnet = encoder.search_space.resolve(name)
    x, padded = torch.randn(1, 31, 9), torch.randn(2, 60, 9)
    padded[0, :31] = x
    alone, lengths, _ = encoder(x, torch.tensor([31]), subnet=subnet)
    both, _, _ = encoder(padded, torch.tensor([31, 60]), subnet=subnet)
    torch.testing.assert_close(both[0, : int(lengths)], alone[0], atol=1e-5, rtol=1e-5)


def test_training_normalises_as_evaluation_does():
    """What a subnet sees in training it sees when it is cut out."""
    encoder = supernet(dropout_rate=0.0, positional_dropout_rate=0.0).train()
    x, lengths, subnet = torch.randn(2, 40, 9), torch.tensor([40, 40]), encoder.search_space.min
    trained = encoder(x, lengths, subnet=subnet)[0]
    torch.testing.assert_close(encoder.eval()(x, lengths, subnet=subnet)[0], trained)


@pytest.mark.parametrize(
    "conf, said",
    [
        (dict(search_space=dict(ffn_dims=[16], model_dims=[8, 12])), "must be some of depths, ffn_dims, heads, "),
        (dict(search_space=dict(ffn_dims=[4, 8])), "must equal encoder_conf.linear_units, 16"),
        (dict(search_space=dict(ffn_dims=[16], heads=[1, 2])), "must equal encoder_conf.attention_heads, 3"),
        (dict(search_space=dict(ffn_dims=[16]), attention_heads=5), "must divide output_size, 12"),
        (dict(search_space=dict(ffn_dims=[16]), cnn_module_kernel=4), "cnn_module_kernel: 4 must be odd"),
    ],
)
def test_impossible_sizes_are_refused(conf, said):
    with pytest.raises(UserError) as error:
        ConformerSupernetEncoder(9, **SIZES | conf)
    assert said in str(error.value)


def test_one_width_for_each_block():
    with pytest.raises(UserError, match=r"linear_units: \[4\] must be one number or one for each of 2 blocks"):
        SizedConformerEncoder(9, linear_units=[4], num_blocks=2)


def test_widths_that_the_space_does_not_name_are_those_of_the_configuration():
    space = supernet(search_space=dict(depths=[1, 3])).search_space
    assert (space["ffn"], space["heads"], space["d_model"], space.size) == ((16,), (3,), (12,), 2)
    assert str(space.max) == "0-2" and space.parse("0-2x16h3") == space.max


def test_short_utterances_are_refused():
    with pytest.raises(TooShort):
        supernet()(torch.randn(2, 9, 9), torch.tensor([9, 6]))
