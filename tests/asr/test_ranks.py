"""Two data-parallel workers (gloo, CPU, forked) against one process with the same utterances."""

import multiprocessing
import os

import pytest
import torch
import torch.distributed as dist
from tiny import batch, build, model_conf, named, train_epoch
from torch.nn.parallel import DistributedDataParallel

from espnet_plugin.asr.training.batch import Batch
from espnet_plugin.asr.training.ranks import Reduction, leaves, means
from espnet_plugin.asr.training.step import start

FULL = dict(transducer_conf=dict(loss="full"))


def utterances(seed: int, start: int, stop: int):
    """Two utterances of equally many symbols, so that distillation averages over equally many cells however they are batched."""
    speech, lengths, text, _ = batch(seed)
    whole = (speech[:2], lengths[:2], text[:2, :2], torch.tensor([2, 2]))
    return named(tuple(x[start:stop] for x in whole), f"b{seed}_{start}")


def worker(rank: int, folder, conf: dict, batches: list, options: dict) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    model = build(model_conf=model_conf(**conf))
    reduce, large = dist.all_reduce, []

    def counting(tensor, *args, **kwargs):
        large.append(tensor.numel()) if tensor.numel() > 1000 else None
        return reduce(tensor, *args, **kwargs)

    dist.all_reduce = counting
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    reporter = train_epoch(DistributedDataParallel(model), batches[rank], optimizer, **options)
    stats = {key: [v.value for v in values] for key, values in reporter.stats.items()}
    torch.save((model.state_dict(), stats, large), folder / f"{rank}.pth")
    dist.destroy_process_group()


def run(folder, batches, conf=FULL, **options):
    """State, statistics and sizes of large messages, of each worker."""
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=worker, args=(rank, folder, conf, batches, options)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0]
    return [torch.load(folder / f"{rank}.pth") for rank in range(2)]


def assert_same(ours: dict, theirs: dict, **tolerance) -> None:
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, **tolerance)


def test_two_workers_equal_one_and_reduce_once(tmp_path):
    seeds = (0, 1, 2)
    batches = [[utterances(seed, rank, rank + 1) for seed in seeds] for rank in range(2)]
    (first, stats, large), (second, _, _) = run(tmp_path, batches)
    alone = build(model_conf=model_conf(**FULL))
    reporter = train_epoch(alone, [utterances(seed, 0, 2) for seed in seeds])
    assert_same(first, second, atol=0, rtol=0)
    assert_same(first, alone.state_dict(), atol=1e-5, rtol=1e-4)
    assert stats["loss_max"] == pytest.approx([v.value for v in reporter.stats["loss_max"]], rel=1e-3)
    parameters = sum(p.numel() for p in alone.parameters())
    assert len(large) == len(seeds) and all(size <= parameters for size in large)


def test_workers_with_other_subnets_and_other_numbers_of_batches(tmp_path):
    """A net, and so a statistic or a gradient, may be missing on one worker; the longer worker stops with the shorter."""
    conf = FULL | dict(sampling_conf=dict(rule="single", same_on_all_ranks=False))
    batches = [[utterances(seed, rank, rank + 1) for seed in range(6 - rank)] for rank in range(2)]
    (first, _, _), (second, _, _) = run(tmp_path, batches, conf)
    assert_same(first, second, atol=0, rtol=0)
    assert first["num_updates"] == 5


def test_a_bad_number_on_one_worker_skips_the_update_on_both(tmp_path):
    batches = [[utterances(seed, rank, rank + 1) for seed in range(3)] for rank in range(2)]
    batches[1][1][1]["speech"] = torch.full_like(batches[1][1][1]["speech"], float("nan"))
    (first, stats, _), (second, _, _) = run(tmp_path, batches, accum_grad=1)
    assert_same(first, second, atol=0, rtol=0)
    assert first["num_updates"] == 2 and stats["skipped"] == [0, 1, 0]


def reduce_in_buckets(rank: int, folder, sizes: list[float]) -> None:
    """Gradients of a batch of each worker, reduced in buckets of some sizes; and what was sent before the last pass had ended."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    found = []
    for size in sizes:
        model = build(model_conf=model_conf(**FULL)).train()
        reduction = Reduction(list(model.parameters()), size)
        ids, values = utterances(0, rank, rank + 1)
        start(model, Batch.of(**values, utt_id=ids), 1.0, False, reduction)
        early = len(reduction.sent)
        reduction.finish()
        gradients = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
        found.append((early, len(reduction.buckets), gradients))
    torch.save(found, folder / f"{rank}.pth")
    dist.destroy_process_group()


def test_buckets_are_sent_early_and_their_order_changes_nothing(tmp_path):
    context = multiprocessing.get_context("fork")
    sizes = [25.0, 1e-9, 1e-3]
    processes = [context.Process(target=reduce_in_buckets, args=(rank, tmp_path, sizes)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0]
    first, second = (torch.load(tmp_path / f"{rank}.pth") for rank in range(2))
    (_, one, expected), (early, each, _), (_, some, _) = first
    assert one == 1 < some < each == len(expected) and early == each  # all of them before `finish`
    for found in (*first, *second):
        for a, b in zip(found[2], expected):
            assert (a is None) == (b is None) and (a is None or torch.equal(a, b))


def test_leaves_of_a_backward_pass():
    x, y = (torch.nn.Parameter(torch.ones(())) for _ in range(2))
    assert leaves([(x * y).exp(), torch.ones(())]) == {x, y}


def test_one_process_sends_nothing():
    assert means({"loss": 2.0}, 3.0, ("loss", "other")) == {"loss": 2.0}
    assert not dist.is_initialized() and "RANK" not in os.environ
