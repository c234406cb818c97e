"""``perturbed_specaug`` and the effect ``noise``, as configurations name them."""

import numpy as np
import pytest
import tiny
import torch

from espnet_plugin.errors import UserError

CONF = dict(fs=16000, apply_freq_mask=True, freq_mask_width_range=[0, 5], apply_time_mask=False)


def test_a_training_step_takes_it():
    model = tiny.build(specaug="perturbed_specaug", specaug_conf=CONF).train()
    torch.manual_seed(1)
    one, lengths = model.features(*tiny.batch()[:2])
    other, other_lengths = model.features(*tiny.batch()[:2])
    assert lengths.tolist() != other_lengths.tolist()  # another tempo each time
    assert one.shape[1] == lengths.max() and other.shape[1] == other_lengths.max()
    loss, _, _ = model(*tiny.batch())
    loss.backward()
    assert torch.isfinite(loss)
    model.eval()
    assert model.features(*tiny.batch()[:2])[1].tolist() == [50, 38, 19]


def test_decibels_are_of_log_energies_whatever_the_normalisation(tmp_path):
    """A level of up to 6 dB is 0.6 ln 10 of log energy, and a fifth of it where normalisation divides by 5; masks hold the mean, 0."""
    quiet = dict(vocal_tract=[1, 1], tempo=[1, 1], level=6.0, freq_mask_width_range=[20, 21], num_freq_mask=1)
    changes = tiny.global_mvn(tmp_path / "stats.npz", 100, 200.0, 2900.0)  # mean 2, standard deviation 5
    model = tiny.build(specaug="perturbed_specaug", specaug_conf=CONF | quiet, **changes)
    speech, lengths = tiny.batch()[:2]
    plain, frames = model.eval().features(speech, lengths)
    changed, same = model.train().features(speech, lengths)
    assert same.tolist() == frames.tolist()
    for one, other, n in zip(plain, changed, frames.tolist()):
        masked = (other[:n] == 0).all(0)
        assert masked.sum() == 20
        added = (other - one)[:n, ~masked]
        torch.testing.assert_close(added, added[:1, :1].expand_as(added), atol=1e-5, rtol=0)
        assert 0 < added.abs().max() <= 0.6 * np.log(10) / 5 + 1e-5


def test_voices_are_warped_at_the_frontends_rate(caplog):
    narrow = dict(frontend_conf=dict(fs=8000), specaug="perturbed_specaug")
    assert tiny.build(**narrow, specaug_conf={}).specaug.perturbation.fs == 8000
    assert tiny.build(specaug="perturbed_specaug", specaug_conf={}).specaug.perturbation.fs == 16000
    assert not caplog.text and tiny.build(**narrow, specaug_conf=CONF).specaug.perturbation.fs == 8000
    assert "specaug_conf.fs: 16000 is not the frontend's 8000" in caplog.text


def test_a_wrong_range_names_its_key():
    with pytest.raises(UserError, match=r"specaug_conf\.vocal_tract: \[2, 1\] must be two numbers"):
        tiny.build(specaug="perturbed_specaug", specaug_conf=CONF | {"vocal_tract": [2, 1]})


def test_the_noise_is_an_effect_of_espnets_augmentation():
    from espnet2.layers.augmentation import DataAugmentation

    wave = np.sin(np.arange(8000) / 5).astype(np.float32)
    found = DataAugmentation([[1.0, "noise", {"snr": [20, 20]}]])(wave.copy(), 16000)
    power = np.square(found - wave).mean() / np.square(wave).mean()
    assert found.dtype == np.float32 and 10 * np.log10(power) == pytest.approx(-20, abs=0.1)
