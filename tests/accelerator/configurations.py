"""A training step of every configuration under conf/, made small, on the simulated accelerator: none mixes devices.

Run by test_accelerator.py.
"""

from pathlib import Path

import pytest
from tiny import batch, build, named

from espnet_plugin.asr.training.batch import Batch
from espnet_plugin.asr.training.launches import count_launches, sent, train_step
from espnet_plugin.asr.training.step import start
from espnet_plugin.common import accelerator
from espnet_plugin.common.compose import compose
from espnet_plugin.optim.scaled_adam import ScaledAdam

accelerator.device()  # before any backward pass

CONF = Path(__file__).parents[2] / "conf"
NAMES = sorted(str(path.relative_to(CONF)) for path in CONF.rglob("*.yaml") if path.name not in ("decode.yaml",))
# Key of the encoder -> what its size becomes for the n-th smallest value that the search space names (n from 1).
SMALL = dict(d_model=8, output_size=8, num_heads=2, attention_heads=1, linear_units=8)
LISTS = dict(ffn_dims=8, heads=2, model_dims=8, prediction_dims=8, joiner_dims=8)
LAYERS = 3


def small(conf: dict) -> dict:
    """The configuration with a few channels and layers; what varies and what does not stays."""
    encoder = dict(conf["encoder_conf"], **({"num_modes": 2} if "num_modes" in conf["encoder_conf"] else {}))
    conformer = "num_blocks" in encoder
    encoder.pop("stem_dim", None)
    space = dict(encoder["search_space"])
    space.pop("drop_order", None)
    key = "num_blocks" if conformer else "num_layers"
    space["depths"] = [1, LAYERS] if len(space.get("depths", [1])) > 1 else [LAYERS]
    encoder[key] = LAYERS
    step = dict(LISTS, heads=1 if conformer else 2)
    for name in LISTS:
        if name in space:
            space[name] = [step[name] * n for n in range(1, len(space[name]) + 1)]
    largest = {"heads": "attention_heads" if conformer else "num_heads", "model_dims": "d_model"}
    for name, value in SMALL.items():
        if name in encoder:
            encoder[name] = value
    for name, target in largest.items():
        if name in space:
            encoder[target] = space[name][-1]
    if conformer:
        encoder["linear_units"], encoder["output_size"] = space["ffn_dims"][-1], 4 * encoder["attention_heads"]
    else:
        encoder["head_dim"] = 4
    decoder = dict(conf["decoder_conf"], embed_dim=space.get("prediction_dims", [8])[-1])
    model = dict(conf["model_conf"], joint_space_size=space.get("joiner_dims", [8])[-1])
    return conf | dict(encoder_conf=encoder | {"search_space": space}, decoder_conf=decoder, model_conf=model)


@pytest.mark.parametrize(
    "name", [name for name in NAMES if "search_space" in compose(CONF / name).get("encoder_conf", {})]
)
def test_a_step_of_a_configuration(name):
    conf = small(compose(CONF / name))
    counts = count_launches(conf, 20, steps=2)
    totals = counts.totals()
    assert totals["mixed_devices"] == 0 and totals["launches"] > 100, counts.report()
    if conf.get("specaug") in (None, "device_specaug") and conf["encoder"] == "mhssm_supernet":
        assert totals["waits"] <= 1, counts.report()


def test_every_configuration_with_a_model_is_among_them():
    without = {name for name in NAMES if "search_space" not in compose(CONF / name).get("encoder_conf", {})}
    assert without == {"librispeech.yaml"}  # the part that the others share


def test_several_batches_to_an_update():
    """With accum_grad, a batch that makes no update waits for nothing."""
    model = accelerator.to_device(build().train())
    optimizer = ScaledAdam(model.named_parameters(), lr=0.03)
    ids, values = named(batch())
    noise = sent(Batch.of(**values, utt_id=ids))
    with accelerator.counting():
        train_step(model, optimizer, noise)
    with accelerator.counting() as counts:
        start(model, noise, 0.5, False)
    assert counts.totals()["mixed_devices"] == counts.totals()["waits"] == 0, counts.report()
    with accelerator.counting() as counts:
        train_step(model, optimizer, noise)
    assert counts.totals()["mixed_devices"] == 0 and counts.totals()["waits"] == 1, counts.report()
