"""Several sizes that share weights on disk."""

import copy
import random

import numpy as np
import pytest

from espnet_plugin.asr.inference.extract import extract
from espnet_plugin.asr.inference.loading import TrainedModel
from espnet_plugin.deploy.client import decode
from espnet_plugin.deploy.family import Weights, export_family
from espnet_plugin.deploy.sherpa import export
from espnet_plugin.errors import UserError


@pytest.fixture(scope="module")
def sizes(build):
    """Sizes of one supernet that differ in every dimension."""
    space = dict(depths=[1, 2, 3], ffn_dims=[64, 512, 2048], heads=[2, 4], model_dims=[16, 32])
    space |= dict(prediction_dims=[6, 12], joiner_dims=[10, 20], directions=["forward", "bidirectional"])
    conf = dict(d_model=32, stem_dim=24, num_heads=4, num_modes=3, num_layers=3, dt_min=0.01, dt_max=0.8)
    supernet, args = build(
        encoder="mhssm_supernet", encoder_conf=conf | dict(search_space=space), decoder="stateless_supernet"
    )
    space = supernet.search_space
    chosen = {"max": space.max, "middle": space.sample(random.Random(1)), "min": space.min}
    return {name: extract(TrainedModel(supernet, args), subnet)[0] for name, subnet in chosen.items()}


def test_leading_blocks_are_found():
    weights = Weights()
    large = np.arange(12, dtype=np.float32).reshape(3, 4)
    first = weights.find(large)
    assert weights.find(large[:2, :3].copy()) is first and weights.size == 48
    assert weights.find(large[1:, :3].copy()).offset == 48 and weights.size == 48 + 24
    assert weights.find(large.astype(np.float64)).offset == 72  # another type


def test_a_family_takes_little_more_than_its_largest_size(sizes, tmp_path, an4_wavs):
    found = export_family(sizes, tmp_path / "family")
    assert found.keys() == sizes.keys() and max(found.values()) < 5e-4
    alone = {}
    for name, model in sizes.items():
        export(model, tmp_path / name)
        alone[name] = sum(path.stat().st_size for path in (tmp_path / name).iterdir())
    together = sum(path.stat().st_size for path in (tmp_path / "family").iterdir())
    assert together < 1.1 * alone["max"] + 30_000  # graphs without weights, of which a tiny model mostly consists
    assert (tmp_path / "family" / "weights.bin").stat().st_size < 1.01 * alone["max"]
    for name in sizes:
        one, family = decode(tmp_path / name, an4_wavs[:2]), decode(tmp_path / "family", an4_wavs[:2], size=name)
        assert one.texts == family.texts and all(one.texts)
    with pytest.raises(UserError, match=r"has no encoder-p50.onnx"):
        decode(tmp_path / "family", an4_wavs[:1], size="p50")


def test_sizes_with_other_tokens_are_refused(sizes, tmp_path):
    other = copy.deepcopy(sizes["min"])
    other.token_list = [*other.token_list[:-1], "X"]
    with pytest.raises(UserError, match="sizes a, b: their token lists differ"):
        export_family({"a": other, "b": sizes["max"]}, tmp_path / "family")
    assert not any(tmp_path.iterdir())
