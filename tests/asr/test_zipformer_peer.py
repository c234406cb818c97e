"""The Zipformer of the benchmarks as an encoder of the recipe: one size, trained and cut out as ours are."""

import sys
from pathlib import Path

import pytest
import tiny
import torch
import yaml

from espnet_plugin.asr.inference.extract import write_model_dir
from espnet_plugin.asr.inference.loading import TrainedModel, load_model
from espnet_plugin.common.compose import compose

PEER = Path(__file__).parents[2] / "benchmarks" / "peer"
sys.path.append(str(PEER))
zipformer_peer = pytest.importorskip("zipformer_peer", exc_type=ImportError)
zipformer_peer.register()
CONF = dict(encoder="zipformer_peer_supernet", encoder_conf=dict(size="0.6M"))


def test_frames_are_as_lengths_say():
    encoder = zipformer_peer.ZipformerPeer(80, "0.6M").eval()
    for frames in (9, 10, 11, 50, 63):
        lengths = torch.tensor([frames])
        out, said, _ = encoder(torch.randn(1, frames, 80), lengths)
        assert out.shape[:2] == (1, int(said)) and encoder.frames(lengths).tolist() == said.tolist()


def test_a_step_trains_it_and_its_only_size_is_cut_out(tmp_path):
    model = tiny.build(**CONF).train()
    loss, _, _ = model(*tiny.batch())
    loss.backward()
    assert torch.isfinite(loss) and model.encoder.subsampling.out.weight.grad.abs().sum() > 0
    assert model.search_space.size == 1
    trained = TrainedModel(model.eval(), tiny.arguments(**CONF))
    facts = write_model_dir(trained, model.search_space.max, tmp_path / "size")
    alone = load_model(tmp_path / "size/config.yaml", tmp_path / "size/model.pth").model
    speech, lengths, _, _ = tiny.batch()
    with torch.no_grad():
        inside, outside = model.encode(speech, lengths, model.search_space.max), alone.encode(speech, lengths)
    torch.testing.assert_close(inside, outside)
    assert facts["params"] == sum(p.numel() for p in alone.parameters())


@pytest.mark.parametrize("path", sorted(PEER.glob("conf/*.yaml")), ids=lambda path: path.stem)
def test_a_configuration_differs_from_models_trained_alone_in_the_encoder(path):
    conf = yaml.safe_load(path.read_text())
    scale, size = path.stem.rsplit("_", 1)
    alone = compose(PEER.parent.parent / "conf" / scale / "individual" / "6x512.yaml")
    peer = compose(path)
    changed = {key for key in peer.keys() | alone.keys() if peer.get(key) != alone.get(key)}
    assert changed <= {"encoder", "encoder_conf", "optim_conf"} and conf["encoder_conf"]["size"] == size
    assert set(conf) == {"base", "encoder", "encoder_conf", "optim_conf"} and set(conf["optim_conf"]) == {"lr_scales"}
