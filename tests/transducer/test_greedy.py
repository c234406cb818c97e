import pytest
import torch
from espnet2.asr.decoder.transducer_decoder import TransducerDecoder
from espnet2.asr.transducer.beam_search_transducer import BeamSearchTransducer
from espnet2.asr_transducer.joint_network import JointNetwork

from espnet_plugin.errors import UserError
from espnet_plugin.transducer.greedy import greedy_search
from espnet_plugin.transducer.prediction import StatelessDecoder

V, D = 7, 12


def build(kind, seed):
    torch.manual_seed(seed)
    if kind == "stateless":
        decoder = StatelessDecoder(V, D, embed_dim=8)
    else:
        decoder = TransducerDecoder(V, rnn_type=kind, num_layers=2, hidden_size=8)
    joint = JointNetwork(V, D, decoder.dunits, 10)
    torch.nn.init.normal_(joint.lin_out.weight)
    joint.lin_out.bias.data[0] += 0.5  # some blanks
    return decoder.eval(), joint.eval()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", ["stateless", "lstm", "gru"])
def test_batched_search_equals_espnets(kind, seed):
    decoder, joint = build(kind, seed)
    encoder_out = 2 * torch.randn(3, 15, D)
    lengths = torch.tensor([15, 9, 1])
    search = BeamSearchTransducer(decoder, joint, beam_size=1)
    with torch.no_grad():
        expected = [search.greedy_search(x[:length])[0].yseq[1:] for x, length in zip(encoder_out, lengths)]
    assert greedy_search(encoder_out, lengths, decoder, joint) == expected
    assert any(expected) and sum(map(len, expected)) < int(lengths.sum())


@pytest.mark.parametrize("search_type", ["default", "tsd", "alsd", "nsc", "maes"])
def test_espnets_beam_searches_take_the_stateless_network(search_type):
    decoder, joint = build("stateless", 0)
    search = BeamSearchTransducer(decoder, joint, beam_size=3, search_type=search_type, nbest=3, u_max=20)
    with torch.no_grad():
        nbest = search(torch.randn(8, D))
    assert 1 <= len(nbest) <= 3
    for hypothesis in nbest:
        # The score of a hypothesis depends on its labels alone: scoring it anew gives what the search kept.
        assert hypothesis.yseq[0] == 0 and torch.isfinite(torch.as_tensor(hypothesis.score))


def test_stateless_network_by_hand():
    """Weights 2 on the last and 1 on the symbol before: ReLU(e[-2] + 2 e[-1]); nothing stands before blank."""
    decoder = StatelessDecoder(3, 1, embed_dim=1)
    decoder.embed.weight.data = torch.tensor([[1.0], [10.0], [-100.0]])
    decoder.conv.weight.data = torch.tensor([[[1.0, 2.0]]])
    assert decoder(torch.tensor([[0, 1, 2, 1]])).flatten().tolist() == [2.0, 21.0, 0.0, 0.0]


@pytest.mark.parametrize("context_size", [1, 2, 4])
def test_step_by_step_equals_forward(context_size):
    torch.manual_seed(0)
    decoder = StatelessDecoder(V, D, embed_dim=6, context_size=context_size).eval()
    labels = torch.cat([torch.zeros(2, 1, dtype=torch.long), torch.randint(1, V, (2, 9))], 1)
    whole, state = decoder(labels), decoder.init_state(2)
    for u in range(labels.shape[1]):
        state = decoder.advance(state, labels[:, u])
        torch.testing.assert_close(decoder.predict(state)[:, 0], whole[:, u])
        hypotheses = [type("Hypothesis", (), {"yseq": row[: u + 1].tolist()}) for row in labels]
        scored, states, last = decoder.batch_score(hypotheses, None, {}, True)
        torch.testing.assert_close(scored, whole[:, u])
        assert torch.equal(states, state) and torch.equal(last[:, 0], labels[:, u])


def test_a_context_of_nothing_is_refused():
    with pytest.raises(UserError, match="context_size: 0"):
        StatelessDecoder(V, D, context_size=0)
