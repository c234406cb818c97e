"""TODM for ESPnet: train one transducer, deploy many sizes of it.

Importing this package adds its encoders, model, decoders, frontend, optimizer and scheduler to ESPnet's own choices (`registry`).
The names for other programs (`api`) are imported when they are asked for, so that the import itself is light.
"""

from espnet_plugin.api import NAMES, public
from espnet_plugin.registry import register_on_import

__getattr__ = public


def __dir__() -> list[str]:
    return sorted([*globals(), *NAMES, "__version__"])


register_on_import()
