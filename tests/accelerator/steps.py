"""Whole steps on the simulated accelerator: nothing mixes devices, nothing waits but once, and values are those of the CPU.

Run by test_accelerator.py.
"""

import copy

import pytest
import torch
from tiny import batch, build, global_mvn, named
from variants import VARIANTS, WAITS, noise

from espnet_plugin.asr.training.batch import Batch
from espnet_plugin.asr.training.launches import sent, train_step
from espnet_plugin.common import accelerator
from espnet_plugin.optim.scaled_adam import ScaledAdam
from espnet_plugin.transducer.greedy import greedy_search

accelerator.device()  # before any backward pass

HOST_TENSORS = {"share": 1}  # which utterances the students see


def steps(model, optimizer, values: Batch, count: int, amp: bool = False):
    """Counted after a first step, in which the model reads how far it is and the optimizer makes its state."""
    with accelerator.counting():
        train_step(model, optimizer, values, amp)
    with accelerator.counting() as counts:
        for _ in range(count):
            result = train_step(model, optimizer, values, amp)
    return result, counts


@pytest.mark.parametrize("name", VARIANTS)
def test_a_training_step(name):
    """Five updates: then ScaledAdam has looked at sizes, too."""
    ours, theirs = build(**copy.deepcopy(VARIANTS[name])).train(), build(**copy.deepcopy(VARIANTS[name])).train()
    accelerator.to_device(ours)
    results = []
    for model, values in ((ours, sent(noise())), (theirs, noise())):
        optimizer = ScaledAdam(model.named_parameters(), lr=0.03, clipping_scale=2.0)
        result, counts = steps(model, optimizer, values, 4)
        results.append(result)
        if model is ours:
            counted = counts.totals()
    assert counted["mixed_devices"] == 0, counts.report()
    assert counted["waits"] == 4 * WAITS.get(name, 1) and counted["host_tensors"] == 4 * HOST_TENSORS.get(name, 0)
    assert results[0].stats == pytest.approx(results[1].stats, rel=1e-3)
    for a, b in zip(ours.parameters(), theirs.parameters()):
        torch.testing.assert_close(a.host, b.detach(), atol=1e-3, rtol=1e-2)


def test_launches_hardly_grow_with_the_batch():
    found = []
    for repeats in (1, 3):
        model = accelerator.to_device(build().train())
        ids, values = named(tuple(x.repeat(repeats, *[1] * (x.ndim - 1)) for x in batch()))
        optimizer = ScaledAdam(model.named_parameters(), lr=0.03)
        found.append(steps(model, optimizer, sent(Batch.of(**values, utt_id=ids)), 1)[1].totals()["launches"])
    assert found[0] == found[1] < 1500


def test_frames_after_a_change_of_tempo_are_those_that_the_loss_sees():
    model = build(specaug="perturbed_specaug", specaug_conf=dict(tempo=[0.6, 0.6], vocal_tract=[1, 1])).train()
    with accelerator.counting():
        shared = accelerator.to_device(model).shared(sent(noise()))
    assert shared.frames.tolist() == shared.stem.lengths.host.tolist() == [6, 5, 2]


def test_other_optimizers_augmentation_normalisation_and_autocast(tmp_path):
    masks = dict(apply_time_warp=False, time_mask_width_range=[0, 10], freq_mask_width_range=[0, 20])
    changes = dict(specaug="device_specaug", specaug_conf=masks)
    changes |= global_mvn(tmp_path / "feats_stats.npz", 10, 1.0, 50.0)
    model = accelerator.to_device(build(**changes).train())
    result, counts = steps(model, torch.optim.AdamW(model.parameters(), foreach=True), sent(noise()), 2, amp=True)
    assert counts.totals() | dict(launches=0) == dict(launches=0, waits=2, mixed_devices=0, host_tensors=0), (
        counts.report()
    )
    assert result.bad is None


@pytest.mark.parametrize("name", ["mhssm", "conformer"])
def test_validation_and_decoding(name):
    model = build(**copy.deepcopy(VARIANTS[name])).eval()
    expected = model(*batch())[1]
    encoded, lengths = model.encode(*batch()[:2])
    symbols = greedy_search(encoded, lengths, model.decoder, model.joint_network)
    accelerator.to_device(model)
    speech, speech_lengths, text, text_lengths = (accelerator.to_device(x) for x in batch())
    with accelerator.counting() as counts, torch.no_grad():
        stats = model(speech, speech_lengths, text, text_lengths)[1]
        found = greedy_search(*model.encode(speech, speech_lengths), model.decoder, model.joint_network)
    assert counts.totals()["mixed_devices"] == 0, counts.report()
    assert found == symbols
    for key in ("loss_max", "loss_min", "wer_min"):
        torch.testing.assert_close(stats[key].host, expected[key], atol=1e-4, rtol=1e-4)
