"""Normalisation of transcripts for a model that is adapted."""

import json

import pytest

from espnet_plugin.common.text import TextConf
from espnet_plugin.errors import UserError
from espnet_plugin.recipe.tokens import OfModel, adapted


@pytest.mark.parametrize(
    "own, asked, found",
    [
        (None, TextConf(case="upper"), TextConf(case="upper")),
        (TextConf(), TextConf(), TextConf()),
        (TextConf(case="lower", symbols=["<noise>"]), TextConf(), TextConf(case="lower", symbols=["<noise>"])),
        (TextConf(), TextConf(case="upper"), TextConf(case="upper")),
        (TextConf(case="upper"), TextConf(case="upper", punctuation="remove"), TextConf("nfc", "upper", "remove")),
        (TextConf(form="nfkc"), TextConf(removed=("<laugh>",)), TextConf(form="nfkc", removed=["<laugh>"])),
    ],
)
def test_what_is_asked_for_is_done_where_the_model_leaves_the_text_as_it_is(own, asked, found):
    assert adapted(own, asked).as_dict() == found.as_dict()


@pytest.mark.parametrize(
    "own, asked, said",
    [
        (TextConf(case="lower"), TextConf(case="upper"), "--text_case: 'upper' must be 'lower', as the model of"),
        (TextConf(removed=["<a>"]), TextConf(removed=["<b>"]), "--remove_symbols: ['<b>'] must be ['<a>']"),
    ],
)
def test_what_contradicts_the_model_is_refused(own, asked, said):
    with pytest.raises(UserError) as error:
        adapted(own, asked)
    assert said in str(error.value)


def test_another_normalisation_is_recorded_with_the_new_model(tmp_path):
    (tmp_path / "text.json").write_text(json.dumps(TextConf(case="upper").as_dict()))

    def recorded(text: TextConf, own: TextConf | None) -> dict | None:
        return OfModel(tmp_path, {}, text, tmp_path / "text.json", tmp_path, None, own).text_conf

    assert recorded(TextConf(case="upper"), TextConf()) == TextConf(case="upper").as_dict()
    assert recorded(TextConf(symbols=("<a>",)), TextConf(symbols=["<a>"])) is None
    assert recorded(TextConf(), None) is None
