"""Exact extraction in all dimensions: encoder output, joiner logits, decoded text."""

import argparse
import random
from pathlib import Path

import pytest
import tiny
import torch
from espnet2.bin.asr_inference import Speech2Text
from torch.utils.flop_counter import FlopCounterMode

from espnet_plugin.asr.inference.extract import cost, extract, write_model_dir
from espnet_plugin.asr.inference.loading import TrainedModel
from espnet_plugin.asr.training.task import TODMTask
from espnet_plugin.common.compose import compose
from espnet_plugin.errors import UserError
from espnet_plugin.transducer.elastic import at_subnet
from espnet_plugin.transducer.greedy import greedy_search

SPACE = dict(
    depths=[1, 2, 3],
    ffn_dims=[4, 8],
    heads=[2, 4],
    model_dims=[4, 6, 8],
    prediction_dims=[4, 8],
    joiner_dims=[4, 6],
    directions=["forward", "bidirectional"],
)
CONF = tiny.CONF | dict(
    token_type="char",
    encoder_conf=dict(
        d_model=8, stem_dim=6, num_heads=4, num_modes=2, num_layers=3, dt_max=0.5, dropout=0.0, search_space=SPACE
    ),
    decoder="stateless_supernet",
    model_conf=dict(joint_space_size=6, transducer_conf=dict(prune_range=3, warmup_steps=4)),
)


def arguments(**changes) -> argparse.Namespace:
    return tiny.arguments(**CONF | changes)


def build(seed=0, **changes):
    torch.manual_seed(seed)
    model = TODMTask.build_model(arguments(**changes))
    joiner = model.joint_network  # many symbols are to be found
    for layer in (joiner.lin_enc, joiner.lin_dec, joiner.lin_out):
        torch.nn.init.normal_(layer.weight)
    torch.nn.init.zeros_(joiner.lin_out.bias)
    return model


@pytest.mark.parametrize("seed", range(3))
def test_extraction_of_300_random_subnets_is_exact(seed):
    """100 of each of three models."""
    model, args = build(seed).eval(), arguments()
    speech, lengths = 0.1 * torch.randn(2, 6000), torch.tensor([6000, 4000])
    feats, frames = model.features(speech, lengths)
    stem = model.encoder.stem(feats, frames)
    tokens, texts = torch.randint(7, (2, 4)), set()
    for draw in range(100):
        subnet = model.search_space.sample(random.Random(1000 * seed + draw))
        alone, _ = extract(TrainedModel(model, args), subnet)
        with torch.no_grad():
            inside, out_lengths = model.encoder.run(stem, subnet), stem.lengths
            outside, alone_lengths = alone.encode(speech, lengths)
            torch.testing.assert_close(inside, outside, atol=5e-6, rtol=1e-5)
            assert torch.equal(out_lengths, alone_lengths)
            decoder, joiner = at_subnet(model.decoder, model.joint_network, subnet)
            logits = [
                joint(encoded.unsqueeze(2), predict(tokens).unsqueeze(1))
                for encoded, predict, joint in (
                    (inside, decoder, joiner),
                    (outside, alone.decoder, alone.joint_network),
                )
            ]
        torch.testing.assert_close(*logits, atol=1e-5, rtol=1e-5)
        found = greedy_search(inside, out_lengths, decoder, joiner)
        assert found == greedy_search(outside, alone_lengths, alone.decoder, alone.joint_network)
        texts.add(str(found))
        assert cost(model, subnet).params == sum(p.numel() for p in alone.parameters())
        kinds = {type(module).__module__ for module in alone.modules()}
        assert not any("supernet" in kind or "elastic" in kind for kind in kinds)
    assert len(texts) > 10


@pytest.mark.parametrize("seed", range(5))
def test_multiply_adds_of_prediction_network_and_joiner_are_those_of_the_built_ones(seed):
    model = build().eval()
    subnet = model.search_space.sample(random.Random(seed))
    alone, _ = extract(TrainedModel(model, arguments()), subnet)
    with FlopCounterMode(display=False) as counter:
        predicted = alone.decoder.predict(torch.zeros(1, 2, dtype=torch.long))
        alone.joint_network(torch.randn(1, 1, alone.encoder.output_size()), predicted)
    total = cost(model, subnet).macs - model.encoder.cost(subnet).macs
    assert total == 25 * counter.get_total_flops() // 2


@pytest.mark.parametrize("name", ["max", "min", "max_forward", "min_bidirectional"])
def test_espnets_speech2text_loads_a_size(name, tmp_path):
    model, args = build(2).eval(), arguments()
    with torch.no_grad():
        model.joint_network.lin_out.bias[0] -= 2  # so that there is something to find
    subnet = model.search_space.resolve(name)
    write_model_dir(TrainedModel(model, args), subnet, tmp_path / "size")
    speech2text = Speech2Text(str(tmp_path / "size" / "config.yaml"), str(tmp_path / "size" / "model.pth"), beam_size=1)
    speech = 0.1 * torch.randn(8000)
    encoder_out, lengths = model.encode(speech[None], torch.tensor([8000]), subnet)
    found = greedy_search(encoder_out, lengths, *at_subnet(model.decoder, model.joint_network, subnet))[0]
    assert found and speech2text(speech)[0][2] == found


@pytest.mark.parametrize("rule", ["sandwich", "single"])
def test_every_weight_is_trained(rule):
    """A single random net a step reaches them in a few steps; its own simple loss is at its widths."""
    model = build(model_conf=dict(joint_space_size=6, sampling_conf=dict(rule=rule))).train()
    speech, text = 0.1 * torch.randn(2, 8000), torch.tensor([[2, 3, 4], [5, 3, -1]])
    for _ in range(1 if rule == "sandwich" else 30):
        loss, _, _ = model(speech, torch.tensor([8000, 6000]), text, torch.tensor([3, 2]))
        loss.backward()
    for name, p in model.named_parameters():
        assert p.grad is not None and p.grad.isfinite().all() and p.grad.abs().sum() > 0, name


def changed(**space):
    return dict(CONF["encoder_conf"], search_space={**SPACE, **space})


@pytest.mark.parametrize(
    "changes, said",
    [
        (dict(decoder="stateless"), "prediction_dims: the decoder must be 'stateless_supernet'"),
        (dict(encoder_conf=changed(prediction_dims=[4])), "must equal decoder_conf.embed_dim, 8"),
        (dict(encoder_conf=changed(joiner_dims=[4, 8])), "must equal model_conf.joint_space_size, 6"),
        (
            dict(
                encoder_conf=dict(CONF["encoder_conf"], search_space=dict(ffn_dims=[8], model_dims=[4, 8])),
                decoder="transducer",
                decoder_conf=dict(rnn_type="lstm", num_layers=1, hidden_size=8),
                joint_net_conf=dict(joint_space_size=6),
            ),
            "need decoder 'stateless'",
        ),
    ],
)
def test_contradictory_spaces_are_refused(changes, said):
    with pytest.raises(UserError) as error:
        build(**changes)
    assert said in str(error.value)


@pytest.mark.parametrize(
    "name", ["train_mini", "train_mini_elastic", "train_mini_conformer", "train_an4", "train_digits"]
)
def test_the_recipes_configurations_build(name):
    conf = compose(Path(__file__).parents[2] / "conf" / f"{name}.yaml")
    parts = {key: conf[key] for part in ("encoder", "decoder", "model") for key in (part, f"{part}_conf")}
    model = build(**parts)
    smallest, largest = (cost(model, subnet) for subnet in (model.search_space.min, model.search_space.max))
    assert smallest.params < largest.params and smallest.macs < largest.macs
    if name == "train_mini_elastic":
        assert not model.search_space.fixed


def test_the_space_has_many_subnets():
    assert build().search_space.size == (4 + 4**2 + 4**3) * 3 * 2 * 2 * 2
