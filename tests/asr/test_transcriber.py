"""Words of audio from Python."""

import numpy as np
import pytest
import soundfile
import torch
from tiny import arguments, build

from espnet_plugin.asr.inference.extract import write_model_dir
from espnet_plugin.asr.inference.loading import TrainedModel
from espnet_plugin.asr.inference.transcriber import Transcriber
from espnet_plugin.bin.main import dispatch
from espnet_plugin.errors import UserError


@pytest.fixture(scope="module")
def small_model(tmp_path_factory):
    """A model that says many words."""
    model = build(3).eval().requires_grad_(False)
    model.joint_network.lin_out.bias[:] = torch.tensor([0.0, -99, 1, 0, 0, 1, -99])
    out = tmp_path_factory.mktemp("models") / "max"
    write_model_dir(TrainedModel(model, arguments()), model.search_space.max, out)
    return out


def test_it_hears_what_the_verb_hears(small_model, an4_wavs, capsys):
    transcriber = Transcriber(small_model)
    samples, rate = soundfile.read(an4_wavs[0], dtype="float32")
    dispatch(["transcribe", str(small_model), str(an4_wavs[0])])
    expected = capsys.readouterr().out.strip("\n").split("\t")[1]
    assert len(expected.split()) > 3
    assert transcriber(an4_wavs[0]).best[0].text == transcriber(samples, rate).best[0].text == expected
    integers, _ = soundfile.read(an4_wavs[0], dtype="int16")
    assert transcriber(integers, float(rate)).best[0].text == expected


def test_bad_audio_is_told(small_model, tmp_path):
    transcriber = Transcriber(small_model)
    with pytest.raises(UserError, match="does not exist"):
        transcriber(tmp_path / "none.wav")
    with pytest.raises(UserError, match="rate: is missing"):
        transcriber(np.zeros(16000, np.float32))
    for samples, rate in ((np.zeros((1, 16000)), 16000), (np.zeros(16000), 16000), (np.ones(16000), "16000")):
        with pytest.raises(UserError) as error:
            transcriber(samples, rate)
        assert "/tmp" not in str(error.value)
