"""The held-out loss: that of the full lattice, whatever the model was trained with."""

import itertools

import pytest
import tiny
import torch

from espnet_plugin.asr.inference.data import AudioBatch
from espnet_plugin.asr.inference.extract import extract
from espnet_plugin.asr.inference.heldout import HeldOutLoss
from espnet_plugin.asr.inference.loading import TrainedModel
from espnet_plugin.transducer.elastic import at_subnet


def trained(**transducer):
    conf = dict(prune_range=2, warmup_steps=4, **transducer)
    changes = dict(model_conf=dict(joint_space_size=8, transducer_conf=conf))
    return TrainedModel(tiny.build(**changes).eval(), tiny.arguments(**changes))


def audio() -> tuple[AudioBatch, dict[str, torch.Tensor]]:
    """Three utterances and the symbols of two; the shortest has as many frames as symbols at most."""
    speech, lengths, _, _ = tiny.batch()
    ids = {"u0": torch.tensor([2, 3, 4]), "u2": torch.tensor([5, 3])}
    return AudioBatch(("u0", "u1", "u2"), speech, lengths), ids


def log_probabilities(model, batch, row: int, labels: torch.Tensor, subnet) -> torch.Tensor:
    """(T, U + 1, V) of one utterance."""
    out, lengths = model.encode(batch.speech[row : row + 1, : batch.lengths[row]], batch.lengths[row : row + 1], subnet)
    decoder, joiner = at_subnet(model.decoder, model.joint_network, subnet)
    prediction = decoder(torch.nn.functional.pad(labels, (1, 0)).unsqueeze(0))
    return joiner(out[:, : lengths[0]].unsqueeze(2), prediction.unsqueeze(1))[0].log_softmax(-1)


@torch.no_grad()
@pytest.mark.parametrize("rnnt_type, early", [("regular", {}), ("modified", {}), ("regular", {"fast_emit": 0.1})])
def test_the_loss_sums_over_all_alignments(rnnt_type, early):
    """Against every alignment, one by one, for the max and for the min net."""
    whole = trained(rnnt_type=rnnt_type, **early)
    model = whole.model
    batch, ids = audio()
    loss = HeldOutLoss(whole)
    for subnet in (None, model.search_space.min):
        found = loss(batch, ids, subnet)
        assert found.keys() == ids.keys()
        for key, labels in ids.items():
            logp = log_probabilities(model, batch, int(key[1]), labels, subnet)
            T, U = logp.shape[0], len(labels)
            scores = []
            if rnnt_type == "modified":  # the frames that emit; each other frame has a blank
                for frames in itertools.combinations(range(T), U):
                    u, score = 0, 0.0
                    for t in range(T):
                        symbol = int(labels[u]) if t in frames else 0
                        score, u = score + float(logp[t, u, symbol]), u + (t in frames)
                    scores.append(score)
            else:  # the frame of each symbol, in order; then each frame's blank
                for frames in itertools.combinations_with_replacement(range(T), U):
                    emitted = sum(float(logp[t, u, labels[u]]) for u, t in enumerate(frames))
                    blanks = sum(float(logp[t, sum(f <= t for f in frames), 0]) for t in range(T))
                    scores.append(emitted + blanks)
            assert found[key] == pytest.approx(-float(torch.tensor(scores).logsumexp(0)), rel=1e-4)


@torch.no_grad()
def test_an_extracted_size_has_the_loss_of_its_subnet_in_the_supernet():
    whole = trained(rnnt_type="modified")
    model = whole.model
    batch, ids = audio()
    subnet = model.search_space.min
    alone = HeldOutLoss(extract(whole, subnet))
    assert alone(batch, ids) == pytest.approx(HeldOutLoss(whole)(batch, ids, subnet), rel=1e-4)


def test_an_utterance_without_a_path_is_left_out():
    whole = trained(rnnt_type="modified")
    batch, ids = audio()
    many = ids | {"u2": torch.tensor([2] * 40)}
    assert HeldOutLoss(whole)(batch, many).keys() == {"u0"}
    assert HeldOutLoss(whole)(batch, {}) == {}
