"""Augmentation: what is changed, and what is not."""

import numpy as np
import pytest
import soxr
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet_plugin.asr.training.task import TODMTask
from espnet_plugin.errors import UserError
from espnet_plugin.frontend.augment import (
    Perturbation,
    bandwidth,
    interpolated,
    mel,
    noise,
    warped_filters,
    with_bandwidth,
)
from espnet_plugin.frontend.kaldi_fbank import KaldiFbank

FS = 16000


def hertz_of(position: torch.Tensor, filters: int) -> np.ndarray:
    """Frequency of a position among the filters, by numpy."""
    low, high = float(mel(20.0)), float(mel(FS / 2 - 400.0))
    return 700 * (np.exp((low + (position.double().numpy() + 1) / (filters + 1) * (high - low)) / 1127) - 1)


def test_frequencies_below_the_boundary_are_divided_by_the_factor():
    factors = torch.tensor([0.8, 1.0, 1.25])
    position = warped_filters(factors, 80, FS)
    unwarped = hertz_of(torch.arange(80.0), 80)
    assert torch.allclose(position[1], torch.arange(80.0), atol=1e-3)
    for row, factor in ((0, 0.8), (2, 1.25)):
        low = unwarped < 3000  # below the boundary for each factor
        inside = low & (unwarped / factor > unwarped[0])
        np.testing.assert_allclose(hertz_of(position[row], 80)[inside], unwarped[inside] / factor, rtol=1e-3)
    assert (position.diff(dim=1) >= 0).all() and position.min() >= 0 and position.max() <= 79
    assert position[:, -1].min() > 78  # the upper edge stays


def test_a_higher_voice_looks_as_a_shorter_tract():
    """A tone moved up by the factor has the features of the warped tone, by the frontend itself."""
    factor, time = 1.2, torch.arange(FS) / FS
    low, high = (torch.sin(2 * torch.pi * f * time).unsqueeze(0) for f in (1000.0, 1000.0 * factor))
    frontend, length = KaldiFbank(fs=FS), torch.tensor([FS])
    (before, _), (wanted, _) = frontend(low, length), frontend(high, length)
    x = interpolated(before.transpose(1, 2), warped_filters(torch.tensor([factor]), 80, FS)).transpose(1, 2)
    assert abs(int(x[0, 50].argmax()) - int(wanted[0, 50].argmax())) <= 1
    assert int(x[0, 50].argmax()) > int(before[0, 50].argmax()) + 3


def test_interpolation_by_hand():
    x = torch.tensor([[[0.0, 10.0], [2.0, 20.0], [4.0, 40.0]]])
    found = interpolated(x, torch.tensor([[0.0, 0.5, 2.0]]))
    torch.testing.assert_close(found, torch.tensor([[[0.0, 10.0], [1.0, 15.0], [4.0, 40.0]]]))
    one = torch.ones(1, 1, 2)
    torch.testing.assert_close(interpolated(one, torch.zeros(1, 3)), torch.ones(1, 3, 2))


@settings(max_examples=30)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=4), st.floats(0.5, 2.0), st.integers(0, 99))
def test_tempo_changes_lengths_alone(lengths, factor, seed):
    torch.manual_seed(seed)
    lengths = torch.tensor(lengths)
    x = torch.randn(len(lengths), max(1, int(lengths.max())), 5)
    x *= (torch.arange(x.shape[1]) < lengths.unsqueeze(1)).unsqueeze(2)
    y, longer = Perturbation(FS, (1, 1), (factor, factor))(x, lengths)
    assert longer.tolist() == [0 if n == 0 else max(1, round(n * np.float32(factor))) for n in lengths.tolist()]
    for i, (n, m) in enumerate(zip(lengths.tolist(), longer.tolist())):
        assert not y[i, m:].any()
        if n:
            torch.testing.assert_close(y[i, 0], x[i, 0])
            assert y[i, :m].min() >= x[i, :n].min() - 1e-5 and y[i, :m].max() <= x[i, :n].max() + 1e-5
        if n > 1 and m > 1:
            torch.testing.assert_close(y[i, m - 1], x[i, n - 1], atol=1e-3, rtol=1e-3)


def test_a_microphone_adds_the_same_to_all_frames():
    """Six levels of at most 6 dB, that is 6 / 10 of a power of ten, at 0, 16, ..., 80 of 81 filters; straight lines between."""
    x, lengths = torch.randn(3, 7, 81), torch.tensor([7, 7, 4])
    y, same = Perturbation(FS, (1, 1), (1, 1), microphone=6.0)(x, lengths)
    added = y - x
    assert same is lengths and added.abs().max() <= 0.6 * np.log(10) + 1e-5
    torch.testing.assert_close(added, added[:, :1].expand(-1, 7, -1), atol=1e-5, rtol=0)
    bends = added[:, 0].diff(dim=1).diff(dim=1).abs() > 1e-4
    assert set(bends.any(0).nonzero().flatten().tolist()) <= {15, 31, 47, 63}
    assert not torch.equal(added[0], added[1]) and added.std() > 0.2
    with pytest.raises(UserError, match="microphone: 41 must be from 0 to 40"):
        Perturbation(FS, (1, 1), (1, 1), microphone=41)


def test_a_level_adds_one_number_to_an_utterance():
    """At most 6 dB, that is 6 / 10 of a power of ten; drawn evenly, so that of 400 a quarter lies in each quarter of the range."""
    x, lengths = torch.randn(400, 3, 5), torch.full((400,), 3)
    y, same = Perturbation(FS, (1, 1), (1, 1), level=6.0)(x, lengths)
    added = (y - x) / (0.6 * np.log(10))
    assert same is lengths and added.abs().max() <= 1 + 1e-5
    torch.testing.assert_close(added, added[:, :1, :1].expand_as(added), atol=1e-5, rtol=0)
    counts = torch.histc(added[:, 0, 0], bins=4, min=-1.00001, max=1.00001)
    assert counts.min() > 60 and counts.max() < 140, counts
    with pytest.raises(UserError, match="level: -1 must be from 0 to 40"):
        Perturbation(FS, (1, 1), (1, 1), level=-1)


def test_nothing_is_changed_where_nothing_is_asked_for():
    x, lengths = torch.randn(2, 7, 5), torch.tensor([7, 4])
    y, same = Perturbation(FS, (1, 1), (1, 1))(x, lengths)
    assert y is x and same is lengths


@pytest.mark.parametrize("value", [(1.1, 0.9), (0.1, 1.0), (1.0,), "ab", (1.0, "x")])
def test_a_wrong_range_is_told(value):
    with pytest.raises(UserError, match=r"tempo: .* must be two numbers from 0.5 to 2.0, the smaller one first"):
        Perturbation(FS, (1, 1), value)


@pytest.mark.parametrize("slope", [0.0, 6.0])
def test_noise_has_the_ratio_that_is_asked_for(slope):
    np.random.seed(0)
    wave = torch.sin(torch.arange(FS) / 5.0)
    added = noise(wave, FS, snr=(10.0, 10.0), slope=slope) - wave
    assert 10 * torch.log10(wave.square().mean() / added.square().mean()) == pytest.approx(10.0, abs=0.1)
    assert added.dtype == wave.dtype and added.shape == wave.shape


def power_of(wave: torch.Tensor, low: float, high: float) -> float:
    """Mean power of samples at `FS` between two frequencies, Hz."""
    spectrum = torch.fft.rfft(wave.double()).abs().square()
    frequency = torch.fft.rfftfreq(len(wave), 1 / FS)
    return float(spectrum[(frequency >= low) & (frequency < high)].mean())


def test_a_narrow_band_has_nothing_above_and_everything_below():
    wave = torch.randn(FS + 1, generator=torch.Generator().manual_seed(0))
    found = bandwidth(wave, FS, rates=[8000])
    assert found.shape == wave.shape and found.dtype == wave.dtype
    assert power_of(found, 4100, 8000) < 1e-4 * power_of(wave, 4100, 8000)
    assert power_of(found - wave, 100, 3400) < 1e-3 * power_of(wave, 100, 3400)
    assert bandwidth(wave, FS, rates=[16000]) is wave
    narrow = soxr.resample(soxr.resample(wave.numpy(), FS, 8000), 8000, FS)  # as a recording at 8 kHz is read
    np.testing.assert_array_equal(found[: len(narrow)], narrow[: len(found)])


def test_a_narrow_band_goes_with_other_effects():
    assert with_bandwidth({}, FS) == {"fs": FS, "data_aug_prob": 0.5, "data_aug_effects": [[1.0, "bandwidth", {}]]}
    other = {"data_aug_prob": 0.2, "data_aug_effects": [[3.0, "noise", {}]], "text_name": "x"}
    found = with_bandwidth(other, FS)
    assert found["data_aug_effects"] == [[3.0, "noise", {}], [1.0, "bandwidth", {}]]
    assert (found["data_aug_prob"], found["text_name"], found["fs"]) == (0.2, "x", FS)
    assert other["data_aug_effects"] == [[3.0, "noise", {}]]


def test_espnets_training_hears_a_narrow_band_where_asked_and_validation_does_not(tmp_path):
    np.random.seed(0)
    wave = np.random.default_rng(0).standard_normal(FS).astype(np.float32)
    words = [
        "--output_dir",
        str(tmp_path),
        "--token_type",
        "char",
        "--token_list",
        str(tmp_path / "t"),
        "--cleaner",
        "none",
    ]
    (tmp_path / "t").write_text("<blank>\n<unk>\nA\n<sos/eos>\n")
    args = TODMTask.get_parser().parse_args([*words, "--bandwidth_augment", "true", "--frontend", "kaldi_fbank"])
    high = []
    for train in (True, False):
        change = TODMTask.build_preprocess_fn(args, train)
        heard = [change("u", {"speech": wave.copy(), "text": "A"})["speech"] for _ in range(20)]
        high.append(sum(power_of(torch.from_numpy(one), 4100, 8000) < 1 for one in heard))
    assert 3 < high[0] < 17 and high[1] == 0
    assert not args.preprocessor_conf  # so that a resumed run does not have it twice
