"""The contract of encoders: what needs ESPnet, and what an encoder that lacks an ability says."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from espnet_plugin.encoder import interface
from espnet_plugin.encoder.checks import TooShort
from espnet_plugin.errors import UserError

MHSSM = Path(interface.__file__).parent / "mhssm"

WITHOUT_ESPNET = """
import sys
from importlib import import_module
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("espnet", "espnet2"):
            raise ImportError(name)
sys.meta_path.insert(0, Refuse())
for name in sys.argv[1:]:
    import_module(name)
"""


class Plain(interface.Encoder):
    name, frame_rate, shortest = "plain", 100, 3

    def output_size(self):
        return 1

    def stem(self, xs_pad, ilens, subnet=None):
        raise NotImplementedError

    def run(self, stem, subnet=None):
        raise NotImplementedError


def test_the_contract_and_the_state_space_encoder_need_no_espnet():
    names = [f"espnet_plugin.encoder.mhssm.{path.stem}" for path in MHSSM.glob("[!_]*.py")]
    assert len(names) > 8
    command = [sys.executable, "-c", WITHOUT_ESPNET, "espnet_plugin.encoder.interface", *names]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_abilities_are_absent_and_refused_by_name():
    encoder = Plain()
    for ability, said in (
        (encoder.on_stream, "streaming: encoder 'plain' cannot run on a stream"),
        (encoder.export_parts, "encoder: 'plain' cannot be exported"),
    ):
        assert not encoder.has(ability.__name__)
        with pytest.raises(UserError, match=said):
            ability()


def test_a_short_utterance_is_refused_before_anything_is_computed():
    with pytest.raises(TooShort, match="an utterance has 2 frames, time reduction needs at least 3") as error:
        Plain()(torch.zeros(2, 9, 4), torch.tensor([9, 2]))
    assert (error.value.frames, error.value.need) == (2, 3)
