"""ESPnet's own n-best averaging, which adds up integers where it averages weights."""

import argparse
import copy

import pytest
import torch
from espnet2.main_funcs.average_nbest_models import average_nbest_models
from espnet2.torch_utils.load_pretrained_model import load_pretrained_model
from espnet2.train import trainer
from espnet2.train.reporter import Reporter
from tiny import batch, build, model_conf, named, train_epoch

from espnet_plugin.asr.training.checkpoint import averages_of_saved, finish_epoch
from espnet_plugin.bin.average import average_states

EPOCHS = 3


@pytest.fixture
def folder(tmp_path):
    """What a run of three epochs leaves, averaged by ESPnet."""
    model, reporter = build(), Reporter()
    for epoch in range(1, EPOCHS + 1):
        reporter.set_epoch(epoch)
        train_epoch(model, [named(batch(epoch)), named(batch(9 + epoch))], epoch=epoch)
        torch.save(model.state_dict(), tmp_path / f"{epoch}epoch.pth")
        with reporter.observe("valid") as sub:
            sub.register({"loss": torch.tensor(float(epoch))})
            sub.next()
    average_nbest_models(tmp_path, reporter, [("valid", "loss", "min")], nbest=EPOCHS)
    return tmp_path


def test_an_average_is_that_of_the_weights_and_only_the_counter_of_updates_is_a_sum(folder):
    espnets = torch.load(folder / "valid.loss.ave.pth")
    ours = average_states([folder / f"{epoch}epoch.pth" for epoch in range(1, EPOCHS + 1)])
    assert espnets.keys() == ours.keys()
    assert [name for name, value in espnets.items() if not value.is_floating_point()] == ["num_updates"]
    assert espnets["num_updates"] == 2 + 4 + 6 and ours["num_updates"] == 6
    for name, value in ours.items():
        if name != "num_updates":
            torch.testing.assert_close(espnets[name], value, msg=name)


def test_an_averaged_model_recognises_as_the_average_and_its_counter_does_not_matter(folder):
    model, same = build(seed=1).eval(), build(seed=2).eval()
    model.load_state_dict(torch.load(folder / "valid.loss.ave.pth"))
    state = copy.deepcopy(model.state_dict())
    state["num_updates"].zero_()
    same.load_state_dict(state)
    for subnet in (None, model.search_space.min):
        assert torch.equal(model.encode(*batch()[:2], subnet)[0], same.encode(*batch()[:2], subnet)[0])
    stats, expected = (m(*batch())[1] for m in (model, same))
    assert stats == expected and all(value is None or value.isfinite() for value in stats.values())


@pytest.mark.parametrize("suffix, updates", [("", 12), (":::num_updates", 0)])
def test_training_goes_on_from_an_averaged_model(folder, suffix, updates):
    """`--init_param FILE` is after the warm-up, as the models it is made of; `FILE:::num_updates` warms up again."""
    model = build(seed=1, model_conf=model_conf(transducer_conf=dict(prune_range=3, warmup_steps=6)))
    load_pretrained_model(f"{folder / 'valid.loss.ave.pth'}{suffix}", model, ignore_init_mismatch=False)
    assert model.num_updates == updates
    before = copy.deepcopy(model.state_dict())
    train_epoch(model, [named(batch(7))], epoch=9)
    assert model.num_updates == updates + 1
    assert any(not torch.equal(before[name], value) for name, value in model.named_parameters())


def run_of(folder, gone) -> Reporter:
    """What a run of three epochs told, of which the first was the best, and those of its models that are not gone."""
    reporter = Reporter()
    for epoch in range(1, EPOCHS + 1):
        reporter.set_epoch(epoch)
        with reporter.observe("valid") as sub:
            sub.register({"loss": torch.tensor(float(epoch))})
            sub.next()
        if epoch not in gone:
            torch.save({"w": torch.tensor(float(epoch))}, folder / f"{epoch}epoch.pth")
    return reporter


@pytest.mark.parametrize("gone, nbest, expected", [([2], 3, [1, 3]), ([1, 2], [1, 2], [3]), ([], 2, [1, 2])])
def test_a_run_that_asks_for_more_models_than_it_kept_averages_those_that_are_there(
    tmp_path, caplog, gone, nbest, expected
):
    reporter = run_of(tmp_path, gone)
    with averages_of_saved():
        trainer.average_nbest_models(
            output_dir=tmp_path, reporter=reporter, best_model_criterion=[("valid", "loss", "min")], nbest=nbest
        )
    assert trainer.average_nbest_models is average_nbest_models
    assert torch.load(tmp_path / "valid.loss.ave.pth")["w"] == sum(expected) / len(expected)
    asked = max([nbest] if isinstance(nbest, int) else nbest)
    said = f"of the {asked} best models by valid.loss {asked - len(gone)} are there"
    assert (said in caplog.text) == bool(gone)


def test_a_run_that_asks_for_more_models_than_it_kept_is_put_in_order(tmp_path):
    """No link leads to a model that is gone."""
    torch.save(dict(model={}, reporter=run_of(tmp_path, [1]).state_dict()), tmp_path / "checkpoint.pth")
    options = dict(keep_nbest_models=3, best_model_criterion=[["valid", "loss", "min"]], nbest_averaging_interval=1)
    finish_epoch(tmp_path, argparse.Namespace(**options))
    assert torch.load(tmp_path / "valid.loss.ave.till3epoch.pth")["w"] == 2.5
    assert all(path.exists() for path in tmp_path.iterdir())
