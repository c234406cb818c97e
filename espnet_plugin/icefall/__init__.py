"""The supernet in icefall's own recipes (docs/icefall.md); needs neither ESPnet nor, on import, icefall or k2.

``AsrModel`` is made when it is first asked for: it derives from that of the recipe, whose folder is on the path there.
"""

from espnet_plugin.icefall.encoder import get_encoder_embed, get_encoder_model
from espnet_plugin.icefall.model import accumulate, asr_model_class
from espnet_plugin.icefall.options import add_arguments

__all__ = ["AsrModel", "accumulate", "add_arguments", "get_encoder_embed", "get_encoder_model"]


def __getattr__(name: str):
    if name == "AsrModel":
        return asr_model_class()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
