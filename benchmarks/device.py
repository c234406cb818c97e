#!/usr/bin/env python3
"""Measure exported sizes in sherpa-onnx: real-time factor, bytes, memory, and whether it says what PyTorch says.

    device.py --model_dir exp/mini/sizes/* --data dump/mini/raw/test-clean

The last line is a JSON object. `rtf_10m` is the real-time factor (1 thread, float) of a model of 10 million parameters with random weights.
"""

import argparse
import json
import tempfile
from pathlib import Path

import torch

from espnet_plugin.asr.data import batches, read_table
from espnet_plugin.asr.loading import load_model, model_dir_files
from espnet_plugin.asr.recognise import greedy
from espnet_plugin.asr.task import TODMTask
from espnet_plugin.deploy.client import decode
from espnet_plugin.deploy.sherpa import export
from espnet_plugin.errors import run_main

TEN_MILLION = dict(d_model=256, num_heads=8, num_modes=16, ffn_dims=[1600] * 8)


def random_model(like: argparse.Namespace, encoder_conf: dict):
    """A model that differs from a configuration in the size of its encoder."""
    changed = vars(like) | {"encoder": "mhssm", "encoder_conf": encoder_conf}
    return TODMTask.build_model(argparse.Namespace(**changed)).eval()


def folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.onnx"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model_dir", type=Path, nargs="+", required=True, help="extracted sizes")
    parser.add_argument("--data", type=Path, required=True, help="directory with wav.scp")
    parser.add_argument("--utterances", type=int, default=100, help="first ones of the data (100)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    wavs = dict(list(read_table(args.data / "wav.scp").items())[: args.utterances])
    same = same_int8 = total = 0
    bytes_float = bytes_int8 = 0
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        for model_dir in args.model_dir:
            model, train_args = load_model(*model_dir_files(model_dir))
            expected = {}
            for batch in batches(wavs, 16000):
                expected |= greedy(model, batch, 16000)
            found = {}
            for kind in ("float", "int8"):
                export(model, work / kind, int8=kind == "int8")
                found[kind] = [decode(work / kind, list(wavs.values()), threads) for threads in (1, 2)]
            agree = {
                kind: sum(expected[key].split() == text.split() for key, text in zip(wavs, runs[0].texts))
                for kind, runs in found.items()
            }
            same, same_int8, total = same + agree["float"], same_int8 + agree["int8"], total + len(wavs)
            bytes_float, bytes_int8 = (
                bytes_float + folder_bytes(work / "float"),
                bytes_int8 + folder_bytes(work / "int8"),
            )
            row = {"size": model_dir.name, "params": sum(p.numel() for p in model.parameters())}
            for kind, (one, two) in found.items():
                row |= {f"{kind}_bytes": folder_bytes(work / kind), f"{kind}_rtf_1": round(one.real_time_factor, 5)}
                row |= {f"{kind}_rtf_2": round(two.real_time_factor, 5), f"{kind}_same_words": agree[kind]}
                row[f"{kind}_peak_mb"] = None if one.peak_bytes is None else round(one.peak_bytes / 1e6, 1)
            print(json.dumps(row), flush=True)
        large = random_model(train_args, TEN_MILLION)
        parts = export(large, work / "large")
        run = decode(work / "large", list(wavs.values()))
        params = sum(p.numel() for p in large.parameters())
    print(f"random model: {params:,} parameters, encoder {parts['encoder']['bytes']:,} bytes")
    figures = {"rtf_10m": round(run.real_time_factor, 4), "int8_over_float_bytes": round(bytes_int8 / bytes_float, 3)}
    figures |= {"same_words_share": round(same / total, 4), "same_words_share_int8": round(same_int8 / total, 4)}
    print(json.dumps(figures | {"utterances": total, "params_10m": params}))


if __name__ == "__main__":
    run_main(main)
