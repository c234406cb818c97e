"""The criterion at the edges of what a batch can be: every loss, every form of distillation."""

import math

import pytest
import torch
import torchaudio
from espnet2.asr_transducer.joint_network import JointNetwork

from espnet_plugin.transducer.distill import DistillConf
from espnet_plugin.transducer.loss import Targets, TransducerConf, TransducerCriterion, distillation_cost

V, D = 6, 8
LOSSES = [dict(loss="full"), dict(prune_range=2), dict(prune_range=99)]
FORMS = ["full_vocabulary", "three_way"]


class Problem:
    """Random networks and a batch with utterances of `sizes` (T, U)."""

    def __init__(self, sizes, blank=0, seed=0, **conf):
        torch.manual_seed(seed)
        self.T_lens, self.U_lens = (torch.tensor(lens) for lens in zip(*sizes))
        B, T, U = len(sizes), int(self.T_lens.max()), int(self.U_lens.max())
        self.blank, self.joint = blank, JointNetwork(V, D, D, 10)
        torch.nn.init.normal_(self.joint.lin_out.weight)
        self.criterion = TransducerCriterion(TransducerConf(**conf), D, D, V, blank)
        self.encoder_out, self.other = (torch.randn(B, T, D).requires_grad_() for _ in range(2))
        self.prediction = torch.randn(B, U + 1, D)
        labels = (blank + torch.randint(1, V, (B, U))) % V  # any symbol but blank
        self.labels = torch.where(torch.arange(U) < self.U_lens.unsqueeze(1), labels, blank)

    def lattice(self, encoder_out, ranges=None):
        simple_lm = self.criterion.simple_lm(self.prediction) if self.criterion.conf.loss == "pruned" else None
        targets = Targets(self.labels, self.U_lens, self.joint.lin_dec(self.prediction), simple_lm)
        return self.criterion(encoder_out, self.T_lens, targets, self.joint, ranges)

    def divergence(self, form):
        teacher = self.lattice(self.encoder_out)
        student = self.lattice(self.other, teacher.ranges)
        return distillation_cost(teacher, student, self.labels, DistillConf(form=form), self.blank)


@pytest.mark.parametrize("conf", LOSSES)
@pytest.mark.parametrize("blank", [0, 2, V - 1])
def test_without_symbols_the_cost_is_that_of_the_blanks(conf, blank):
    problem = Problem([(4, 0), (2, 0)], blank, **conf)
    found = problem.lattice(problem.encoder_out)
    logp = found.logits.log_softmax(-1)[:, :, 0, blank]
    torch.testing.assert_close(found.cost, -torch.stack([logp[0].sum(), logp[1, :2].sum()]))


@pytest.mark.parametrize("conf", LOSSES)
@pytest.mark.parametrize("blank", [0, 2, V - 1])
def test_one_frame_has_one_alignment(conf, blank):
    """All symbols, then blank; the range is raised to the three of them."""
    problem = Problem([(1, 3), (1, 1)], blank, **conf)
    found = problem.lattice(problem.encoder_out)
    logp = found.logits.log_softmax(-1)[:, 0]
    for row, U in enumerate((3, 1)):
        expected = sum(logp[row, u, problem.labels[row, u]] for u in range(U)) + logp[row, U, blank]
        torch.testing.assert_close(found.cost[row], -expected)


@pytest.mark.parametrize("sizes", [[(2, 7)], [(3, 8), (5, 2)]])
@pytest.mark.parametrize("blank", [0, 2])
def test_fewer_frames_than_symbols(sizes, blank):
    """A range of two would leave no alignment; the raised one leaves some of those of the full loss."""
    pruned, full = Problem(sizes, blank, prune_range=2), Problem(sizes, blank, loss="full")
    full.joint.load_state_dict(pruned.joint.state_dict())
    full.encoder_out, full.prediction, full.labels = pruned.encoder_out, pruned.prediction, pruned.labels
    found, all_paths = pruned.lattice(pruned.encoder_out), full.lattice(full.encoder_out)
    assert found.logits.shape[2] > 2
    assert (found.cost < 1e4).all() and (found.cost >= all_paths.cost - 1e-4).all()


@pytest.mark.parametrize("conf", LOSSES)
@pytest.mark.parametrize("form", FORMS)
def test_blank_may_be_any_symbol(conf, form):
    """The vocabulary turned round: same costs, same divergence."""
    costs = []
    for blank in range(V):
        problem = Problem([(5, 3), (3, 2), (2, 4)], blank, **conf)
        with torch.no_grad():
            for layer in (problem.joint.lin_out, *problem.criterion.children()):
                layer.weight.copy_(layer.weight.roll(blank, 0))
                layer.bias.copy_(layer.bias.roll(blank))
        found = problem.lattice(problem.encoder_out)
        costs.append([found.cost, problem.divergence(form)])
        assert (problem.labels == blank)[0].sum() == problem.labels.shape[1] - 3
    for cost, divergence in costs[1:]:
        torch.testing.assert_close(cost, costs[0][0], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(divergence, costs[0][1], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("conf", LOSSES)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("sizes", [[(1, 0)], [(1, 3), (6, 0), (2, 7)], [(9, 4), (5, 2)]])
def test_autocast_keeps_losses_in_float32(conf, form, sizes):
    """The joiner runs in bfloat16; costs are float32, near those without autocast, and gradients are finite."""
    exact, rounded = Problem(sizes, **conf), Problem(sizes, **conf)
    values = []
    for problem, enabled in ((exact, False), (rounded, True)):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            found = problem.lattice(problem.encoder_out)
            assert found.logits.dtype == (torch.bfloat16 if enabled else torch.float32)
            values.append([found.cost, problem.divergence(form)])
        sum(x.sum() for x in values[-1]).backward()
        gradients = [problem.encoder_out.grad, problem.other.grad]
        gradients += [p.grad for p in problem.joint.parameters()]
        assert all(g.dtype == torch.float32 and g.isfinite().all() for g in gradients)
    for a, b in zip(*values):
        assert a.dtype == b.dtype == torch.float32
        torch.testing.assert_close(b, a, atol=0.3, rtol=0.05)


@pytest.mark.parametrize("delay_penalty", [0.0, 0.3])
def test_pruned_loss_equals_torchaudios_two_symbol_form(delay_penalty):
    """torchaudio's kernel on a lattice of two symbols, blank and next, with the cut cells as good as forbidden."""
    problem = Problem([(9, 6), (9, 2), (7, 4)], prune_range=3, delay_penalty=delay_penalty)
    found = problem.lattice(problem.encoder_out)
    logits = found.logits.detach().requires_grad_()
    B, T, _ = found.ranges.shape
    W = problem.labels.shape[1] + 1
    following = torch.nn.functional.pad(problem.labels, (0, 1)).unsqueeze(1).expand(B, T, W).gather(2, found.ranges)
    logp = logits.log_softmax(-1)
    middle = (problem.T_lens.view(-1, 1, 1) - 1) / 2
    hurry = delay_penalty * (middle - torch.arange(T).view(1, -1, 1))
    pair = torch.stack([logp[..., 0], logp.gather(3, following.unsqueeze(3)).squeeze(3) + hurry], -1)
    index = found.ranges.unsqueeze(3).expand(-1, -1, -1, 2)
    scores = torch.full((B, T, W, 2), -1e4).scatter(2, index, pair)
    lens = problem.T_lens.int(), problem.U_lens.int()
    ones = torch.ones(B, W - 1).int()
    theirs = torchaudio.functional.rnnt_loss(scores, ones, *lens, blank=0, reduction="none", fused_log_softmax=False)
    torch.testing.assert_close(found.cost, theirs, atol=1e-4, rtol=1e-4)
    (expected,) = torch.autograd.grad(theirs.sum(), logits)
    (gradient,) = torch.autograd.grad(found.cost.sum(), found.logits)
    torch.testing.assert_close(gradient, expected, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("delay_penalty", [0.0, 0.4])
def test_early_emission_of_pruned_and_full_loss_is_the_same(delay_penalty):
    conf = dict(fast_emit=0.5, delay_penalty=delay_penalty)
    sizes = [(7, 3), (4, 2), (5, 0)]
    pruned, full = Problem(sizes, prune_range=99, **conf), Problem(sizes, loss="full", **conf)
    full.joint.load_state_dict(pruned.joint.state_dict())
    costs, gradients = [], []
    for problem in (pruned, full):
        problem.prediction, problem.labels = pruned.prediction, pruned.labels
        found = problem.lattice(pruned.encoder_out)
        costs.append(found.cost)
        gradients.append(torch.autograd.grad(found.cost.sum(), pruned.encoder_out)[0])
    torch.testing.assert_close(*costs, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(*gradients, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("loss", ["full", "pruned"])
def test_early_emission_is_off_by_default_and_each_key_does_its_part(loss):
    sizes = [(8, 3)]
    plain, fast, delayed = (
        Problem(sizes, loss=loss, **conf) for conf in ({}, dict(fast_emit=0.5), dict(delay_penalty=0.4))
    )
    values = []
    for problem in (plain, fast, delayed):
        found = problem.lattice(problem.encoder_out)
        cost = found.cost + (found.simple_cost if loss == "pruned" else 0)
        values.append((cost.item(), torch.autograd.grad(cost.sum(), problem.encoder_out)[0]))
    assert values[0][0] == pytest.approx(values[1][0], rel=1e-5)
    assert not math.isclose(values[0][0], values[2][0], rel_tol=1e-3)
    for _, gradient in values[1:]:
        assert (gradient - values[0][1]).abs().max() > 1e-3
