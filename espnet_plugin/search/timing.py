"""Times of a supernet's building blocks, and of whole subnets, on this machine with torch.

Shapes: B = 1, T encoder frames, D model dimension.
"""

import copy
import random
import statistics
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any, cast

import torch
from tqdm import tqdm

from espnet_plugin.asr.inference.data import AudioBatch
from espnet_plugin.asr.inference.extract import extract, space_of
from espnet_plugin.asr.inference.loading import TrainedModel
from espnet_plugin.asr.inference.recognise import greedy, pad_short
from espnet_plugin.asr.training.model import TODMModel
from espnet_plugin.search.blocks import ModelBlocks
from espnet_plugin.search.latency import LatencyTable
from espnet_plugin.search.target import clock_for, device_description
from espnet_plugin.supernet.space import SearchSpace
from espnet_plugin.supernet.subnet import Subnet
from espnet_plugin.transducer.elastic import at_subnet
from espnet_plugin.transducer.greedy import greedy_search

Run = Callable[[], object]


def unseen_subnets(space: SearchSpace, count: int) -> list[Subnet]:
    """Random subnets to check predictions with, always the same; fewer where equal ones are drawn."""
    rng = random.Random(0)
    return list(dict.fromkeys(space.sample(rng) for _ in range(count)))


def noise(fs: int, seconds: float) -> AudioBatch:
    speech = 0.1 * torch.randn(1, round(fs * seconds), generator=torch.Generator().manual_seed(0))
    return AudioBatch(("noise",), speech, torch.tensor([speech.shape[1]]))


def blocks(model: TODMModel, fs: int, seconds: float) -> Iterator[tuple[str, Run]]:
    """Name (see `ModelBlocks`) and code of every block of the search space, on an utterance of noise.

    Blocks are of ordinary layers, as in an extracted model.
    """
    space, encoder = space_of(model), model.encoder.timing_blocks()
    batch = noise(fs, seconds)
    _, lengths = model.features(batch.speech, batch.lengths)
    audio = replace(encoder.audio(seconds, False), frames=int(lengths[0]))

    def whole(ends: torch.nn.Module) -> Run:
        return lambda: ends(model.features(batch.speech, batch.lengths)[0])

    for d, subnet in encoder.widths(space).items():
        ends = encoder.ends(d)
        yield encoder.names(subnet)[0], whole(ends)
        with torch.no_grad():
            frames = ends(model.features(batch.speech, batch.lengths)[0]).shape[1]
        x, mask = torch.randn(1, frames, d), torch.ones(1, frames, 1)
        for block in encoder.layers(space, audio):
            if block.width == d:
                module = block.module()
                yield block.name, partial(module, x, mask)
        for p, j in search_widths(model):
            yield from searches(model, x, d, p, j)


def search_widths(model: TODMModel) -> Iterator[tuple[int, int]]:
    """Widths of prediction network and joiner in a search space, in pairs."""
    return cast(Iterator[tuple[int, int]], product(*(space_of(model)[name] for name in ("prediction", "joiner"))))


def searches(model: TODMModel, x: torch.Tensor, d: int, p: int, j: int) -> Iterator[tuple[str, Run]]:
    """Greedy search that finds a symbol at no frame, and at every frame. Args: x: (1, T, d) encoder output."""
    lengths, subnet = torch.tensor([x.shape[1]]), space_of(model).min.with_values(prediction=p, joiner=j)
    for name, bias in (("silent", 1e6), ("emitting", -1e6)):
        joiner = copy.deepcopy(model.joint_network).eval()
        with torch.no_grad():
            joiner.lin_out.bias[model.blank_id] = bias
        pair = at_subnet(model.decoder, joiner, subnet)
        yield f"{name} d{d} p{p} j{j}", partial(greedy_search, x, lengths, *pair, model.blank_id)


@torch.no_grad()
def medians(runs: dict, threads: int, rounds: int, what: str) -> dict:
    """Median time of each run, s. All take turns, in another order each round, so that none finds its data in the cache.

    Args:
        runs: key -> code; threads: of torch; rounds: timed ones, after one to warm up; what: for the progress bar.
    """
    before, clock, rng = torch.get_num_threads(), clock_for(threads), random.Random(0)
    taken: dict[Any, list[float]] = {key: [] for key in runs}
    torch.set_num_threads(threads)
    try:
        order = list(runs)
        for turn in tqdm(range(1 + rounds), desc=f"{what}, {threads} threads", unit="round", disable=None):
            rng.shuffle(order)
            for key in order:
                began = clock()
                runs[key]()
                if turn:
                    taken[key].append(clock() - began)
    finally:
        torch.set_num_threads(before)
    return {key: statistics.median(times) for key, times in taken.items()}


@torch.no_grad()
def make_table(
    model: TODMModel, fs: int, seconds: float, threads: list[int], rounds: int, symbols_per_second: float
) -> LatencyTable:
    """Time all blocks of a supernet's search space; its weights do not matter."""
    runs = dict(blocks(model, fs, seconds))
    times = {count: medians(runs, count, rounds, "blocks") for count in threads}
    runtime, sizes = f"torch {torch.__version__}", ModelBlocks(model).sizes
    return LatencyTable(device_description(), runtime, "utterance", seconds, symbols_per_second, sizes, times)


@torch.no_grad()
def symbols_per_second(model: TODMModel, batch: AudioBatch, fs: int) -> float:
    """Of greedy search by the max net."""
    encoder_out, lengths = model.encode(*pad_short(model, batch, fs))
    symbols = greedy_search(encoder_out, lengths, model.decoder, model.joint_network, model.blank_id)
    return sum(map(len, symbols)) * fs / float(batch.lengths.sum())


def measured(trained: TrainedModel, subnets: list[Subnet], batch: AudioBatch, threads: int, rounds: int):
    """Times of whole extracted models, from samples to words. Returns: subnet -> s."""
    alone = {subnet: extract(trained, subnet).model for subnet in subnets}
    runs = {subnet: lambda net=net: greedy(net, batch, trained.fs) for subnet, net in alone.items()}
    return medians(runs, threads, rounds, "subnets")
