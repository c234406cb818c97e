import pytest
import torch
from espnet2.asr_transducer.joint_network import JointNetwork

from espnet_plugin.transducer.cells import LogitsInParts, joiner_logits, over_parts
from espnet_plugin.transducer.distill import DistillConf
from espnet_plugin.transducer.loss import Targets, TransducerConf, TransducerCriterion, distillation_cost

B, T, U, V, D, R = 5, 9, 6, 7, 8, 3
T_LENS, U_LENS = torch.tensor([9, 7, 1, 8, 4]), torch.tensor([6, 0, 1, 3, 6])


def networks(max_lattice_mb=None, **conf):
    """Criterion, joiner and the inputs that get gradients, the same every time."""
    torch.manual_seed(0)
    joint = JointNetwork(V, D, D, 10)
    torch.nn.init.normal_(joint.lin_out.weight)
    criterion = TransducerCriterion(TransducerConf(max_lattice_mb=max_lattice_mb, **conf), D, D, V, 0)
    inputs = [torch.randn(B, T, D), torch.randn(B, T, D), torch.randn(B, U + 1, D)]
    return criterion, joint, [x.requires_grad_() for x in inputs]


def step(form, max_lattice_mb, **conf):
    """Costs of teacher and student, divergence, gradients of everything, and how many numbers the joiner made at once."""
    criterion, joint, (first, second, prediction) = networks(max_lattice_mb, **conf)
    made = []
    whole = LogitsInParts.__getitem__

    def watched(self, rows):
        made.append(whole(self, rows))
        return made[-1]

    patch = pytest.MonkeyPatch()
    patch.setattr(LogitsInParts, "__getitem__", watched)
    labels = torch.randint(1, V, (B, U), generator=torch.Generator().manual_seed(1))
    labels = torch.where(torch.arange(U) < U_LENS.unsqueeze(1), labels, 0)
    simple_lm = criterion.simple_lm(prediction) if criterion.conf.loss == "pruned" else None
    targets = Targets(labels, U_LENS, joint.lin_dec(prediction), simple_lm)
    teacher = criterion(first, T_LENS, targets, joint)
    student = criterion(second, T_LENS, targets, joint, teacher.ranges)
    divergence = distillation_cost(teacher, student, labels, DistillConf(form=form), 0)
    costs = [teacher.cost, student.cost, divergence]
    leaves = [first, second, prediction, *joint.parameters(), *criterion.parameters()]
    gradients = torch.autograd.grad((teacher.cost + student.cost + divergence).sum(), leaves, allow_unused=True)
    patch.undo()
    return costs, [g for g in gradients if g is not None], max(x.numel() for x in made)


@pytest.mark.parametrize("form", ["full_vocabulary", "three_way"])
@pytest.mark.parametrize("conf", [dict(loss="full"), dict(prune_range=R)])
@pytest.mark.parametrize("utterances", [1, 2, 4])
def test_parts_give_the_same_and_are_no_larger_than_allowed(form, conf, utterances):
    utterance = T * V * (U + 1 if conf.get("loss") == "full" else R)
    whole_costs, whole_gradients, whole_made = step(form, None, **conf)
    costs, gradients, made = step(form, 4e-6 * utterance * (utterances + 0.5), **conf)
    assert (whole_made, made) == (B * utterance, utterances * utterance)
    for a, b in zip(costs, whole_costs, strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-6)
    for a, b in zip(gradients, whole_gradients, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


def test_one_utterance_is_never_cut_and_a_lattice_that_fits_is_whole():
    _, joint, (acoustic, _, prediction) = networks()
    acoustic, prediction = joint.lin_enc(acoustic), joint.lin_dec(prediction)
    tiny = joiner_logits(acoustic, prediction, None, joint, 1e-9)
    assert isinstance(tiny, LogitsInParts) and tiny.at_once == 1
    whole = joiner_logits(acoustic, prediction, None, joint, 4e-6 * B * T * (U + 1) * V * 1.01)
    torch.testing.assert_close(torch.cat([tiny[i : i + 1] for i in range(B)]), whole)


def test_detached_parts_have_no_graph():
    _, joint, (acoustic, _, prediction) = networks()
    parts = joiner_logits(joint.lin_enc(acoustic), joint.lin_dec(prediction), None, joint, 1e-9)
    assert parts[:1].requires_grad and not parts.detach()[:1].requires_grad
    assert parts.detach().acoustic.grad_fn is None and parts.detach().prediction.grad_fn is None


def test_each_utterance_is_looked_at_once_and_in_order():
    _, joint, (acoustic, _, prediction) = networks()
    parts = joiner_logits(joint.lin_enc(acoustic), joint.lin_dec(prediction), None, joint, 4e-6 * T * (U + 1) * V * 2)
    numbers = torch.arange(float(B))
    assert torch.equal(over_parts(lambda rows: numbers[rows] + 0 * parts[rows].sum((1, 2, 3)), parts), numbers)
