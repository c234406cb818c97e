"""Model ``todm`` with an elastic Conformer: training, extraction, ESPnet's own inference."""

import random

import pytest
import tiny
import torch
import yaml
from espnet2.asr.encoder.conformer_encoder import ConformerEncoder
from espnet2.bin.asr_inference import Speech2Text
from espnet2.torch_utils.load_pretrained_model import load_pretrained_model
from tiny import arguments, batch, build, model_conf, named, train_epoch

from espnet_plugin.asr.inference.extract import cost, extract, write_model_dir
from espnet_plugin.asr.inference.loading import TrainedModel, load_model
from espnet_plugin.transducer.elastic import at_subnet
from espnet_plugin.transducer.greedy import greedy_search

SPACE = dict(depths=[1, 2], ffn_dims=[4, 8], heads=[1, 2], prediction_dims=[4, 8], joiner_dims=[4, 8])
CONFORMER = tiny.CONFORMER | dict(
    encoder_conf=tiny.CONFORMER["encoder_conf"] | dict(search_space=SPACE), decoder="stateless_supernet"
)


def test_two_steps_by_the_sandwich_rule_train_every_weight():
    model = build(**CONFORMER).train()
    before = {name: p.clone() for name, p in model.named_parameters()}
    reporter = train_epoch(model, [named(batch(0)), named(batch(1))])
    assert int(model.num_updates) == 2
    for name, p in model.named_parameters():
        assert p.isfinite().all(), name
        # A bias of keys adds the same to all scores of a query, so it has no gradient but rounding.
        assert "linear_k.bias" in name or not torch.equal(p, before[name]), name
    assert {"loss_max", "loss_min", "distill_min"} <= set(reporter.stats)
    norm = model.encoder.encoders[0].conv_module.norm
    assert norm.num_batches_tracked > 2 and norm.running_var.ne(1).all()  # moved by several nets in each step


def test_an_espnet_conformer_is_a_start(tmp_path):
    """As ESPnet's ``--init_param FILE:encoder:encoder`` loads it."""
    sizes = {key: value for key, value in CONFORMER["encoder_conf"].items() if key != "search_space"}
    espnets = ConformerEncoder(80, **sizes, rel_pos_type="latest", macaron_style=True)
    torch.save({f"encoder.{name}": value for name, value in espnets.state_dict().items()}, tmp_path / "asr.pth")
    model = build(**CONFORMER)
    load_pretrained_model(f"{tmp_path}/asr.pth:encoder:encoder", model, ignore_init_mismatch=False)
    feats, lengths = torch.randn(1, 50, 80), torch.tensor([50])
    torch.testing.assert_close(model.encoder.eval()(feats, lengths)[0], espnets.eval()(feats, lengths)[0])


def test_nets_after_the_max_net_may_see_a_part_of_the_batch():
    model = build(**CONFORMER, model_conf=model_conf(sampling_conf=dict(student_share=0.4))).train()
    train_epoch(model, [named(batch(0))])
    assert int(model.num_updates) == 1


@pytest.mark.parametrize("loss", ["pruned", "full"])
def test_it_learns_a_batch(loss):
    """Normalised by running statistics, the loss of max and min net falls."""
    conf = dict(transducer_conf=dict(loss=loss) | (dict(prune_range=3, warmup_steps=1) if loss == "pruned" else {}))
    model = build(**CONFORMER, model_conf=dict(joint_space_size=8) | conf).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    losses = []
    for _ in range(60):
        total, stats, _ = model(*batch(0))
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        losses.append([float(stats["loss_max"]), float(stats["loss_min"])])
    assert losses[-1][0] < 0.5 * losses[0][0] and losses[-1][1] < 0.5 * losses[0][1]


@pytest.mark.parametrize("seed", range(10))
def test_extraction_is_exact(seed):
    model, args = build(seed, **CONFORMER), arguments(**CONFORMER)
    train_epoch(model.train(), [named(batch(seed))])
    model.eval()
    speech, lengths = 0.1 * torch.randn(2, 8000), torch.tensor([8000, 5000])
    subnet = model.search_space.sample(random.Random(seed))
    alone, _ = extract(TrainedModel(model, args), subnet)
    inside, outside = model.encode(speech, lengths, subnet), alone.encode(speech, lengths)
    torch.testing.assert_close(inside, outside, atol=5e-6, rtol=1e-5)
    found = greedy_search(*inside, *at_subnet(model.decoder, model.joint_network, subnet))
    assert found == greedy_search(*outside, alone.decoder, alone.joint_network)
    assert cost(model, subnet).params == sum(p.numel() for p in alone.parameters())


def test_espnets_speech2text_loads_a_size(tmp_path):
    model, args = build(2, **CONFORMER).eval(), arguments(**CONFORMER)
    torch.nn.init.normal_(model.joint_network.lin_out.weight)
    torch.nn.init.zeros_(model.joint_network.lin_out.bias)
    subnet = model.search_space.min
    write_model_dir(TrainedModel(model, args), subnet, tmp_path / "size")
    files = tmp_path / "size" / "config.yaml", tmp_path / "size" / "model.pth"
    assert yaml.safe_load(files[0].read_text())["encoder"] == "conformer_sized"
    speech = 0.1 * torch.randn(8000)
    encoder_out, lengths = model.encode(speech[None], torch.tensor([8000]), subnet)
    found = greedy_search(encoder_out, lengths, *at_subnet(model.decoder, model.joint_network, subnet))[0]
    assert found and Speech2Text(*map(str, files), beam_size=1)(speech)[0][2] == found
    alone, _ = load_model(*files)
    torch.testing.assert_close(alone.encode(speech[None], torch.tensor([8000]))[0], encoder_out, atol=5e-6, rtol=1e-5)
