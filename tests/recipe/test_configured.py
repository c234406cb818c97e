"""Options of a training as the recipe reads them."""

import shlex
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from espnet_plugin.recipe.configured import Configuration, by_key

VALUES = st.lists(st.text(min_size=1).filter(lambda text: not text.startswith("--")), min_size=1, max_size=3)


@given(st.dictionaries(st.sampled_from(["noise_scp", "specaug_conf", "rir_scp"]), VALUES))
def test_values_keep_their_blanks_on_the_way_to_the_statistics(options):
    text = shlex.join([word for key, values in options.items() for word in (f"--{key}", *values)])
    conf = Configuration(Path("a.yaml"), {}, by_key(shlex.split(text)))
    assert conf.feature_words == shlex.split(text)


def test_one_symbol_a_frame_is_known_where_no_argument_may_say_something_else():
    conf = {"model_conf": {"transducer_conf": {"rnnt_type": "modified"}}}
    assert Configuration(Path("a.yaml"), conf, {}).modified is True
    assert Configuration(Path("a.yaml"), {}, {}).modified is False
    assert Configuration(Path("a.yaml"), conf, by_key(["--model_conf", "a=b"])).modified is None
