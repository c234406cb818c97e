"""Sizes by their names."""

import pytest

from espnet_plugin.errors import UserError
from espnet_plugin.recipe.named_sizes import named
from espnet_plugin.supernet.configured import search_space
from espnet_plugin.supernet.dimensions import FFN

SPACE = search_space(4, dict(depths=[2, 3, 4], ffn_dims=[32, 128], drop_order=[3, 2, 1, 0]), [FFN], {})


def test_a_name_is_the_subnet_of_one_width():
    assert str(named(SPACE, "4x128")) == "0-3x128"
    assert named(SPACE, "4x128") == SPACE.max and named(SPACE, "2x32") == SPACE.min
    assert len(named(SPACE, "3x32").layers) == 3


@pytest.mark.parametrize(
    "name, said",
    [
        ("7x128", "layers: 7 is not one of [2, 3, 4] of the search space"),
        ("2x64", "feed-forward widths: 64 is not one of [32, 128] of the search space"),
        ("small", "is not LAYERSxWIDTH"),
        ("2x32x1", "is not LAYERSxWIDTH"),
    ],
)
def test_what_the_space_lacks_is_refused(name, said):
    with pytest.raises(UserError) as error:
        named(SPACE, name)
    assert said in str(error.value) and f"'{name}'" in str(error.value)
