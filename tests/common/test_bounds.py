"""Ranges that are declared beside keys and options."""

import argparse
import math
from dataclasses import dataclass
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st

from espnet_plugin.common.bounds import Bounds, Checked, Share, shown
from espnet_plugin.common.conf import build_conf, check_fields, check_keys
from espnet_plugin.errors import UserError


@pytest.mark.parametrize(
    "bounds, inside, outside",
    [
        (Bounds(1), [1, 2.5, 10**400, None, "a", [1, 3], True], [0, 0.99, -1, math.inf, math.nan, [1, 0]]),
        (Bounds(0, below=1), [0, 0.999], [1, -1e-9]),
        (Bounds(above=0, most=1), [1e-9, 1], [0, 1.1]),
        (Bounds(above=0, infinite=True), [math.inf], [0, -math.inf, math.nan]),
        (Bounds(), [-1e300], [-math.inf]),
        (Bounds(0, 9, ends=True), [[0, 9], (3, 3), 4], [[9, 0], [1], [1, 2, 3], [0, 10], [0, "x"]]),
    ],
)
def test_what_is_within_bounds(bounds, inside, outside):
    assert all(value in bounds for value in inside)
    assert not any(value in bounds for value in outside)


@given(st.floats(-9, 9), st.floats(-9, 9), st.floats(-9, 9))
def test_bounds_are_comparisons(least, most, value):
    assert (value in Bounds(least, most)) == (least <= value <= most)
    assert (value in Bounds(above=least, below=most)) == (least < value < most)


def test_what_is_allowed_is_told():
    assert str(Bounds(1)) == "at least 1"
    assert str(Bounds(0, below=1)) == "at least 0 and below 1"
    assert str(Bounds(above=0, most=1)) == "above 0 and at most 1"
    assert str(Bounds(0, 80, why="there are 80 mel bins", ends=True)) == (
        "two numbers from 0 to 80, the smaller one first (there are 80 mel bins)"
    )
    with pytest.raises(UserError, match=r"^--n: -1 must be from 0 to 1,000$"):
        Bounds(0, 1000).check("--n", -1)
    assert len(shown(10**400)) < 90 and shown([1.5]) == "[1.5]" and shown(10**5000) == "a huge int"


@dataclass(frozen=True)
class Conf:
    share: Share = 0.5
    most: Annotated[float | None, Bounds(above=0)] = None

    def __post_init__(self):
        check_fields("conf", self)


class Part:
    def __init__(self, width: Annotated[int, Bounds(1, 64)] = 8, name: str = "a"):
        self.width, self.name = width, name


def test_fields_and_constructors_declare_them():
    with pytest.raises(UserError, match=r"^conf.share: 2 must be from 0 to 1$"):
        Conf(share=2)
    with pytest.raises(UserError, match=r"^model_conf.conf.most: 0 must be above 0$"):
        build_conf("model_conf.conf", Conf, {"most": 0})
    check_keys("encoder", Part, {"width": 64})
    with pytest.raises(UserError, match=r"^encoder_conf.width: 65 must be from 1 to 64$"):
        check_keys("encoder", Part, {"width": 65})
    with pytest.raises(UserError, match=r"^encoder_conf.width: 3 must be at least 5$"):
        check_keys("encoder", Part, {"width": 3}, {"width": Bounds(5)})


def test_options_of_programs_declare_them():
    parser = argparse.ArgumentParser()
    parser.add_argument("--last", type=int, action=Checked, bounds=Bounds(1), default=3, help="checkpoints")
    assert parser.parse_args([]).last == 3 and parser.parse_args(["--last", "1"]).last == 1
    assert "checkpoints [at least 1]" in parser.format_help()
    with pytest.raises(UserError, match=r"^--last: 0 must be at least 1$"):
        parser.parse_args(["--last", "0"])
