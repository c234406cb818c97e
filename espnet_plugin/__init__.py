"""TODM for ESPnet: train one transducer, deploy many sizes of it.

Importing this package adds encoders ``mhssm_supernet`` and ``conformer_supernet`` (of one size: ``mhssm``, ``conformer_sized``), model
``todm``, decoder ``stateless``, frontend ``kaldi_fbank``, optimizer ``scaledadam`` and scheduler ``eden`` to ESPnet's own choices.
"""

from espnet_plugin.registry import register_encoder, register_on_import

__all__ = ["register_encoder"]

register_on_import()
