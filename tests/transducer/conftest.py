"""Small random prediction networks and joiners that say many symbols and some blanks."""

import pytest
import torch
from espnet2.asr.decoder.transducer_decoder import TransducerDecoder
from espnet2.asr_transducer.joint_network import JointNetwork

from espnet_plugin.transducer.prediction import StatelessDecoder

V, D = 7, 12  # symbols, width of the encoder's output


def make(kind: str, seed: int, blank: int = 0):
    """Prediction network (stateless, lstm or gru) and joiner."""
    torch.manual_seed(seed)
    if kind == "stateless":
        decoder = StatelessDecoder(V, D, embed_dim=8, blank_id=blank)
    else:
        decoder = TransducerDecoder(V, rnn_type=kind, num_layers=2, hidden_size=8, embed_pad=blank)
    joint = JointNetwork(V, D, decoder.dunits, 10)
    torch.nn.init.normal_(joint.lin_out.weight)
    joint.lin_out.bias.data[blank] += 0.5
    return decoder.eval(), joint.eval()


@pytest.fixture(scope="session")
def build():
    return make
