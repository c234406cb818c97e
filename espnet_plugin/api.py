"""The names that other programs may rely on, each imported when it is asked for: ``from espnet_plugin import load_model``."""

from importlib import import_module
from importlib.metadata import version

# public name -> module that defines it
NAMES = {
    "load_model": "espnet_plugin.asr.inference.loading",
    "TrainedModel": "espnet_plugin.asr.inference.loading",
    "extract": "espnet_plugin.asr.inference.extract",
    "Recogniser": "espnet_plugin.asr.inference.recognise",
    "SearchConf": "espnet_plugin.asr.inference.search",
    "Transcriber": "espnet_plugin.asr.inference.transcriber",
    "StreamingRecogniser": "espnet_plugin.asr.inference.streaming",
    "SearchSpace": "espnet_plugin.supernet.space",
    "Subnet": "espnet_plugin.supernet.subnet",
    "simple_loss": "espnet_plugin.transducer.pruned",
    "prune_ranges": "espnet_plugin.transducer.pruned",
    "gather_pruned": "espnet_plugin.transducer.pruned",
    "pruned_rnnt_loss": "espnet_plugin.transducer.pruned",
    "rnnt_loss": "espnet_plugin.transducer.lattice",
    "alpha_divergence": "espnet_plugin.transducer.distill",
    "ScaledAdam": "espnet_plugin.optim.scaled_adam",
    "Eden": "espnet_plugin.optim.eden",
    "register_encoder": "espnet_plugin.registry",
    "UserError": "espnet_plugin.errors",
}


def public(name: str):
    """What a public name stands for.

    Raises:
        AttributeError: there is no such name.
    """
    if name == "__version__":
        return version("espnet-todm")
    if name not in NAMES:
        raise AttributeError(f"module 'espnet_plugin' has no attribute '{name}'")
    return getattr(import_module(NAMES[name]), name)
