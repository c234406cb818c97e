"""Training from lhotse's cuts: order, sharding, the same batches as from Kaldi's tables, and a resumed run against an unbroken one."""

import argparse
import logging
from collections import Counter
from itertools import chain

import numpy as np
import pytest
import soundfile
import torch
import yaml
from espnet2.train.distributed_utils import DistributedOption
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import CONF, TOKENS

from espnet_plugin.asr.training.cut_batches import cut_source
from espnet_plugin.asr.training.cuts import BatchPlan, CutSource, epoch_batches, length_bins
from espnet_plugin.asr.training.task import TODMTask
from espnet_plugin.asr.training.trainer import set_epoch_lengths
from espnet_plugin.common.compose import read_yaml
from espnet_plugin.errors import UserError
from espnet_plugin.optim.eden import Eden

lhotse = pytest.importorskip("lhotse")


@pytest.fixture(scope="module")
def cuts(an4_wavs, tmp_path_factory):
    """AN4's utterances with transcripts of letters, which are not AN4's."""
    folder, made = tmp_path_factory.mktemp("wav"), []
    for number, sphere in enumerate(an4_wavs):
        wav = folder / f"{sphere.stem}.wav"
        soundfile.write(wav, *soundfile.read(sphere, dtype="int16"))
        recording = lhotse.Recording.from_file(wav, recording_id=wav.stem)
        text = " ".join(["AB", "D CA", "A"][: 1 + number % 3])
        spoken = lhotse.SupervisionSegment(
            id=wav.stem, recording_id=wav.stem, start=0, duration=recording.duration, text=text
        )
        made.append(recording.to_cut().with_id(wav.stem))
        made[-1].supervisions = [spoken]
    return made


@pytest.fixture(scope="module")
def manifest(cuts, tmp_path_factory):
    path = tmp_path_factory.mktemp("cuts") / "train.jsonl.gz"
    lhotse.CutSet.from_cuts(cuts).to_file(path)
    return path


@pytest.fixture(scope="module")
def shar(cuts, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shar")
    lhotse.CutSet.from_cuts(cuts).to_shar(folder, fields={"recording": "flac"}, shard_size=3)
    return folder


def silent(lengths, path):
    """A manifest of cuts whose audio does not exist."""
    made = []
    for number, seconds in enumerate(lengths):
        source = lhotse.AudioSource(type="file", channels=[0], source=f"/none/{number}.wav")
        recording = lhotse.Recording(f"r{number}", [source], 16000, round(16000 * seconds), seconds)
        spoken = lhotse.SupervisionSegment(f"s{number}", f"r{number}", 0, seconds, text="AB")
        made.append(lhotse.MonoCut(f"c{number}", 0, seconds, 0, recording=recording, supervisions=[spoken]))
    lhotse.CutSet.from_cuts(made).to_file(path)
    return CutSource(path)


def names(source, epoch=1, **plan):
    plan = BatchPlan(**{"max_duration": 10.0} | plan)
    return [
        tuple(cut.id for cut in batch)
        for batch in epoch_batches(source, plan, length_bins(source, plan.max_duration), epoch)
    ]


@settings(max_examples=6)
@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=40), ranks=st.integers(1, 3), seed=st.integers(0, 9))
def test_workers_share_a_pass_in_as_many_batches(tmp_path_factory, lengths, ranks, seed):
    source = silent(lengths, tmp_path_factory.mktemp("silent") / "cuts.jsonl.gz")
    parts = [names(source, seed=seed, rank=rank, ranks=ranks) for rank in range(ranks)]
    assert len({len(part) for part in parts}) == 1
    seen = Counter(key.split("_dup")[0] for part in parts for batch in part for key in batch)
    assert seen.keys() == {f"c{i}" for i in range(len(lengths))}
    # lhotse fills up the last batches where fewer cuts than workers are left.
    assert seen.total() < len(lengths) + ranks
    for batch in chain(*(part[:-1] for part in parts)):  # what is left for the last ones is spread over the workers
        longest = max(lengths[int(key[1:])] for key in batch[:-1] or batch)
        assert len(batch) == 1 or longest * len(batch) <= 10


def test_seed_and_epoch_determine_the_order(tmp_path):
    source = silent([1 + i % 5 for i in range(40)], tmp_path / "cuts.jsonl.gz")
    first = names(source, seed=1)
    assert first == names(source, seed=1)
    assert first != names(source, epoch=2, seed=1)
    assert first != names(source, seed=3)
    assert names(source, shuffle=False) == names(source, epoch=2, shuffle=False)


def test_epochs_of_a_number_of_batches_go_on_from_one_another(tmp_path):
    source = silent([1 + i % 5 for i in range(30)], tmp_path / "cuts.jsonl.gz")
    whole = names(source, epoch=1, num_batches=40)
    assert [batch for epoch in range(1, 9) for batch in names(source, epoch, num_batches=5)] == whole
    count = next(n for n in range(1, 40) if len(set(chain(*whole[:n]))) == 30)
    assert len(list(chain(*whole[:count]))) == 30  # the first pass has each once


def test_workers_read_their_own_shards(shar, cuts):
    source = CutSource(shar)
    shards = [{cut.id for cut in lhotse.CutSet.from_file(path)} for path in source.shards()]
    assert len(shards) > 2
    parts = [names(source, seed=4, rank=rank, ranks=2, num_batches=12) for rank in range(2)]
    assert [len(part) for part in parts] == [12, 12]
    assert set(chain(*parts[0])) == set.union(*shards[::2])
    assert set(chain(*parts[1])) == set.union(*shards[1::2])
    assert names(source, epoch=2, seed=4, num_batches=12) != names(source, epoch=1, seed=4, num_batches=12)
    assert set(chain(*names(source, seed=4))) == {cut.id for cut in cuts}
    with pytest.raises(UserError, match="shards must be at least 99, one for each worker"):
        names(source, ranks=99, num_batches=2)


@pytest.fixture(scope="module")
def config(manifest, cuts, tmp_path_factory):
    folder = tmp_path_factory.mktemp("conf")
    (folder / "wav.scp").write_text("".join(f"{cut.id} {cut.recording.sources[0].source}\n" for cut in cuts))
    (folder / "text").write_text("".join(f"{cut.id} {cut.supervisions[0].text}\n" for cut in cuts))
    (folder / "shape").write_text("".join(f"{cut.id} {cut.num_samples}\n" for cut in cuts))
    (folder / "tokens").write_text(
        "".join(f"{token}\n" for token in ["<blank>", "<unk>", *"ABCD", "<space>", TOKENS[-1]])
    )
    keep = ("frontend", "encoder", "decoder", "decoder_conf", "model", "model_conf")
    conf = {key: CONF[key] for key in keep} | dict(
        token_list=str(folder / "tokens"),
        token_type="char",
        encoder_conf=CONF["encoder_conf"] | {"dropout": 0.2},
        optim="scaledadam",
        optim_conf=dict(lr=0.02),
        scheduler="eden",
        scheduler_conf=dict(lr_batches=10),
        max_duration=8.0,
        num_workers=0,
        num_att_plot=0,
        use_matplotlib=False,
        use_tensorboard=False,
        keep_nbest_models=9,
        best_model_criterion=[["valid", "loss", "min"]],
        seed=3,
        train_data_path_and_name_and_type=[[str(manifest), "speech", "lhotse_cuts"]],
        valid_data_path_and_name_and_type=[[str(manifest), "speech", "lhotse_cuts"]],
    )
    (folder / "conf.yaml").write_text(yaml.safe_dump(conf))
    return folder / "conf.yaml"


def arguments(config, *words):
    args = TODMTask.get_parser().parse_args(["--config", str(config), "--output_dir", "unused", *map(str, words)])
    args.token_list = read_tokens(args.token_list)
    return args


def test_batches_of_a_pass_are_counted_for_a_schedule_that_asks(config, shar):
    for source in (None, [(str(shar), "speech", "lhotse_cuts")]):
        args = arguments(config)
        args.train_data_path_and_name_and_type = source or args.train_data_path_and_name_and_type
        batches = TODMTask.build_iter_factory(args, DistributedOption(), "train").build_iter(1)
        eden = Eden(torch.optim.SGD([torch.zeros(1)], lr=1.0), lr_batches=10)
        set_epoch_lengths([eden], batches, argparse.Namespace(accum_grad=1))
        assert eden.batches_per_epoch == len(list(batches)) > 3


@pytest.mark.parametrize(
    "words, seconds", [((), (8.0, 8.0)), (("--max_duration", "none", "--batch_bins", 96000), (6.0, 1.5))]
)
def test_bins_are_those_of_all_workers_and_a_duration_is_a_workers_own(config, monkeypatch, words, seconds):
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 3)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 4)
    args, option = arguments(config, *words), DistributedOption()
    plans = []
    for option.distributed in (False, True):
        plans.append(TODMTask.build_iter_factory(args, option, "train").plan)
    assert tuple(plan.max_duration for plan in plans) == seconds
    assert [(plan.rank, plan.ranks) for plan in plans] == [(0, 1), (3, 4)]


def read_tokens(path):
    with open(path, encoding="utf-8") as lines:
        return [line.rstrip("\n") for line in lines]


def test_an_utterance_is_what_it_is_from_kaldis_tables(config, shar):
    folder = config.parent
    kaldi = ("--batch_type", "unsorted", "--batch_size", 1, "--train_shape_file", folder / "shape")

    def utterances(*words, **changes):
        args = argparse.Namespace(**vars(arguments(config, *words)) | changes)
        factory = TODMTask.build_iter_factory(args, DistributedOption(), "train")
        return {keys[0]: batch for keys, batch in factory.build_iter(1)}

    tables = [(str(folder / "wav.scp"), "speech", "sound"), (str(folder / "text"), "text", "text")]
    theirs = utterances(*kaldi, train_data_path_and_name_and_type=tables)
    for source in (None, [(str(shar), "speech", "lhotse_cuts")]):
        ours = utterances(
            "--max_duration", "0.1", **({} if source is None else {"train_data_path_and_name_and_type": source})
        )
        assert ours.keys() == theirs.keys()
        for key, batch in theirs.items():
            for name, value in batch.items():
                assert ours[key][name].dtype == value.dtype
                torch.testing.assert_close(ours[key][name], value, rtol=0, atol=0)


def run(config, out, *words):
    torch.set_num_threads(1)
    TODMTask.main(cmd=["--config", str(config), "--output_dir", str(out), "--resume", "true", *map(str, words)])


@pytest.mark.parametrize("words", [(), ("--num_iters_per_epoch", 2)], ids=["passes", "number of batches"])
def test_a_resumed_run_ends_with_the_same_weights(config, tmp_path, words):
    run(config, tmp_path / "whole", "--max_epoch", 3, *words)
    for epochs in (1, 3):
        run(config, tmp_path / "resumed", "--max_epoch", epochs, *words)
    whole, resumed = (torch.load(tmp_path / name / "3epoch.pth") for name in ("whole", "resumed"))
    for name, value in whole.items():
        assert torch.equal(value, resumed[name]), name
    first = torch.load(tmp_path / "whole" / "1epoch.pth")
    assert not all(torch.equal(value, whole[name]) for name, value in first.items())


def test_statistics_are_those_of_kaldis_tables(config, tmp_path):
    folder = config.parent
    run(config, tmp_path / "ours", "--collect_stats", "true", "--batch_size", 3)
    conf = read_yaml(config)
    for phase in ("train", "valid"):
        conf[f"{phase}_data_path_and_name_and_type"] = [
            [str(folder / "wav.scp"), "speech", "sound"],
            [str(folder / "text"), "text", "text"],
        ]
    (tmp_path / "kaldi.yaml").write_text(yaml.safe_dump(conf))
    run(tmp_path / "kaldi.yaml", tmp_path / "theirs", "--collect_stats", "true", "--batch_size", 3)
    for name in ("speech_shape", "text_shape"):
        assert sorted((tmp_path / "ours" / "train" / name).read_text().split("\n")) == sorted(
            (tmp_path / "theirs" / "train" / name).read_text().split("\n")
        )
    ours, theirs = (np.load(tmp_path / name / "train" / "feats_stats.npz") for name in ("ours", "theirs"))
    assert ours["count"] == theirs["count"]
    np.testing.assert_allclose(ours["sum"], theirs["sum"], rtol=1e-5)


def test_cuts_without_a_transcript_are_left_out_and_counted(cuts, tmp_path, caplog):
    bare = [cut.with_id(f"{cut.id}-bare") for cut in cuts[:2]]
    for cut in bare:
        cut.supervisions = []
    lhotse.CutSet.from_cuts([*cuts, *bare]).to_file(tmp_path / "cuts.jsonl")
    with caplog.at_level(logging.WARNING):
        assert len(list(chain(*names(CutSource(tmp_path / "cuts.jsonl"))))) == len(cuts)
    assert "2 cuts left out: 2 with no transcript" in caplog.text


def refused(config, *words, **changes):
    args = argparse.Namespace(**vars(arguments(config, *words)) | changes)
    with pytest.raises(UserError) as error:
        TODMTask.check_required_command_args(args)
    return str(error.value)


def test_wrong_sources_are_refused_before_training(config, tmp_path):
    key = "train_data_path_and_name_and_type"
    (tmp_path / "x.jsonl").write_text('{"id": "a"}\n')
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "cuts.txt").write_text("")
    for name, text in {
        "x.jsonl": "holds none of lhotse's cuts",
        "empty.jsonl": "it is empty",
        "cuts.txt": "must end in .jsonl or .jsonl.gz, or be a folder",
        ".": "has no cuts.*.jsonl.gz",
        "none.jsonl.gz": "does not exist",
    }.items():
        assert text in refused(config, **{key: [(str(tmp_path / name), "speech", "lhotse_cuts")]})
    good = read_yaml(config)[key]
    assert "must be named speech and be alone" in refused(config, **{key: [*good, ("text", "text", "text")][:1] * 2})
    assert "--multiple_iterator" in refused(config, "--multiple_iterator", "true")
    assert "--max_duration: 0.0 must be from 0.1" in refused(config, "--max_duration", "0")


def test_several_workers_on_shards_need_a_number_of_batches(config, shar, monkeypatch):
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 0)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    option = DistributedOption(distributed=True)
    args = arguments(config)
    args.train_data_path_and_name_and_type = [(str(shar), "speech", "lhotse_cuts")]
    with pytest.raises(UserError, match="--num_iters_per_epoch: must be given where 2 workers read shards"):
        TODMTask.build_iter_factory(args, option, "train")
    args.num_iters_per_epoch = 3
    assert len(TODMTask.build_iter_factory(args, option, "train").build_iter(1)) == 3


def test_other_data_are_espnets():
    assert cut_source([("wav.scp", "speech", "sound"), ("text", "text", "text")]) is None
