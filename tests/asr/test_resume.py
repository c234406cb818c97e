"""Runs of ESPnet's main with the plugin: killed at random moments and resumed, and what an unbroken one leaves behind.

Children are forked, since importing ESPnet takes longer than all of their training.
"""

import json
import multiprocessing
import os
import random
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml
from espnet2.tasks.abs_task import optim_classes, scheduler_classes
from espnet2.torch_utils.safe_torch_load import safe_torch_load
from espnet2.train.reporter import Reporter
from tiny import CONF, TOKENS

from espnet_plugin.asr.training.checkpoint import whole_saves
from espnet_plugin.asr.training.cost import CostRecord
from espnet_plugin.asr.training.rates import options_of, remember_rates
from espnet_plugin.asr.training.task import TODMTask
from espnet_plugin.asr.training.trainer import TODMTrainer
from espnet_plugin.errors import UserError

KILLS, EPOCHS, BATCHES = 20, 4, 3
SPECAUG = dict(apply_time_warp=False, time_mask_width_range=[0, 10], freq_mask_width_range=[0, 20])
TRAINING = dict(
    optim="scaledadam",
    optim_conf=dict(lr=0.02, clipping_scale=2.0),
    scheduler="eden",
    scheduler_conf=dict(lr_batches=10, warmup_batches=3),
    specaug="specaug",
    specaug_conf=SPECAUG,
    encoder_conf=CONF["encoder_conf"] | {"dropout": 0.2},
    max_epoch=EPOCHS,
    keep_nbest_models=2,
    nbest_averaging_interval=2,
    best_model_criterion=[["valid", "loss", "min"]],
    batch_type="unsorted",
    batch_size=2,
    num_workers=0,
    num_att_plot=0,
    use_matplotlib=False,
    log_interval=1,
    grad_clip=1e5,
    seed=3,
)


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> Path:
    """Six utterances of noise and a configuration that trains on them."""
    folder = tmp_path_factory.mktemp("data")
    generator = np.random.default_rng(0)
    names = [f"utt{i}" for i in range(2 * BATCHES)]
    lengths = [3000 + 400 * i for i in range(len(names))]
    for name, length in zip(names, lengths):
        soundfile.write(folder / f"{name}.wav", 0.1 * generator.standard_normal(length), 16000)
    (folder / "wav.scp").write_text("".join(f"{name} {folder}/{name}.wav\n" for name in names))
    (folder / "text").write_text("".join(f"{name} {['AB', 'D CA', 'A'][i % 3]}\n" for i, name in enumerate(names)))
    (folder / "shape").write_text("".join(f"{name} {length}\n" for name, length in zip(names, lengths)))
    (folder / "tokens").write_text(
        "".join(f"{token}\n" for token in ["<blank>", "<unk>", *"ABCD", "<space>", TOKENS[-1]])
    )
    keep = ("frontend", "encoder", "decoder", "decoder_conf", "model", "model_conf")
    conf = {key: CONF[key] for key in keep} | TRAINING | dict(token_list=str(folder / "tokens"), token_type="char")
    for phase in ("train", "valid"):
        conf[f"{phase}_data_path_and_name_and_type"] = [
            [str(folder / "wav.scp"), "speech", "sound"],
            [str(folder / "text"), "text", "text"],
        ]
        conf[f"{phase}_shape_file"] = [str(folder / "shape")]
    (folder / "conf.yaml").write_text(yaml.safe_dump(conf))
    return folder / "conf.yaml"


def die(*_) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_in_a_save(number: int, share: float) -> None:
    """Kill this process in its n-th save, with a share of the bytes on disk."""
    save, calls = torch.save, iter(range(1, 1000))

    def dying(obj, f, **kwargs):
        save(obj, f, **kwargs)
        if next(calls) == number:
            os.truncate(f, int(share * os.path.getsize(f)))
            die()

    torch.save = dying


def die_in_the_configuration(share: float) -> None:
    """Kill this process in its writing of a YAML file, with a share of the text in the file."""
    dump = yaml.dump

    def dying(data, stream=None, **kwargs):
        if stream is not None:
            text = dump(data, **kwargs)
            stream.write(text[: int(share * len(text))])
            stream.flush()
        die()

    yaml.dump = dying


def die_at_an_event(number: int, folder: Path) -> None:
    """Kill this process before its n-th opening for writing, renaming, removal or linking of a file in a folder."""
    count = iter(range(1, 10**6))

    def hook(event, args):
        watched = event in ("os.rename", "os.remove", "os.symlink") or (event == "open" and args[1] not in ("r", "rb"))
        if watched and any(str(folder) in str(arg) for arg in args) and next(count) == number:
            die()

    sys.addaudithook(hook)


def said_of(out: Path) -> Path:
    """The file of what a training says. It lies beside its folder, of which all files are compared."""
    return out.with_name(f"{out.name}.log")


def child(config: Path, out: Path, plan: tuple, options: list[str]) -> None:
    torch.set_num_threads(1)
    with open(said_of(out), "w") as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")  # pytest has put others in their place
    kind, *how = plan
    if kind == "save":
        die_in_a_save(*how)
    elif kind == "config":
        die_in_the_configuration(*how)
    elif kind == "event":
        die_at_an_event(*how, out)
    TODMTask.main(cmd=["--config", str(config), "--output_dir", str(out), "--resume", "true", *options])


def train(config: Path, out: Path, *plan, options: tuple = ("--use_tensorboard", "false")) -> bool:
    """Run a training; returns whether it ended by itself."""
    process = multiprocessing.get_context("fork").Process(target=child, args=(config, out, plan or ("none",), options))
    process.start()
    process.join(plan[1] if plan and plan[0] == "time" else None)
    if process.exitcode is None:
        process.kill()
        process.join()
    assert process.exitcode in (0, -signal.SIGKILL), said_of(out).read_text()
    return process.exitcode == 0


def outcome(out: Path) -> dict:
    """All that a run leaves behind and that does not depend on the clock."""
    found = {}
    for path in sorted(out.iterdir()):
        if path.is_symlink():
            found[path.name] = os.readlink(path)
        elif path.suffix == ".pth":
            found[path.name] = safe_torch_load(path)
        elif path.name not in ("config.yaml", "tensorboard"):
            found[path.name] = None
    states = found["checkpoint.pth"]
    states["reporter"] = [
        {key: v for key, v in phase.items() if "time" not in key and "memory" not in key}
        for epoch in states["reporter"]["stats"].values()
        for phase in epoch.values()
    ]
    cost = json.loads((out / "cost.json").read_text())
    found["cost.json"] = {key: cost[key] for key in ("updates", "audio_hours", "epochs", "skipped_updates")}
    return found


def assert_same(ours, theirs, where: str) -> None:
    """Bitwise, NaN equal to NaN."""
    assert type(ours) is type(theirs), where
    if isinstance(ours, dict):
        assert list(ours) == list(theirs), where
        for key in ours:
            assert_same(ours[key], theirs[key], f"{where}/{key}")
    elif isinstance(ours, list | tuple):
        assert len(ours) == len(theirs), where
        for i, pair in enumerate(zip(ours, theirs)):
            assert_same(*pair, f"{where}/{i}")
    elif isinstance(ours, torch.Tensor):
        assert ours.dtype == theirs.dtype and torch.equal(ours, theirs), where
    else:
        assert ours == theirs or (ours != ours and theirs != theirs), where


@pytest.fixture(scope="module")
def whole(config, tmp_path_factory) -> tuple[Path, float]:
    """A run that nothing disturbed, and its seconds."""
    out = tmp_path_factory.mktemp("whole") / "exp"
    began = time.perf_counter()
    assert train(config, out, options=())
    return out, time.perf_counter() - began


def test_a_killed_run_ends_as_an_unbroken_one(config, whole, tmp_path):
    """SIGKILL at random times, in the midst of saves, and between the steps of tidying up; then resumed."""
    expected = outcome(whole[0])
    rng = random.Random(os.environ.get("KILL_SEED", "0"))
    kills = runs = 0
    while kills < KILLS:
        out = tmp_path / f"run{runs}"
        runs += 1
        finished = False
        while not finished:
            plan = ()
            if kills < KILLS:
                plan = rng.choice(
                    [
                        ("time", rng.uniform(0, whole[1])),
                        ("save", rng.randint(1, 6), rng.random()),
                        ("event", rng.randint(1, 60)),
                    ]
                )
            finished = train(config, out, *plan)
            kills += not finished
        assert_same(outcome(out), expected, out.name)


def test_a_kill_while_the_configuration_is_written_does_not_end_a_run(config, whole, tmp_path):
    """A cut configuration would be another model's, with which the run could not go on, and which no decoding would question."""
    out = tmp_path / "exp"
    assert not train(config, out, "save", 4, 0.5)
    for _ in range(2):
        assert not train(config, out, "config", 0.5)
        assert (out / "config.yaml").read_text() == ""
    assert train(config, out)
    assert_same(outcome(out), outcome(whole[0]), out.name)


def test_what_a_run_leaves_behind(whole):
    out, _ = whole
    cost = json.loads((out / "cost.json").read_text())
    assert cost["updates"] == EPOCHS * BATCHES and cost["epochs"] == EPOCHS and cost["skipped_updates"] == 0
    assert cost["audio_hours"] == pytest.approx(EPOCHS * sum(3000 + 400 * i for i in range(6)) / 16000 / 3600, abs=1e-5)
    assert cost["cpu_hours"] > 0 and cost["train_seconds"] > 0 and cost["lost_seconds"] == 0
    assert safe_torch_load(out / f"{EPOCHS}epoch.pth")["num_updates"] == EPOCHS * BATCHES
    stats = safe_torch_load(out / "checkpoint.pth")["reporter"]["stats"][EPOCHS]
    assert {"loss_max", "loss_min", "loss_random", "distill_min", "grad_norm", "optim0_lr0", "memory_gb"} <= set(
        stats["train"]
    )
    assert {"wer_max", "wer_mid", "wer_min", "loss_mid"} <= set(stats["valid"])


def test_tensorboard_has_what_the_log_has(whole):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for phase, keys in (
        ("train", {"loss_max", "distill_min", "grad_norm", "optim0_lr0"}),
        ("valid", {"wer_max", "wer_mid", "wer_min"}),
    ):
        events = EventAccumulator(str(whole[0] / "tensorboard" / phase)).Reload()
        assert keys <= set(events.Tags()["scalars"])


def test_a_run_that_is_not_resumed_begins_a_new_record(config, tmp_path):
    """A kill in the first epoch is lost time for a resumed run."""
    assert not train(config, tmp_path / "exp", "save", 1, 0.5)
    done = train(config, tmp_path / "exp", options=("--max_epoch", "1", "--use_tensorboard", "false"))
    cost = json.loads((tmp_path / "exp" / "cost.json").read_text())
    assert done and cost["epochs"] == 1 and cost["lost_seconds"] > 0 and cost["updates"] == BATCHES


def test_early_stopping_ends_a_run_that_stays_ended(config, tmp_path):
    """The loss falls, so by the criterion of its maximum the first epoch is the best."""
    options = ("--patience", "1", "--early_stopping_criterion", "valid", "loss", "max", "--use_tensorboard", "false")
    for _ in range(2):
        assert train(config, tmp_path / "exp", options=options)
        cost = json.loads((tmp_path / "exp" / "cost.json").read_text())
        assert os.readlink(tmp_path / "exp" / "latest.pth") == "3epoch.pth" and cost["epochs"] == 3 < EPOCHS


def steps_of(net, optimizer, scheduler, numbers: range) -> None:
    """Updates, after each of which a schedule by the loss hears that it has not fallen."""
    for number in numbers:
        net(torch.ones(2, 3) * (1 + number)).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        if scheduler is not None:
            scheduler.step(*[1.0] * isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau))


@pytest.mark.parametrize(
    "optim, changed, scheduler, scheduler_conf",
    [
        ("scaledadam", dict(lr=0.01, clipping_scale=3.0, betas=(0.8, 0.9), lr_scales=dict(bias=0.5)), "eden", {}),
        ("adam", dict(lr=0.01, betas=(0.8, 0.9), weight_decay=0.1), None, {}),
        ("adam", dict(lr=0.01), "warmuplr", dict(warmup_steps=5)),
        ("sgd", dict(lr=0.01, momentum=0.5), "steplr", dict(step_size=2, gamma=0.5)),
        ("adam", dict(lr=0.01), "reducelronplateau", dict(patience=1, factor=0.5)),
        ("sgd", dict(momentum=0.5), "onecyclelr", dict(max_lr=0.2, total_steps=30)),
    ],
)
def test_what_is_configured_holds_when_a_run_goes_on(tmp_path, optim, changed, scheduler, scheduler_conf):
    """A changed rate goes on as one that a run had from its beginning; with the same one all numbers are the same."""
    kept = dict(lr=0.02) | ({"clipping_scale": 2.0, "lr_scales": {"bias": 0.1}} if optim == "scaledadam" else {})

    def build(options):
        torch.manual_seed(0)
        net = torch.nn.Linear(3, 2)
        params = net.named_parameters() if optim == "scaledadam" else net.parameters()
        optimizer = optim_classes[optim](params, **kept | options)
        schedule = None if scheduler is None else scheduler_classes[scheduler](optimizer, **scheduler_conf)
        remember_rates([optimizer], [schedule])
        return net, optimizer, schedule

    def go_on(options):
        net, optimizer, schedule = build(options)
        asked = options_of(optimizer)
        TODMTrainer.resume(tmp_path / "checkpoint.pth", net, Reporter(), [optimizer], [schedule], None)
        return asked, net, optimizer, schedule

    first, other = build({}), build(changed)
    for run in (first, other):
        steps_of(*run, range(7))
    net, optimizer, schedule = first
    states = dict(model=net.state_dict(), reporter=Reporter().state_dict(), optimizers=[optimizer.state_dict()])
    states |= dict(schedulers=[schedule and schedule.state_dict()], scaler=None)
    torch.save(states, tmp_path / "checkpoint.pth")
    _, *same = go_on({})
    assert_same(same[1].state_dict(), optimizer.state_dict(), "optimizer")
    asked, *resumed = go_on(changed)
    if scheduler != "onecyclelr":  # which sets momentum itself
        assert options_of(resumed[1]) == asked
    for _ in range(9):
        for run in (first, other, same, resumed):
            steps_of(*run, range(1))
        rates = [[group["lr"] for group in run[1].param_groups] for run in (first, other, same, resumed)]
        assert rates[2] == rates[0] and rates[3] == pytest.approx(rates[1], rel=1e-12)
    assert_same(same[0].state_dict(), net.state_dict(), "model")


def test_a_cut_record_is_told_when_a_run_is_resumed(tmp_path):
    (tmp_path / "cost.json").write_text('{"lost": {')
    with pytest.raises(UserError, match=r"cost\.json', line 1: is not JSON"):
        CostRecord(tmp_path, workers=1, gpu=False, resume=True)


def test_whole_saves_leave_files_and_torch_as_they_were(tmp_path):
    torch.save({"a": 1}, tmp_path / "m.pth")
    original = torch.save
    with whole_saves():
        with pytest.raises(Exception, match="pickle"):
            torch.save(lambda: 0, tmp_path / "m.pth")
        with open(tmp_path / "open.pth", "wb") as file:
            torch.save({"b": 2}, file)
    assert torch.save is original and torch.load(tmp_path / "m.pth") == {"a": 1}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.pth", "open.pth"]
