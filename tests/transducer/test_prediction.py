import pytest
import torch
from espnet2.asr.transducer.beam_search_transducer import BeamSearchTransducer
from espnet2.asr_transducer.joint_network import JointNetwork
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet_plugin.errors import UserError
from espnet_plugin.transducer.prediction import StatelessDecoder

V, D = 7, 12


def build(seed):
    torch.manual_seed(seed)
    decoder = StatelessDecoder(V, D, embed_dim=8)
    joint = JointNetwork(V, D, decoder.dunits, 10)
    torch.nn.init.normal_(joint.lin_out.weight)
    joint.lin_out.bias.data[0] += 0.5  # some blanks
    return decoder.eval(), joint.eval()


class Recomputing:
    """What ESPnet's searches ask of a prediction network, by `forward` on the whole hypothesis: without state or cache."""

    def __init__(self, decoder):
        self.forward, self.dunits, self.odim, self.blank_id = decoder, decoder.dunits, decoder.odim, decoder.blank_id

    def set_device(self, device):
        pass

    def init_state(self, batch_size):
        return None

    def select_state(self, states, index):
        return None

    def create_batch_states(self, states, new_states, check_list=None):
        return None

    def score(self, hyp, cache):
        return self.forward(torch.tensor([hyp.yseq]))[0, -1], None, None

    def batch_score(self, hyps, dec_states, cache, use_lm):
        return torch.stack([self.score(hyp, cache)[0] for hyp in hyps]), None, None


def log_probability(encoder_out, decoder, joint, labels):
    """Of the labels, over all alignments, cell by cell."""
    outputs = decoder(torch.tensor([[0, *labels]]))
    logits = joint(encoder_out[None, :, None], outputs[:, None]).log_softmax(-1)[0]  # (T, U + 1, V)
    alpha = {}
    for t in range(len(encoder_out)):
        for u in range(len(labels) + 1):
            ways = [torch.zeros(())] if t == u == 0 else []
            if t > 0:
                ways.append(alpha[t - 1, u] + logits[t - 1, u, 0])
            if u > 0:
                ways.append(alpha[t, u - 1] + logits[t, u - 1, labels[u - 1]])
            alpha[t, u] = torch.logsumexp(torch.stack(ways), 0)
    return float(alpha[t, u] + logits[t, u, 0])


@pytest.mark.parametrize("search_type", ["greedy", "default", "tsd", "alsd", "nsc", "maes"])
def test_espnets_searches_find_the_same_as_without_states_and_cache(search_type):
    for seed in range(3):
        decoder, joint = build(seed)
        encoder_out = torch.randn(8, D)
        options = dict(beam_size=1) if search_type == "greedy" else dict(beam_size=3, search_type=search_type)
        with torch.no_grad():
            ours, theirs = (
                BeamSearchTransducer(network, joint, nbest=3, u_max=20, **options)(encoder_out)
                for network in (decoder, Recomputing(decoder))
            )
        assert [hyp.yseq for hyp in ours] == [hyp.yseq for hyp in theirs]
        for a, b in zip(ours, theirs):
            assert float(a.score) == pytest.approx(float(b.score), rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("search_type", ["default", "tsd", "maes"])  # ESPnet's alsd and nsc score with other sums
def test_no_search_scores_above_the_sum_over_all_alignments(search_type):
    for seed in range(3):
        decoder, joint = build(seed)
        encoder_out = torch.randn(8, D)
        search = BeamSearchTransducer(decoder, joint, beam_size=3, search_type=search_type, nbest=3)
        with torch.no_grad():
            for hyp in search(encoder_out):
                assert float(hyp.score) <= log_probability(encoder_out, decoder, joint, hyp.yseq[1:]) + 1e-4


def test_by_hand():
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


@given(st.lists(st.integers(1, V - 1), min_size=3, max_size=8), st.integers(1, 3))
@settings(deadline=None, max_examples=25)
def test_only_the_context_counts(labels, context_size):
    torch.manual_seed(1)
    decoder = StatelessDecoder(V, D, embed_dim=6, context_size=context_size).eval()
    other = [(label % (V - 1)) + 1 for label in labels[:-context_size]] + labels[-context_size:]
    one, two = (decoder(torch.tensor([[0, *row]])) for row in (labels, other))
    assert torch.equal(one[0, -1], two[0, -1])


def test_the_context_may_not_be_empty():
    with pytest.raises(UserError, match="context_size: 0"):
        StatelessDecoder(V, D, context_size=0)
