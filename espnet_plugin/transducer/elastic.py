"""Prediction network and joiner that run at a subnet's widths."""

from typing import Annotated

import torch

from espnet_plugin.common.bounds import Bounds, Dropout, Width
from espnet_plugin.errors import UserError
from espnet_plugin.supernet.layers import AdaptiveDropout, ElasticDepthwiseConv1d, ElasticEmbedding, ElasticLinear
from espnet_plugin.supernet.space import SearchSpace
from espnet_plugin.supernet.subnet import Subnet
from espnet_plugin.transducer.joiner import AdditiveJoiner, Joiner
from espnet_plugin.transducer.prediction import Context, StatelessDecoder


class ElasticStatelessDecoder(StatelessDecoder):
    """ESPnet decoder ``stateless_supernet``: the first channels of a `StatelessDecoder`; all of them where no width is passed."""

    embedding_class = ElasticEmbedding

    def __init__(
        self,
        vocab_size: int,
        encoder_output_size: int,
        embed_dim: Width = 256,
        context_size: Context = 2,
        blank_id: Annotated[int, Bounds(0)] = 0,
        dropout: Dropout = 0.0,
        conv_group: Width = 1,
    ):
        super().__init__(vocab_size, encoder_output_size, embed_dim, context_size, blank_id, conv_group=conv_group)
        self.conv = ElasticDepthwiseConv1d(embed_dim, context_size, conv_group, bias=False)
        self.dropout_embed = AdaptiveDropout(dropout, embed_dim)


class PredictionAt:
    """An `ElasticStatelessDecoder` at a width (channels), with what search and loss ask of a prediction network."""

    def __init__(self, decoder: ElasticStatelessDecoder, width: int):
        self.decoder, self.width = decoder, width
        self.set_device, self.init_state, self.advance = decoder.set_device, decoder.init_state, decoder.advance

    @property
    def device(self) -> torch.device:
        return self.decoder.device

    def predict(self, contexts: torch.Tensor) -> torch.Tensor:
        return self.decoder.predict(contexts, self.width)

    def __call__(self, labels: torch.Tensor) -> torch.Tensor:
        return self.decoder(labels, self.width)


class ElasticJointNetwork(AdditiveJoiner):
    """A joiner for encoders and prediction networks of any active width; `JoinerAt` narrows it itself."""

    linear_class = ElasticLinear


class JoinerAt:
    """An `ElasticJointNetwork` at a width (channels), called like the joiner itself."""

    def __init__(self, joiner: ElasticJointNetwork, width: int):
        self.joiner, self.width = joiner, width
        self.lin_out, self.joint_activation = joiner.lin_out, joiner.joint_activation

    def lin_enc(self, x: torch.Tensor) -> torch.Tensor:
        return self.joiner.lin_enc(x, out_features=self.width)

    def lin_dec(self, x: torch.Tensor) -> torch.Tensor:
        return self.joiner.lin_dec(x, out_features=self.width)

    def __call__(self, enc_out: torch.Tensor, dec_out: torch.Tensor, no_projection: bool = False) -> torch.Tensor:
        if not no_projection:
            enc_out, dec_out = self.lin_enc(enc_out), self.lin_dec(dec_out)
        return self.joiner(enc_out, dec_out, no_projection=True)


def at_subnet(decoder, joiner, subnet: Subnet | None):
    """Prediction network and joiner as a subnet uses them; themselves at full width, or without a subnet.

    Args:
        subnet: of a model's search space, whose widths they can have.
    """
    if subnet is not None and subnet["prediction"] < decoder.dunits:
        decoder = PredictionAt(decoder, subnet["prediction"])
    if subnet is not None and subnet["joiner"] < joiner.lin_out.in_features:
        joiner = JoinerAt(joiner, subnet["joiner"])
    return decoder, joiner


def build_joiner(
    given: Joiner | None,
    space: SearchSpace | None,
    decoder,
    vocab_size: int,
    encoder_size: int,
    joint_space_size: int,
) -> Joiner:
    """The joiner: the one given, or an additive one, elastic in a supernet.

    Raises:
        UserError: the search space asks of prediction network or joiner what they cannot do.
    """
    if space is None:
        return given or AdditiveJoiner(vocab_size, encoder_size, decoder.dunits, joint_space_size)
    if space.varies("prediction") and not isinstance(decoder, ElasticStatelessDecoder):
        raise UserError("search_space.prediction_dims: the decoder must be 'stateless_supernet'")
    if given is None:
        space.completed(prediction=decoder.dunits, joiner=joint_space_size)  # refuses what contradicts them
        return ElasticJointNetwork(vocab_size, encoder_size, decoder.dunits, joint_space_size)
    if space.varies("d_model") or space.varies("joiner"):
        raise UserError("search_space: model_dims and joiner_dims need decoder 'stateless' or 'stateless_supernet'")
    return given
