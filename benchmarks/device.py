#!/usr/bin/env python3
"""Measure exported sizes in sherpa-onnx: real-time factor, bytes, memory, and whether it says what PyTorch says.

    device.py --model_dir exp/mini/sizes/* --data dump/mini/raw/test-clean

The last line is a JSON object. `int8_wer_rise` is the size's that loses most by int8, percent absolute. `rtf_10m` is the real-time factor
(1 thread, float) of a model of 10 million parameters with random weights. `memory_over_bytes` is the growth of the client's memory by
loading and decoding, less 15 MB for itself, over the bytes of the graphs: the largest of all sizes in float; `memory_over_bytes_10m` and,
with --params_100m true, `_100m` are those of models with random weights. `client_mb` is the growth with a tiny model: what
the client takes whatever it runs. --peer measures other transducers that sherpa-onnx runs, such as a zipformer, on the same audio.
"""

import argparse
import json
import tempfile
from collections import Counter
from pathlib import Path

import torch

from espnet_plugin.asr.inference.data import batches
from espnet_plugin.asr.inference.loading import load_model, model_dir_files
from espnet_plugin.asr.inference.recognise import greedy
from espnet_plugin.asr.training.task import TODMTask
from espnet_plugin.common.tables import read_table, read_transcripts
from espnet_plugin.common.word_errors import count, units
from espnet_plugin.deploy.client import open_peer
from espnet_plugin.deploy.measure import measure, measure_deployed
from espnet_plugin.errors import run_main

RANDOM = {
    "empty": dict(d_model=8, num_heads=2, num_modes=2, ffn_dims=[8]),
    "10m": dict(d_model=256, num_heads=8, num_modes=16, ffn_dims=[1920] * 8),
    "100m": dict(d_model=512, num_heads=8, num_modes=16, ffn_dims=[4096] * 20),
}
FEW = 20  # utterances for a model whose words mean nothing


def random_model(like: argparse.Namespace, encoder_conf: dict):
    """A model that differs from a configuration in the size of its encoder."""
    changed = vars(like) | {"encoder": "mhssm", "encoder_conf": encoder_conf}
    return TODMTask.build_model(argparse.Namespace(**changed)).eval()


def rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model_dir", type=Path, nargs="+", required=True, help="extracted sizes")
    parser.add_argument("--data", type=Path, required=True, help="directory with wav.scp and text")
    parser.add_argument("--utterances", type=int, default=250, help="first ones of the data (250)")
    parser.add_argument("--params_100m", choices=("true", "false"), default="false", help="100 million, too (false)")
    parser.add_argument("--peer", type=Path, nargs="+", default=[], help="folders of other transducers for sherpa-onnx")
    args = parser.parse_args()
    torch.set_num_threads(1)
    wavs = dict(list(read_table(args.data / "wav.scp").items())[: args.utterances])
    text = read_transcripts(args.data / "text")
    rise = -100.0
    total, same, size, over = 0, Counter(), Counter(), []
    peers = {folder: open_peer(folder) for folder in args.peer}
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        for model_dir in args.model_dir:
            model, train_args = load_model(*model_dir_files(model_dir))
            expected = {}
            for batch in batches(wavs, 16000):
                expected |= greedy(model, batch, 16000)
            row = {"size": model_dir.name, "params": sum(p.numel() for p in model.parameters())}
            for kind in ("float", "int8"):
                cost, said = measure(model, work / kind, list(wavs.values()), int8=kind == "int8")
                agree = sum(expected[key].split() == text.split() for key, text in zip(wavs, said))
                same[kind], size[kind] = same[kind] + agree, size[kind] + cost.bytes
                wer = count((units(text[key]), units(words)) for key, words in zip(wavs, said)).rate
                row[kind] = cost.as_dict() | {"same_words": agree, "wer": round(wer, 3)}
                if kind == "float":
                    over.append(cost.memory_over_bytes)
                    row["memory_over_bytes"] = rounded(over[-1])
            rise = max(rise, row["int8"]["wer"] - row["float"]["wer"])
            total += len(wavs)
            print(json.dumps(row), flush=True)
        for folder, peer in peers.items():
            cost, said = measure_deployed(peer, list(wavs.values()))
            wer = count((units(text[key]), units(words.upper())) for key, words in zip(wavs, said)).rate
            row = {"peer": str(folder)} | cost.as_dict() | {"wer": round(wer, 3)}
            print(json.dumps(row | {"memory_over_bytes": rounded(cost.memory_over_bytes)}), flush=True)
        figures = {}
        for name in ("empty", "10m", *(["100m"] if args.params_100m == "true" else [])):
            model = random_model(train_args, RANDOM[name])
            few = len(wavs) if name == "10m" else FEW
            cost, _ = measure(model, work / name, list(wavs.values())[:few])
            if name == "empty":
                figures["client_mb"] = cost.threads["1"].peak_mb
                continue
            figures |= {
                f"rtf_{name}": cost.threads["1"].rtf,
                f"params_{name}": sum(p.numel() for p in model.parameters()),
            }
            figures[f"memory_over_bytes_{name}"] = rounded(cost.memory_over_bytes)
    figures["int8_over_float_bytes"] = round(size["int8"] / size["float"], 3)
    figures["memory_over_bytes"] = None if None in over else rounded(max(over))
    figures |= {
        "same_words_share": round(same["float"] / total, 4),
        "same_words_share_int8": round(same["int8"] / total, 4),
    }
    figures["int8_wer_rise"] = round(rise, 3)
    print(json.dumps(figures | {"utterances": total}))


if __name__ == "__main__":
    run_main(main)
