"""Checks before a training: what every configuration of the project passes, and files that do not go together.

Bad inputs by the hundred are in tests/robustness.
"""

import argparse
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from espnet_plugin.asr.statistics import check_statistics
from espnet_plugin.asr.training import checks, data_files
from espnet_plugin.asr.training.task import TODMTask
from espnet_plugin.common.compose import compose
from espnet_plugin.errors import UserError

CONF = Path(__file__).parents[2] / "conf"
FILES = sorted(path for path in CONF.rglob("*.yaml") if path.name not in ("decode.yaml", "librispeech.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CONF)))
def test_the_projects_own_configurations_pass(path):
    args = argparse.Namespace(**vars(TODMTask.known_options().parse_args([])) | compose(path))
    before = yaml.safe_dump(vars(args))
    checks.check_options(TODMTask.known_options(), args)
    checks.check_parts(args)
    checks.check_steps(args)
    checks.check_preprocessor(args.preprocessor_conf)
    assert yaml.safe_dump(vars(args)) == before  # nothing that training computes with is changed


def test_a_key_is_told_with_its_file():
    conf = {"seed": -1, "optim_conf": {"lr": 0}, "a": 1}
    args = argparse.Namespace(**conf)
    for said, expected in (
        ("--seed: -1 must be more", "configuration 'c.yaml': seed: -1 must be more"),
        ("optim_conf.lr: 0 must be more", "configuration 'c.yaml': optim_conf.lr: 0 must be more"),
        ("lr: 0 must be more", "configuration 'c.yaml': optim_conf.lr: 0 must be more"),
        ("--ngpu: 9 must be less", "--ngpu: 9 must be less"),
        ("a checkpoint: is full", "a checkpoint: is full"),
    ):
        with pytest.raises(UserError) as error, checks.told_by_file("c.yaml", conf, args):
            raise UserError(said)
        assert str(error.value) == expected
    args.seed = -2  # of the command line
    with pytest.raises(UserError) as error, checks.told_by_file("c.yaml", conf, args):
        raise UserError("--seed: -2 must be more")
    assert str(error.value) == "--seed: -2 must be more"


def test_a_run_goes_on_with_what_weights_belong_to():
    conf = dict(
        encoder="mhssm_supernet", encoder_conf=dict(d_model=32, dropout=0.1), decoder="stateless", decoder_conf={}
    )
    kept = checks.shape_of(conf)
    assert kept["encoder_conf.d_model"] == 32 and kept["decoder_conf.context_size"] == 2
    assert checks.shape_of(conf | dict(decoder_conf=dict(context_size=2, dropout=0.3), max_epoch=3)) == kept
    assert checks.shape_of(conf | dict(decoder_conf=dict(context_size=1))) != kept
    stored = yaml.safe_load(yaml.safe_dump(checks.as_plain(conf | dict(token_list=("a", "b")))))
    assert checks.shape_of(stored) == checks.shape_of(conf | dict(token_list=["a", "b"]))


@pytest.mark.parametrize(
    "changed, said",
    [
        (dict(normalize=None), "normalize 'utterance_mvn', now it is None"),
        (dict(normalize_conf=dict(norm_vars=True)), "normalize_conf.norm_vars False, now it is True"),
        (dict(model_conf=dict(transducer_conf=dict(loss="full"))), "transducer_conf.loss 'pruned', now it is 'full'"),
        (
            dict(model_conf=dict(transducer_conf=dict(rnnt_type="modified"))),
            "rnnt_type 'regular', now it is 'modified'",
        ),
        (dict(optim_conf=dict(lr_scales=dict(log_dt=0.1))), "in optim_conf.lr_scales [], now it is ['log_dt']"),
        (dict(optim_conf=dict(size_update_period=8)), "optim_conf.size_update_period 4, now it is 8"),
        (dict(exclude_weight_decay=True), "exclude_weight_decay False, now it is True"),
    ],
)
def test_a_run_does_not_go_on_with_another_loss_or_groups(tmp_path, changed, said):
    """The configuration that it began with names none of them, as old ones do; what is said as by default is the same."""
    with zipfile.ZipFile(tmp_path / "checkpoint.pth", "w"):
        pass
    conf = dict(encoder="mhssm_supernet", model="todm", optim="scaledadam", optim_conf=dict(lr=0.1))
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(conf))
    same = dict(normalize="utterance_mvn", normalize_conf=dict(norm_means=True), exclude_weight_decay=False)
    same |= dict(model_conf=dict(transducer_conf=dict(loss="pruned", warmup_steps=3)))
    same |= dict(optim_conf=dict(lr=0.2, betas=[0.8, 0.9], lr_scales={}))
    checks.check_resume(argparse.Namespace(**conf | same, output_dir=str(tmp_path)), None)
    with pytest.raises(UserError, match=re.escape(said)):
        checks.check_resume(argparse.Namespace(**conf | changed, output_dir=str(tmp_path)), None)


@pytest.mark.parametrize("kind, refused", [("kaldi_ark", True), ("sound", False)])
@pytest.mark.parametrize("key", [*checks.WAVES, "preprocessor_conf.data_aug_effects"])
def test_effects_of_audio_are_not_for_features(tmp_path, key, kind, refused):
    (tmp_path / "feats.scp").write_text("a a.ark:1\n")
    args = TODMTask.known_options().parse_args([])
    args.train_data_path_and_name_and_type = [[str(tmp_path / "feats.scp"), "speech", kind]]
    if "." in key:
        args.preprocessor_conf = {"data_aug_effects": [[1.0, "noise", {}]]}
    else:
        setattr(args, key, 0.9 if key == "speech_volume_normalize" else str(tmp_path / "feats.scp"))
    with pytest.raises(UserError) as error:
        checks.check_files(args)
        raise UserError("else: nothing")
    assert (f"{key}: needs audio" in str(error.value)) == refused


def test_tables_that_go_together(capsys):
    shapes, tables = {"shape": {"a": "1", "b": "2"}}, {"wav.scp": {"a": "x", "b": "y", "c": "z"}}
    assert data_files.check_together(shapes, tables) == ["a", "b"]
    assert "1 of 3 utterances of 'wav.scp' are left out" in capsys.readouterr().err
    assert data_files.check_together({}, tables | {"text": dict.fromkeys("abc", "A")}) == ["a", "b", "c"]
    with pytest.raises(UserError, match=r"'wav.scp': utterance 'c' is not in 'text', and so 1 of 3"):
        data_files.check_together({}, tables | {"text": dict.fromkeys("ab", "A")})
    with pytest.raises(UserError, match=r"'other': utterance 'c' is not in 'shape', and so 1 of 3"):
        data_files.check_together(shapes | {"other": dict.fromkeys("abc", "1")}, tables)


def test_rates_are_those_of_headers(tmp_path):
    names = [str(tmp_path / f"{i}.wav") for i in range(3)]
    for name, rate in zip(names, (16000, 16000, 8000)):
        soundfile.write(name, np.zeros(100), rate)
    data_files.check_rates("wav.scp", [*names[:2], "cat x |", "a.ark:5"], 16000)
    with pytest.raises(UserError, match=r"2.wav' is sampled at 8000 Hz, frontend_conf.fs is 16000: 1 of 3 files"):
        data_files.check_rates("wav.scp", names, 16000)


def test_statistics_in_both_forms(tmp_path):
    np.savez(tmp_path / "new.npz", count=3, sum=np.ones(4), sum_square=np.ones(4))
    np.save(tmp_path / "kaldi.npy", np.ones((2, 5)))
    for name in ("new.npz", "kaldi.npy"):
        check_statistics(tmp_path / name)
        check_statistics(tmp_path / name, 4)
        with pytest.raises(UserError, match="is of 4 features, must be of the 5"):
            check_statistics(tmp_path / name, 5)
    np.save(tmp_path / "other.npy", np.ones(5))
    with pytest.raises(UserError, match="damaged or holds no statistics"):
        check_statistics(tmp_path / "other.npy")


def test_what_cannot_be_read_ends_a_training_in_a_sentence():
    with pytest.raises(UserError, match=r"its data cannot be read, disk on fire$"), data_files.reading():
        raise RuntimeError("Caught OSError in worker 0.\nTraceback ...\n  disk on fire")
    with pytest.raises(UserError, match=r"^as it is$"), data_files.reading():
        raise UserError("as it is")
