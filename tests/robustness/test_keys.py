"""Every range that is declared for a key of a training: a value outside is refused and named, one inside is taken.

The keys are collected from the declarations themselves, so that a new one is tried too.
"""

import argparse
import inspect
import math
from dataclasses import dataclass, fields
from typing import Any, get_type_hints

import espnet2.tasks.asr as espnet_asr
import pytest
from espnet2.tasks.abs_task import optim_classes, scheduler_classes
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet_plugin.asr.training import checks, ranges
from espnet_plugin.asr.training.task import TODMTask
from espnet_plugin.common.bounds import Bounds, bounds_of
from espnet_plugin.common.conf import PASSED, build_conf, check_keys
from espnet_plugin.errors import UserError
from espnet_plugin.supernet.sandwich import SubnetSampling
from espnet_plugin.transducer.distill import DistillConf
from espnet_plugin.transducer.loss import TransducerConf

OURS = dict(
    frontend=["kaldi_fbank"],
    encoder=["mhssm_supernet", "mhssm", "conformer_supernet", "conformer_sized"],
    decoder=["stateless", "stateless_supernet"],
    model=["todm"],
    specaug=["specaug", "perturbed_specaug"],
    normalize=["global_mvn"],
)
CONFS = dict(transducer_conf=TransducerConf, sampling_conf=SubnetSampling, distill_conf=DistillConf)
NEEDED = dict(normalize={"stats_file": "s.npz"}, encoder={}, decoder={})  # what has no default
PARSER = TODMTask.get_parser()


@dataclass(frozen=True)
class Key:
    """A key with a range. Args: part: of the model, or of its model_conf; "" for an option; cls: that takes it."""

    part: str
    name: str
    bounds: Bounds
    whole: bool
    cls: Any = None

    def check(self, value: object) -> None:
        """What training calls before it begins."""
        if self.part == "":
            args = argparse.Namespace(**vars(PARSER.parse_args([])) | {self.name: value})
            checks.check_options(PARSER, args)
        elif self.part in CONFS:
            build_conf(self.part, self.cls, {self.name: value})
        else:
            check_keys(
                self.part, self.cls, NEEDED.get(self.part, {}) | {self.name: value}, ranges.of_part(self.part, 80)
            )


def collected() -> list[Key]:
    options = {action.dest: action for action in PARSER._actions}
    found = [
        Key("", name, bounds, options[name].type is not float)
        for name, bounds in ranges.OPTIONS.items()
        if name != "ngpu"
    ]
    for part, cls in CONFS.items():
        hints = get_type_hints(cls, include_extras=True)
        for field in fields(cls):
            kind, limits = bounds_of(hints[field.name])
            found += [Key(part, field.name, one, "int" in str(kind), cls) for one in limits]
    classes = [
        (part, getattr(espnet_asr, f"{part}_choices").get_class(name)) for part, names in OURS.items() for name in names
    ]
    classes += [("optim", optim_classes[name]) for name in ("scaledadam", "sgd", "adamw")]
    classes += [("scheduler", scheduler_classes["eden"]), ("scheduler", scheduler_classes["warmuplr"])]
    for part, cls in classes:
        hints = get_type_hints(inspect.getattr_static(cls, "__init__"), include_extras=True)
        for name in inspect.signature(cls).parameters.keys() - PASSED:
            kind, limits = bounds_of(hints.get(name))
            limits = [*limits, *([more] if (more := ranges.of_part(part, 80).get(name)) else [])]
            found += [Key(part, name, one, "int" in str(kind), cls) for one in limits[:1]]
    return sorted(found, key=lambda key: (key.part, key.name, str(key.cls)))


KEYS = collected()


def values(bounds: Bounds, inside: bool, whole: bool) -> st.SearchStrategy:
    """Numbers within bounds, or beyond them."""
    low = bounds.least if bounds.least is not None else bounds.above
    high = bounds.most if bounds.most is not None else bounds.below
    if inside:
        least, most = -1000 if low is None else low, (1000 if low is None else low + 1000) if high is None else high
        numbers = st.integers(math.ceil(least), math.floor(most)) if whole else st.floats(least, most)
        return numbers.filter(lambda value: value in bounds)
    beyond = [st.integers(max_value=math.ceil(low) - 1)] if low is not None else []
    beyond += [st.integers(min_value=math.floor(high) + 1)] if high is not None else []
    beyond += [] if whole else [st.just(-math.inf), st.just(math.nan)]
    return st.one_of(beyond)


def test_there_are_many_keys():
    assert len(KEYS) > 120 and {key.part for key in KEYS} >= {
        "",
        "encoder",
        "decoder",
        "specaug",
        "optim",
        "scheduler",
        *CONFS,
    }


@settings(max_examples=4)
@given(st.data())
@pytest.mark.parametrize("key", KEYS, ids=lambda key: f"{getattr(key.cls, '__name__', 'option')}.{key.name}")
def test_the_range_of_a_key_is_kept(key, data):
    """One value suffices where a list is allowed: its numbers are held against the same bounds."""
    outside = data.draw(values(key.bounds, inside=False, whole=key.whole))
    with pytest.raises(UserError) as error:
        key.check(outside)
    said = str(error.value)
    assert key.name in said and "must be" in said and "\n" not in said and len(said) < 400
    inside = data.draw(values(key.bounds, inside=True, whole=key.whole))
    try:
        key.check(inside)
    except (
        UserError
    ) as error:  # it may not go with another key's default, or must be a pair; but its range is not to blame
        assert str(key.bounds) not in str(error)


@pytest.mark.parametrize("key", [key for key in KEYS if key.part in CONFS or key.cls is None], ids=lambda key: key.name)
def test_other_types_are_told(key):
    for value in ("much", {"a": 1}, [[]]):
        with pytest.raises(UserError) as error:
            key.check(value)
        assert key.name in str(error.value)
