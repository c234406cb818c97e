"""TODM for ESPnet: train one transducer, deploy many sizes of it.

Importing this package adds encoder ``mhssm_supernet`` (and ``mhssm``), model ``todm``, decoder ``stateless``, frontend ``kaldi_fbank``,
optimizer ``scaledadam`` and scheduler ``eden`` to ESPnet's own choices.
"""

from espnet_plugin.registry import register_on_import

register_on_import()
