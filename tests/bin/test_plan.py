"""The plan of a training run: counts by hand, ESPnet's own batches, and a measured step."""

import argparse
import json
from pathlib import Path

import pytest
import yaml

from espnet_plugin.asr.training.workload import count, measure, updates_per_epoch
from espnet_plugin.bin.plan import Job, audio_seconds, main, plan, table
from espnet_plugin.errors import UserError

CONF = Path(__file__).parents[2] / "conf"


def tiny(**encoder) -> dict:
    conf = yaml.safe_load((CONF / "train_an4.yaml").read_text())
    conf["encoder_conf"] |= encoder
    return conf | {"batch_type": "numel", "batch_bins": 160_000, "max_epoch": 3}


def options(**changes) -> argparse.Namespace:
    values = dict(vocabulary=20, hours=1.0, speeds=[1.0], stats=None, utilisation=0.5, tera_ops=1.0, num_gpus=2)
    return argparse.Namespace(**values | changes)


def test_multiply_adds_of_one_size_are_those_of_its_layers():
    one = count(tiny(num_layers=1, search_space=dict(ffn_dims=[8])), vocabulary=20)
    d, modes, width, joiner, vocabulary = 32, 4, 8, 32, 20
    channels = 2 * d
    convolutions = 2 * 3 * 80 * d + 3 * d * d  # the first runs at twice the rate
    mixer = channels * d + channels // 2 * d + 6 * 2 * channels * modes + channels  # two directions
    prediction = 2 * d + d * joiner  # convolution and projection, once a frame
    joint = d * joiner + 5 * joiner * vocabulary  # prune range 5
    frame = convolutions + mixer + 2 * width * d + prediction + joint
    assert one.step_macs == 3 * 25 * frame and one.nets == 1.0


def test_nets_of_a_step_add_up():
    conf = tiny()
    conf["model_conf"]["sampling_conf"] = {"num_random": 0}
    both = count(conf, 20)
    space = conf["encoder_conf"]["search_space"]
    largest = count(tiny(search_space=dict(ffn_dims=space["ffn_dims"][-1:])), 20)
    smallest = count(tiny(num_layers=space["depths"][0], search_space=dict(ffn_dims=space["ffn_dims"][:1])), 20)
    assert both.params == largest.params
    assert both.step_macs == largest.step_macs + smallest.step_macs
    conf["model_conf"]["sampling_conf"]["student_share"] = 0.5
    assert count(conf, 20).step_macs == largest.step_macs + smallest.step_macs / 2
    conf["model_conf"]["sampling_conf"] = {"num_random": 1}
    assert both.step_macs + smallest.step_macs < count(conf, 20).step_macs < both.step_macs + largest.step_macs
    conf["model_conf"]["transducer_conf"] = {"loss": "full"}
    with pytest.raises(UserError, match="no fixed number of cells"):
        count(conf, 20)


def test_updates_are_those_of_the_batch_sampler(tmp_path):
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "speech_shape").write_text("".join(f"u{i} 100\n" for i in range(7)))
    (tmp_path / "train" / "text_shape").write_text("".join(f"u{i} 10,20\n" for i in range(7)))
    bins = 2 * (100 + 10 * 20)
    batches = updates_per_epoch({"batch_bins": bins - 1}, tmp_path)
    assert batches == 4  # two, two, two, one
    assert updates_per_epoch({"batch_bins": bins - 1, "accum_grad": 3}, tmp_path) == 1
    with pytest.raises(UserError, match="run stage 4"):
        updates_per_epoch({"batch_bins": 1}, tmp_path / "none")


def test_a_job_by_hand():
    conf = tiny()
    counted = count(conf, 20)
    job = plan("supernet", conf, options())
    assert job.updates_per_epoch == 360  # 3600 s in batches of 10 s
    operations = 2 * counted.step_macs * 360 * 10 * 3
    assert job.gpu_hours == pytest.approx(operations / (0.5 * 1e12) / 3600)
    assert 500 < job.launches < 3000 and job.waits == 1
    assert job.launch_seconds == pytest.approx(60e-6 * job.launches)
    assert job.arithmetic_seconds == pytest.approx(2 * counted.step_macs * 5 / (0.5 * 1e12))  # 10 s on two GPUs
    assert job.memory_gb == round(16 * counted.params / 1e9, 2) and job.audio_hours == 3.0
    assert plan("x", conf | {"num_iters_per_epoch": 7, "accum_grad": 2}, options()).updates_per_epoch == 7
    with pytest.raises(UserError, match="must set batch_type: numel"):
        plan("x", {**conf, "batch_type": "unsorted"}, options())
    for key, value in (("batch_bins", 0), ("batch_bins", None), ("max_epoch", "many"), ("accum_grad", -1)):
        with pytest.raises(UserError, match=f"x: {key}: {value!r} must be an integer from 1"):
            plan("x", {**conf, key: value}, options())
    conf["frontend_conf"] = {"fs": "16k"}
    assert plan("supernet", conf, options()) == job
    assert audio_seconds(1.0, [0.5, 1.0]) == 3 * 3600
    jobs = [
        Job("supernet", 1, 1, 1, 1, 1, 1, 6.0, 1, 1234, 1, 1, 1),
        Job("a", 1, 1, 1, 1, 1, 1, 2.0, 1, 1, 1, 1, 1),
        Job("b", 1, 1, 1, 1, 1, 1, 10.0, 1, 1, 1, 1, 1),
    ]
    assert "| all individual jobs | | | | | | | 12 | |" in table(jobs) and "| 0.50 | |" in table(jobs)
    assert "| 1,234, 1 |" in table(jobs)


def test_a_step_is_measured():
    found = measure(tiny() | {"use_amp": True}, vocabulary=20, seconds=4.0, rounds=1)
    assert found.step_seconds > 0 and found.macs_per_second > 0 and found.utilisation > 0
    assert found.activation_bytes >= 0


def test_verb(tmp_path, capsys):
    (tmp_path / "train.yaml").write_text(yaml.safe_dump(tiny()))
    (tmp_path / "small.yaml").write_text("base: train.yaml\nencoder_conf: {num_layers: 2, search_space: {depths: [2]}}")
    config = ["--config", str(tmp_path / "train.yaml"), "--individual", str(tmp_path / "small.yaml")]
    main([*config, "--vocabulary", "20", "--utilisation", "0.3", "--out", str(tmp_path / "plan.json")])
    supernet, small = json.loads((tmp_path / "plan.json").read_text())
    assert (supernet["name"], small["name"]) == ("supernet", "small") and small["params"] < supernet["params"]
    said = capsys.readouterr().out
    assert "| supernet / all individual jobs |" in said
    assert "WARNING: small: starting a step's" in said and "the GPU will wait for its host" in said
    for wrong, said in (
        (["--utilisation", "2"], "--utilisation: 2.0 must be above 0 and at most 1"),
        (["--speeds", "fast"], "--speeds: 'fast' must be factors"),
        (["--num_gpus", "0"], "--num_gpus: 0 must be from 1"),
        (["--hours", "nan"], "--hours: nan must be above 0"),
        (["--speeds", "inf"], "--speeds: inf must be from 0.1 to 10"),
    ):
        with pytest.raises(UserError, match=said):
            main([*config, *wrong])
