"""A model built without ESPnet's task is the model that the task builds."""

import pickle
import subprocess
import sys

import tiny
import torch

from espnet_plugin.asr.build import build_model
from espnet_plugin.asr.training.task import TODMTask


def test_the_model_is_that_of_espnet_s_task():
    for changes in (
        {},
        {"decoder": "stateless_supernet"},
        {"specaug": "specaug", "specaug_conf": dict(apply_time_mask=False)},
    ):
        models = []
        for build in (build_model, TODMTask.build_model):
            torch.manual_seed(0)
            models.append(build(tiny.arguments(**changes)).eval())
        ours, theirs = (model.state_dict() for model in models)
        assert list(ours) == list(theirs) and all(torch.equal(ours[name], theirs[name]) for name in ours)
        speech, lengths, *_ = tiny.batch()
        torch.testing.assert_close(models[0].encode(speech, lengths), models[1].encode(speech, lengths), rtol=0, atol=0)


def test_other_parts_are_left_to_espnet_s_task():
    args = tiny.arguments(
        decoder="transducer", decoder_conf=dict(hidden_size=8), joint_net_conf=dict(joint_space_size=8)
    )
    assert type(build_model(args).decoder).__module__.startswith("espnet2.")


def test_loading_a_model_does_not_import_espnet_s_task():
    code = "import sys, espnet_plugin.asr.inference.loading\nassert 'espnet2.tasks.asr' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and "Flash" not in done.stdout + done.stderr


def test_a_program_that_never_imports_espnet_s_task_builds_one(tmp_path):
    """ESPnet checks what its models are given; our parts know nothing of ESPnet, and the task is not there to register them."""
    (tmp_path / "args").write_bytes(pickle.dumps(tiny.arguments()))
    code = "import pickle, sys; from espnet_plugin.asr.build import build_model; "
    code += "build_model(pickle.load(open(sys.argv[1], 'rb'))); assert 'espnet2.tasks.asr' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "args"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
