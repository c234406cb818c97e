"""Search, cheap loss and predicted latency on a trained supernet.

    python benchmarks/choose.py --train_config C --model_file M --data DIR [--seeds 3] [--evaluations 96] [--rounds 15]

Hypervolume: evolutionary search against as many random subnets and against the even grid, by the cheap loss and parameters, for each seed
the same reference point: the max net's parameters and the largest loss that any of them met. Cheap loss: CPU time of one evaluation over
that of decoding the whole set from audio (features included), and over that of decoding from cached features. Latency: prediction against
measurement of extracted subnets, one thread, CPU time; in torch, and of exported graphs in ONNX Runtime. The last line is one JSON object.
"""

import argparse
import json
import random
import statistics
import tempfile
import time
from pathlib import Path

import torch
from scipy.stats import spearmanr

from espnet_plugin.asr.inference.data import batches
from espnet_plugin.asr.inference.extract import extract, space_of
from espnet_plugin.asr.inference.loading import TrainedModel, load_model
from espnet_plugin.asr.inference.recognise import greedy
from espnet_plugin.bin.latency import compare, utterance_near
from espnet_plugin.search.cache import EvaluationCache
from espnet_plugin.search.choice import Plan, search_losses
from espnet_plugin.search.costs import Costs, Limits
from espnet_plugin.search.explore import Budget
from espnet_plugin.search.front import Candidate, hypervolume
from espnet_plugin.search.kit import write_kit
from espnet_plugin.search.quality import DevelopmentSet
from espnet_plugin.search.target import time_kit
from espnet_plugin.search.timing import make_table, symbols_per_second
from espnet_plugin.search.workers import Workers


def seconds_of(run, *args) -> float:
    """CPU time of this thread: other programs on the machine disturb it little."""
    began = time.thread_time()
    run(*args)
    return time.thread_time() - began


def decode_from_audio(dev: DevelopmentSet, model) -> None:
    for batch in batches(dev.wavs, dev.fs):
        greedy(model, batch, dev.fs)


def time_proxy(dev: DevelopmentSet, rounds: int) -> dict:
    """Paired, of random subnets; medians."""
    rng, space, ratios, cached = random.Random(1), dev.model.search_space, [], []
    for turn in range(1 + rounds):
        subnet = space.sample(rng)
        alone = extract(dev.trained, subnet).model
        loss, whole = seconds_of(dev.loss, subnet), seconds_of(decode_from_audio, dev, alone)
        inside = seconds_of(dev.error_rate, subnet)
        if turn:
            ratios.append(loss / whole)
            cached.append(loss / inside)
    return {
        "proxy_over_decode_time": round(statistics.median(ratios), 4),
        "proxy_over_cached_decode_time": round(statistics.median(cached), 4),
    }


def correlate_proxy(dev: DevelopmentSet, everything: DevelopmentSet, count: int) -> dict:
    """Rank correlation with the word error rate over random subnets, of the cheap loss and of the loss on all utterances."""
    rng = random.Random(2)
    subnets = list(dict.fromkeys(dev.model.search_space.sample(rng) for _ in range(count)))
    rates = [dev.error_rate(subnet) for subnet in subnets]
    cheap, whole = ([data.loss(subnet) for subnet in subnets] for data in (dev, everything))
    return {
        "proxy_rank_correlation": round(float(spearmanr(cheap, rates).statistic), 3),
        "whole_loss_rank_correlation": round(float(spearmanr(whole, rates).statistic), 3),
        "proxy_rank_correlation_subnets": len(subnets),
        "proxy_utterances": len(dev.proxy_keys),
    }


def compare_searches(dev: DevelopmentSet, evaluations: int, seeds: int) -> dict:
    space, costs, cache = dev.model.search_space, Costs(dev.model), EvaluationCache(None, {"loss": ""}, str)
    params = lambda subnet: costs.of(subnet)["params"]  # noqa: E731
    ratios, grids = [], []
    with Workers(dev.measure, cache) as workers:
        for seed in range(seeds):
            found = {
                kind: search_losses(space, costs, Plan(Budget(evaluations), kind, seed=seed), workers, Limits({}))
                for kind in ("evolution", "random", "grid")
            }
            worst = max(loss for known in found.values() for loss in known.values())
            reference = (params(space.max) * 1.0001, worst * 1.0001)
            area = {
                kind: hypervolume((Candidate(s, params(s), e) for s, e in known.items()), *reference)
                for kind, known in found.items()
            }
            ratios.append(round(area["evolution"] / area["random"], 4))
            grids.append(round(area["evolution"] / area["grid"], 4))
    return {"hypervolume_over_random": ratios, "hypervolume_over_grid": grids, "evaluations": evaluations}


def main(args: argparse.Namespace) -> dict:
    torch.set_num_threads(1)
    trained = load_model(args.train_config, args.model_file)
    model = trained.model
    space_of(model)
    dev = DevelopmentSet(trained, args.data)
    figures = time_proxy(dev, args.rounds)
    everything = DevelopmentSet(trained, args.data, proxy_share=1.0)
    figures |= correlate_proxy(dev, everything, args.subnets)
    print(json.dumps(figures), flush=True)
    figures |= compare_searches(dev, args.evaluations, args.seeds)
    print(json.dumps(figures), flush=True)
    batch = utterance_near(args.data[0], dev.fs, args.seconds)
    rate, length = symbols_per_second(model, batch, dev.fs), float(batch.lengths[0]) / dev.fs
    table = make_table(model, dev.fs, length, [1], args.rounds, rate)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "device.json"
        path.write_text(table.to_json())
        error = compare(trained, table.read(path), batch, 1, args.rounds, 20)
    figures |= {"latency_median_error": round(error, 4), "device": table.device}
    print(json.dumps(figures), flush=True)
    return figures | {"latency_median_error_onnx": time_graphs(trained, args.seconds, rate, args.onnx_threads)}


def time_graphs(trained: TrainedModel, seconds: float, rate: float, threads: list[int]) -> dict:
    """Threads -> median error of predictions for exported subnets in ONNX Runtime."""
    with tempfile.TemporaryDirectory() as folder:
        write_kit(
            Path(folder) / "kit", trained, trained.model.encoder.timing_blocks().audio(seconds, False), False, rate, 20
        )
        _, errors = time_kit(Path(folder) / "kit", threads, 3)
    return {count: round(error, 4) for count, error in errors.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train_config", type=Path, required=True)
    parser.add_argument("--model_file", type=Path, required=True)
    parser.add_argument("--data", type=Path, action="append", required=True, help="development data directory")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--evaluations", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--subnets", type=int, default=48, help="to correlate cheap loss and word error rate over")
    parser.add_argument("--onnx_threads", type=int, nargs="+", default=[1], help="of ONNX Runtime")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of the utterance that is timed, about")
    print(json.dumps(main(parser.parse_args())))
