"""Export each size of an experiment, float and int8, and measure it: sizes/NAME/sherpa-onnx, sherpa-onnx-int8 and device.json."""

import argparse
from pathlib import Path

import torch
from tqdm import tqdm

from espnet_plugin.asr.inference.loading import load_model, model_dir_files
from espnet_plugin.common.files import write_json
from espnet_plugin.common.tables import read_table
from espnet_plugin.deploy.measure import measure
from espnet_plugin.errors import run_main


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model_dir", type=Path, nargs="+", required=True, help="extracted sizes")
    parser.add_argument("--data", type=Path, required=True, help="directory with wav.scp, to measure on")
    parser.add_argument("--utterances", type=int, default=50, help="first ones of the data (50)")
    parser.add_argument("--streaming", choices=("true", "false"), default="false", help="for the streaming client")
    args = parser.parse_args(argv)
    streaming = args.streaming == "true"
    torch.set_num_threads(1)
    wavs = list(read_table(args.data / "wav.scp").values())[: args.utterances]
    for model_dir in tqdm(args.model_dir, unit="size", desc="exporting", disable=None):
        model, _ = load_model(*model_dir_files(model_dir))
        facts = {"data": args.data.name, "utterances": len(wavs), "streaming": streaming}
        for kind, name in (("float", "sherpa-onnx"), ("int8", "sherpa-onnx-int8")):
            cost, _ = measure(model, model_dir / name, wavs, kind == "int8", streaming)
            facts[kind] = cost.as_dict()
        write_json(model_dir / "device.json", facts, indent=2)


if __name__ == "__main__":
    run_main(main)
