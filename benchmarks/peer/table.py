"""Zipformers beside the supernet's sizes and models trained alone, all trained by the recipe on the same data.

    python ../../benchmarks/peer/table.py --conf conf/mini --root exp/tables_mini --test_sets test-clean test-other \\
        --data dump/mini/raw/test-clean --record ../../docs/results/mini_peer.json

--root holds seedN/peer/SIZE beside what ./tables.sh makes: the --expdir of

    ./run.sh --asr_config ../../benchmarks/peer/conf/mini_1.2M.yaml --expdir exp/tables_mini/seed0/peer/1.2M ...

with the options that ./tables.sh gives its runs. A line is a system: parameters, word error rate and held-out loss of each test set, hours
of training, and the real-time factor on utterances of --data one at a time, systems in turns, one thread, the median of all utterances.
"""

import argparse
import json
import time
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import median

import torch

from espnet_plugin.asr.inference.data import batches
from espnet_plugin.asr.inference.loading import load_model, model_dir_files
from espnet_plugin.asr.inference.recognise import greedy
from espnet_plugin.common.files import read_json, write_json
from espnet_plugin.common.tables import read_table
from espnet_plugin.errors import UserError, run_main
from espnet_plugin.recipe.bootstrap import ratio
from espnet_plugin.recipe.layout import Experiment
from espnet_plugin.recipe.runs import MEASURES, Experiments, size_order
from espnet_plugin.recipe.tables import cost_of, estimate


@dataclass(frozen=True)
class System:
    """Args: family: what kind of model; title; run: folder below seedN; size: of it."""

    family: str
    title: str
    run: str
    size: str


def only_size(run: Path) -> str:
    """What the recipe calls the size of a run of one size; "" where none was extracted."""
    return next((path.name for path in Experiment(run).sizes.glob("*")), "")


def systems(runs: Experiments) -> list[System]:
    """Of the first seed that has peers: each peer, then each size alone and of the supernet.

    Raises:
        UserError: no seed has one.
    """
    seeds = runs.seeds("peer")
    if not seeds:
        raise UserError(f"--root: '{runs.roots[0]}' has no seedN/peer/SIZE")
    peers = sorted((path.name for path in (seeds[0] / "peer").iterdir() if path.is_dir()), reverse=True)
    found = [
        System("Zipformer", f"Zipformer {name}", f"peer/{name}", only_size(seeds[0] / "peer" / name)) for name in peers
    ]
    for origin, run in (("alone", "individual/{}"), ("of the supernet", "supernet")):
        found += [
            System(f"MH-SSM, {origin}", f"MH-SSM {size}, {origin}", run.format(size), size) for size in runs.sizes
        ]
    return found


def rtfs(folders: list[Path], wavs: dict[str, str]) -> list[float]:
    """Time over audio of each model, utterance by utterance in turns: the median."""
    torch.set_num_threads(1)
    models = [load_model(*model_dir_files(folder)) for folder in folders]
    found: list[list[float]] = [[] for _ in models]
    for key, path in wavs.items():
        for batch in batches({key: path}, models[0].fs):
            for model, times in zip(models, found):
                began = time.thread_time()
                greedy(model.model, batch, model.fs)
                times.append((time.thread_time() - began) / (batch.speech.shape[1] / model.fs))
    return [median(times) for times in found]


def rows(runs: Experiments, wavs: dict[str, str], resamples: int) -> list[dict]:
    """A row for each system and test set; a system that is not finished is left out, and said to be."""
    found = []
    for system in systems(runs):
        cost = cost_of(runs, system.run)
        experiment = Experiment(runs.seeds(system.run)[0] / system.run) if cost["seeds"] else None
        facts = None if experiment is None else read_json(experiment.facts(system.size))
        if experiment is None or facts is None:
            print(f"left out, not finished: {system.title}")
            continue
        for test_set in runs.test_sets:
            row = {"family": system.family, "system": system.title, "params": facts["params"], "test_set": test_set}
            row |= {key: cost[key] for key in ("hours", "unit", "seeds")}
            for name, measure in MEASURES.items():
                counts = runs.counts(name, system.run, system.size, test_set)
                row |= estimate(name, ratio(counts, measure.scale, resamples) if counts else None)
            found.append((row, experiment.size(system.size)))
    folders = list(dict.fromkeys(folder for _, folder in found))
    times = dict(zip(folders, rtfs(folders, wavs)))
    return [row | {"rtf": round(times[folder], 4)} for row, folder in found]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--conf", type=Path, required=True, help="folder with individual/SIZE.yaml")
    parser.add_argument(
        "--root", type=Path, nargs="+", required=True, help="folder with seed0 ...; those of several folds"
    )
    parser.add_argument("--sizes", nargs="+", help="of ours (default: all of individual/)")
    parser.add_argument("--test_sets", nargs="+", required=True)
    parser.add_argument("--data", type=Path, required=True, help="Kaldi directory to time recognition on")
    parser.add_argument("--utterances", type=int, default=40, help="of it (default: 40)")
    parser.add_argument("--record", type=Path, help="JSON file to write")
    parser.add_argument("--resamples", type=int, default=1000, help="of the bootstrap (default: 1000)")
    args = parser.parse_args()
    names = args.sizes or [path.stem for path in (args.conf / "individual").glob("*.yaml")]
    runs = Experiments(tuple(args.root), tuple(sorted(names, key=size_order, reverse=True)), tuple(args.test_sets))
    wavs = dict(islice(read_table(args.data / "wav.scp").items(), args.utterances))
    record = {"conf": args.conf.name, "peers": rows(runs, wavs, args.resamples)}
    if args.record:
        write_json(args.record, record)
    print(json.dumps(record))


if __name__ == "__main__":
    run_main(main)
