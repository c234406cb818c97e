#!/usr/bin/env python3
"""Measure exported sizes in sherpa-onnx: real-time factor, bytes, memory, and whether it says what PyTorch says.

    device.py --model_dir exp/mini/sizes/* --data dump/mini/raw/test-clean

The last line is a JSON object. `int8_wer_rise` is the size's that loses most by int8, percent
absolute. `rtf_10m` is the real-time factor (1 thread, float) of a model of 10 million parameters with random weights.
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
from espnet_plugin.deploy.measure import measure
from espnet_plugin.errors import run_main

TEN_MILLION = dict(d_model=256, num_heads=8, num_modes=16, ffn_dims=[1920] * 8)


def random_model(like: argparse.Namespace, encoder_conf: dict):
    """A model that differs from a configuration in the size of its encoder."""
    changed = vars(like) | {"encoder": "mhssm", "encoder_conf": encoder_conf}
    return TODMTask.build_model(argparse.Namespace(**changed)).eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model_dir", type=Path, nargs="+", required=True, help="extracted sizes")
    parser.add_argument("--data", type=Path, required=True, help="directory with wav.scp and text")
    parser.add_argument("--utterances", type=int, default=250, help="first ones of the data (250)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    wavs = dict(list(read_table(args.data / "wav.scp").items())[: args.utterances])
    text = read_transcripts(args.data / "text")
    rise = -100.0
    total, same, size = 0, Counter(), Counter()
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
            rise = max(rise, row["int8"]["wer"] - row["float"]["wer"])
            total += len(wavs)
            print(json.dumps(row), flush=True)
        large = random_model(train_args, TEN_MILLION)
        cost, _ = measure(large, work / "large", list(wavs.values()))
        params = sum(p.numel() for p in large.parameters())
    figures = {"rtf_10m": cost.threads["1"].rtf, "int8_over_float_bytes": round(size["int8"] / size["float"], 3)}
    figures |= {
        "same_words_share": round(same["float"] / total, 4),
        "same_words_share_int8": round(same["int8"] / total, 4),
    }
    figures["int8_wer_rise"] = round(rise, 3)
    print(json.dumps(figures | {"utterances": total, "params_10m": params}))


if __name__ == "__main__":
    run_main(main)
