import pytest
import torch
from espnet2.asr.transducer.beam_search_transducer import BeamSearchTransducer
from espnet2.asr_transducer.joint_network import JointNetwork

from espnet_plugin.transducer.greedy import greedy_search
from espnet_plugin.transducer.prediction import StatelessDecoder

V, D = 7, 12  # of `build`


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", ["stateless", "lstm", "gru"])
@pytest.mark.parametrize("blank", [0, V - 1])
def test_batched_search_equals_espnets(build, kind, seed, blank):
    decoder, joint = build(kind, seed, blank)
    encoder_out = 2 * torch.randn(3, 15, D)
    lengths = torch.tensor([15, 9, 1])
    search = BeamSearchTransducer(decoder, joint, beam_size=1)
    with torch.no_grad():
        expected = [search.greedy_search(x[:length])[0].yseq[1:] for x, length in zip(encoder_out, lengths)]
    assert greedy_search(encoder_out, lengths, decoder, joint, blank) == expected
    assert any(expected) and sum(map(len, expected)) < int(lengths.sum())


def test_one_at_a_time_equals_the_batch(build):
    """Padding, even of nan, and neighbours do not matter; an utterance without frames has no symbols."""
    decoder, joint = build("lstm", 1)
    encoder_out, lengths = 2 * torch.randn(4, 12, D), torch.tensor([12, 0, 5, 12])
    encoder_out[2, 5:] = float("nan")
    together = greedy_search(encoder_out, lengths, decoder, joint)
    alone = [greedy_search(x[None, :n], n[None], decoder, joint)[0] for x, n in zip(encoder_out, lengths) if n > 0]
    assert together[1] == [] and [together[0], *together[2:]] == alone and any(alone)


def test_states_are_made_where_the_encoders_output_is(build):
    decoder, joint = build("lstm", 1)
    encoder_out = torch.randn(1, 6, D)
    expected = greedy_search(encoder_out, torch.tensor([6]), decoder, joint)
    decoder.set_device(torch.device("meta"))  # as left by a model that has been moved since
    assert greedy_search(encoder_out, torch.tensor([6]), decoder, joint) == expected


def test_by_hand():
    """The encoder's channels are the logits and the prediction network is switched off: each frame's largest, blanks left out."""
    decoder, joint = StatelessDecoder(3, 3, embed_dim=3), JointNetwork(3, 3, 3, 3, joint_activation_type="relu")
    joint.lin_enc.weight.data, joint.lin_out.weight.data = torch.eye(3), torch.eye(3)
    joint.lin_enc.bias.data.zero_(), joint.lin_out.bias.data.zero_(), joint.lin_dec.weight.data.zero_()
    frames = torch.eye(3)[torch.tensor([0, 2, 2, 0, 1])]
    assert greedy_search(frames[None], torch.tensor([5]), decoder, joint) == [[2, 2, 1]]
