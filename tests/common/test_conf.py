"""Values of configuration files against the types of dataclasses."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
import torch
from espnet2.asr.specaug.specaug import SpecAug

from espnet_plugin.common.conf import build_conf, check_keys
from espnet_plugin.errors import UserError
from espnet_plugin.frontend.kaldi_fbank import KaldiFbank
from espnet_plugin.optim.eden import Eden
from espnet_plugin.optim.scaled_adam import ScaledAdam


@dataclass(frozen=True)
class Conf:
    count: int
    share: float = 0.5
    name: str = "a"
    on: bool = False
    most: float | None = None
    alpha: float | Sequence[float] = 1.0
    more: dict | None = None


def test_values_of_their_types_are_taken():
    given = dict(count=3, share=1, name="b", on=True, most=None, alpha=[1, 2.5], more={"a": 1})
    assert vars(build_conf("conf", Conf, given)) == given
    assert build_conf("conf", Conf, {"count": 1}) == Conf(1)


@pytest.mark.parametrize(
    "values, said",
    [
        (dict(count=3.0), "conf.count: 3.0 must be an integer"),
        (dict(count=True), "conf.count: True must be an integer"),
        (dict(count=None), "conf.count: None must be an integer"),
        (dict(count="two"), "conf.count: 'two' must be an integer"),
        (dict(count=1, share=float("nan")), "conf.share: nan must be a number"),
        (dict(count=1, share=False), "conf.share: False must be a number"),
        (dict(count=1, name=5), "conf.name: 5 must be a text"),
        (dict(count=1, on=1), "conf.on: 1 must be true or false"),
        (dict(count=1, most="1e3"), "conf.most: '1e3' must be a number, YAML reads 1.0e-3 as one"),
        (dict(count=1, alpha=[1, "x"]), "conf.alpha: [1, 'x'] must be a number or a list of numbers"),
        (dict(count=1, more=[1]), "conf.more: [1] must be a dictionary or null"),
        (dict(share=1.0), "conf.count: is missing"),
        (dict(size=1), "conf.size: unknown key, allowed are count, share,"),
        (None, "conf: None must be a dictionary"),
        ([1], "conf: [1] must be a dictionary"),
    ],
)
def test_other_values_are_told(values, said):
    with pytest.raises(UserError) as error:
        build_conf("conf", Conf, values)
    assert said in str(error.value)


def test_a_constructors_keys_are_held_against_its_annotations():
    """Types that no YAML file has, as torch's `float | Tensor`, are left to the constructor."""
    check_keys("frontend", KaldiFbank, {"fs": "16k", "n_mels": 40})
    check_keys("optim", torch.optim.SGD, {"lr": 1, "nesterov": True})
    check_keys("optim", torch.optim.AdamW, {"betas": [0.9, 0.98]})
    check_keys(
        "specaug", SpecAug, {"num_freq_mask": 0, "freq_mask_width_range": [0, 27], "time_mask_width_range": None}
    )
    for part, cls, conf, said in (
        ("frontend", KaldiFbank, {"n_mels": 0}, "frontend_conf.n_mels: 0 must be at least 1"),
        ("frontend", KaldiFbank, {"fs": [16000]}, "frontend_conf.fs: [16000] must be an integer or a text"),
        ("optim", ScaledAdam, {"betas": 0.9}, "optim_conf.betas: 0.9 must be a list of numbers"),
        ("optim", ScaledAdam, {"lr_scales": 3}, "optim_conf.lr_scales: 3 must be a dictionary or null"),
        ("scheduler", torch.optim.lr_scheduler.StepLR, {}, "scheduler_conf.step_size: is missing, StepLR needs it"),
        ("scheduler", Eden, None, "scheduler_conf: None must be a dictionary"),
    ):
        with pytest.raises(UserError) as error:
            check_keys(part, cls, conf)
        assert said in str(error.value)
