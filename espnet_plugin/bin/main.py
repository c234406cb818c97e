"""``espnet-todm VERB ...``: finds the verb's main. Imports no torch, so that --help answers at once."""

import sys
from importlib import import_module

from espnet_plugin.errors import UserError, run_main

VERBS = {
    "compose": "merge a configuration and the files it is based on into one",
    "plan": "estimate steps, memory and GPU-hours of training before it is paid",
    "train": "train a supernet or a single size; takes every option of espnet2.bin.asr_train",
    "average": "average the last checkpoints of a training run",
    "choose": "choose the best subnet within limits, or a ladder of sizes, on a development set",
    "latency": "time a supernet's blocks on this device, to predict the time of any subnet",
    "page": "show what 'choose' has found as a page and a picture",
    "convert": "convert a supernet from icefall's checkpoint to ESPnet's files, or back",
    "extract": "cut one size out as a stand-alone ESPnet model directory",
    "decode": "decode a Kaldi data directory with a model directory",
    "transcribe": "print the words of audio files",
    "export": "write a size as the files that sherpa-onnx runs on a device",
    "pack": "write a model directory as one file for ESPnet and its model zoo",
    "unpack": "write a model directory from a pack, checking names and sums",
}


# What a plain installation does not have: first part of a module's name -> extra.
EXTRAS = {
    "espnet2": "espnet",
    "espnet": "espnet",
    "typeguard": "espnet",
    "tensorboard": "espnet",
    "matplotlib": "recipe",
}
EXTRAS |= {"onnx": "export", "onnxruntime": "export", "sherpa_onnx": "export", "kenlm": "lm"}


def usage() -> str:
    verbs = "\n".join(f"  {verb:<11} {what}" for verb, what in VERBS.items())
    return (
        f"usage: espnet-todm VERB [options]\n\nverbs:\n{verbs}\n\nespnet-todm VERB --help lists the options of a verb."
    )


def dispatch(argv: list[str]) -> None:
    if not argv or argv[0] in ("-h", "--help"):
        print(usage())
        return
    verb, *rest = argv
    if verb not in VERBS:
        raise UserError(f"verb '{verb}' is not one of {', '.join(VERBS)}")
    try:
        import_module(f"espnet_plugin.bin.{verb}").main(rest)
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        if name not in EXTRAS:
            raise
        extra = EXTRAS[name]
        raise UserError(
            f"verb '{verb}' needs '{name}', which is not installed: pip install 'espnet-todm[{extra}]'"
        ) from error


def main() -> None:
    run_main(lambda: dispatch(sys.argv[1:]))
