"""Values of configuration files against the types of dataclasses."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from espnet_plugin.asr.conf import build_conf
from espnet_plugin.errors import UserError


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
        (dict(count=1, most="1e3"), "conf.most: '1e3' must be a number or null"),
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
