"""The names for other programs."""

import subprocess
import sys

import pytest

import espnet_plugin
from espnet_plugin.api import NAMES


@pytest.mark.parametrize("name", [*NAMES, "__version__"])
def test_every_public_name_can_be_imported_and_is_documented(name):
    value = getattr(espnet_plugin, name)
    assert name in dir(espnet_plugin)
    assert name == "__version__" or len(value.__doc__) > 20


def test_an_unknown_name_is_an_error_of_python_s_own_kind():
    with pytest.raises(ImportError):
        exec("from espnet_plugin import load_modell")


def test_the_import_alone_brings_neither_torch_nor_espnet():
    code = "import sys, espnet_plugin\nassert not {'torch', 'espnet2'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
