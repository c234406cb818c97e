"""The configurations in conf/: what differs from what, and the sizes that they build."""

import argparse
from pathlib import Path

import pytest
import torch

from espnet_plugin.asr.inference.extract import cost
from espnet_plugin.asr.training.task import TODMTask
from espnet_plugin.common.compose import compose, read_yaml
from espnet_plugin.optim.eden import Eden
from espnet_plugin.optim.scaled_adam import ScaledAdam

CONF = Path(__file__).parents[2] / "conf"
SCALES = {"paper": 500, "mobile": 500, "mini": 32}  # vocabulary
# Millions of parameters of the largest and the smallest net.
RANGE = {"paper": (98.1, 12.0), "mobile": (24.5, 5.1), "mini": (1.26, 0.348)}
LONGER = {"mini"}  # the supernet's run is longer than those of models trained alone
HUMAN = {"digits": 20, "read_speech": 100}  # vocabulary; without lines of the ablation
RANGE |= {"digits": (1.262, 0.345), "read_speech": (1.282, 0.365)}
# Each line of the ablation and the keys in which it differs from the one above.
ABLATION = {
    "ablation/alone": set(),
    "ablation/dropout": {"encoder_conf.adaptive_dropout"},
    "ablation/kl": {"model_conf.distill_conf.alpha", "model_conf.distill_conf.weight"},
    "ablation/alpha": {"model_conf.distill_conf.alpha"},
    "supernet": {"optim", "optim_conf", "scheduler", "scheduler_conf", "grad_clip"},
}


def build(conf: dict, vocabulary: int):
    """The model, without memory for its weights; without the frontend, whose tables are computed, and which has no weights."""
    tokens = ["<blank>", "<unk>", *(f"t{i}" for i in range(vocabulary - 3)), "<sos/eos>"]
    missing = dict.fromkeys(("normalize", "preencoder", "postencoder", "init", "joint_net_conf"))
    missing |= dict(specaug=None, specaug_conf={}, normalize_conf={}, ctc_conf={}, init_param=[])
    missing |= dict(token_list=tokens, token_type="bpe", bpemodel=None)
    with torch.device("meta"):
        return TODMTask.build_model(argparse.Namespace(**missing | conf | dict(frontend=None, input_size=80)))


def leaves(tree, path: str = "") -> dict:
    if not isinstance(tree, dict):
        return {path: tree}
    return {k: v for key, value in tree.items() for k, v in leaves(value, f"{path}.{key}".strip(".")).items()}


def differing(one: dict, other: dict) -> set[str]:
    a, b = leaves(one), leaves(other)
    return {key for key in a.keys() | b.keys() if a.get(key, "none") != b.get(key, "none")}


@pytest.mark.parametrize("scale", SCALES | HUMAN)
def test_each_individual_model_is_one_size_of_the_supernet(scale):
    vocabulary = (SCALES | HUMAN)[scale]
    supernet = build(compose(CONF / scale / "supernet.yaml"), vocabulary)
    space = supernet.search_space
    sizes = [cost(supernet, subnet).params / 1e6 for subnet in (space.max, space.min)]
    assert sizes == pytest.approx(RANGE[scale], rel=0.02)
    names = sorted(path.stem for path in (CONF / scale / "individual").glob("*.yaml"))
    assert len(names) >= (6 if scale in SCALES else 4)
    params = set()
    for name in names:
        depth, width = map(int, name.split("x"))
        conf = compose(CONF / scale / "individual" / f"{name}.yaml")
        alone = build(conf, vocabulary)
        assert alone.search_space.size == 1
        own = cost(alone, alone.search_space.max)
        assert own == cost(supernet, space.check(space.uniform(depth, width)))
        params.add(own.params)
        changed = differing(conf, compose(CONF / scale / "supernet.yaml"))
        space_keys = {"encoder_conf.search_space.depths", "encoder_conf.search_space.ffn_dims"}
        assert changed - {"max_epoch"} <= space_keys | {"encoder_conf.num_layers"}
        assert ("max_epoch" in changed) == (scale in LONGER)
    assert len(params) == len(names) and {max(params), min(params)} == {round(size * 1e6) for size in sizes}


@pytest.mark.parametrize("scale", SCALES)
def test_a_line_of_the_ablation_differs_in_what_it_ablates(scale):
    confs = {name: compose(CONF / scale / f"{name}.yaml") for name in ABLATION}
    for (_, above), (name, conf) in zip(list(confs.items()), list(confs.items())[1:]):
        allowed = ABLATION[name]
        for key in differing(above, conf):
            assert any(key == whole or key.startswith(f"{whole}.") for whole in allowed), (name, key)
        assert above != conf
    assert {path.stem for path in (CONF / scale / "ablation").glob("*.yaml")} == {
        name.split("/")[1] for name in ABLATION if "/" in name
    }
    for name in ABLATION:  # each model can be built, and says no value that its parent says already
        build(confs[name], SCALES[scale])
    for path in (CONF / scale / "ablation").glob("*.yaml"):
        own = read_yaml(path)
        parent = leaves(compose(path.parent / own.pop("base")))
        assert all(parent.get(key, "none") != value for key, value in leaves(own).items()), path


@pytest.mark.parametrize(
    "name",
    [
        *("librispeech.yaml", *(f"train_{name}.yaml" for name in ("mini", "mini_elastic", "mini_conformer", "digits"))),
        *(f"{scale}/supernet.yaml" for scale in HUMAN),
        *(f"{scale}/{name}.yaml" for scale in SCALES for name in ABLATION),
    ],
)
def test_every_value_has_its_reason_in_a_comment(name):
    """On its line, on that of the part it belongs to, or above; a file of one change says it in its first line."""
    lines = (CONF / name).read_text().splitlines()
    if len(read_yaml(CONF / name)) <= 2 and lines[0].startswith("#"):
        return
    explained = []  # of each key around the line: its indent, and whether it has a comment
    for above, line in zip(["", *lines], lines):
        if not line.strip() or line.lstrip().startswith(("#", "-", "base:")):
            continue
        indent = len(line) - len(line.lstrip())
        explained = [(i, known) for i, known in explained if i < indent]
        explained.append((indent, "#" in line or above.lstrip().startswith("#")))
        is_part = line.partition("#")[0].rstrip().endswith(":")
        assert is_part or any(known for _, known in explained), f"{name}: {line.strip()}"


@pytest.mark.parametrize("scale", SCALES)
def test_optimizers_take_their_options(scale):
    weight = torch.nn.Parameter(torch.ones(2))
    conf = compose(CONF / scale / "supernet.yaml")
    rates = conf["optim_conf"].pop("lr_scales")
    named = [(f"layer.{key}", torch.nn.Parameter(torch.ones(2))) for key in rates]
    Eden(ScaledAdam(named, lr_scales=rates, **conf["optim_conf"]), **conf["scheduler_conf"])
    conf = compose(CONF / scale / "ablation" / "alpha.yaml")
    torch.optim.Adam([weight], **conf["optim_conf"])
    assert conf["scheduler"] == "warmuplr" and set(conf["scheduler_conf"]) == {"warmup_steps"}
