import pytest
import torch
from espnet2.asr.decoder.transducer_decoder import TransducerDecoder
from espnet2.asr_transducer.joint_network import JointNetwork
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet_plugin.errors import UserError
from espnet_plugin.transducer.distill import DistillConf, alpha_divergence, three_way
from espnet_plugin.transducer.loss import Lattice, TransducerConf, TransducerCriterion, distillation_cost
from espnet_plugin.transducer.prediction import StatelessDecoder

V, D = 7, 12
SIZES = st.lists(st.tuples(st.integers(1, 8), st.integers(0, 9)), min_size=1, max_size=4)


def networks(kind="stateless", blank=0):
    torch.manual_seed(0)
    if kind == "stateless":
        decoder = StatelessDecoder(V, D, embed_dim=8, blank_id=blank)
    else:
        decoder = TransducerDecoder(V, rnn_type=kind, hidden_size=8, embed_pad=blank)
    joint = JointNetwork(V, D, decoder.dunits, 10)
    torch.nn.init.normal_(joint.lin_out.weight)
    return decoder.eval(), joint.eval()


def criterion(blank=0, **conf):
    torch.manual_seed(1)
    return TransducerCriterion(TransducerConf(**conf), D, 8, V, blank)


def batch(seed, sizes, blank=0, padding=-1):
    generator = torch.Generator().manual_seed(seed)
    T_lens, U_lens = (torch.tensor(lens) for lens in zip(*sizes))
    encoder_out = torch.randn(len(sizes), int(T_lens.max()), D, generator=generator)
    labels = torch.randint(0, V - 1, (len(sizes), int(U_lens.max())), generator=generator)
    labels = labels + (labels >= blank)  # every symbol but blank
    labels = torch.where(torch.arange(labels.shape[1]) < U_lens.unsqueeze(1), labels, padding)
    return encoder_out, T_lens, labels, U_lens


def lattice_of(loss, data, decoder, joint, ranges=None) -> Lattice:
    encoder_out, T_lens, labels, U_lens = data
    return loss(encoder_out, T_lens, loss.targets(labels, U_lens, decoder, joint), joint, ranges)


@pytest.mark.parametrize("kind", ["stateless", "lstm"])
@pytest.mark.parametrize("blank", [0, V - 1])
@given(sizes=SIZES, seed=st.integers(0, 999))
@settings(deadline=None, max_examples=20)
def test_pruning_to_all_symbols_is_the_full_loss(kind, blank, sizes, seed):
    decoder, joint = networks(kind, blank)
    data = batch(seed, sizes, blank)
    full = lattice_of(criterion(blank, loss="full"), data, decoder, joint)
    pruned = lattice_of(criterion(blank, prune_range=99), data, decoder, joint)
    torch.testing.assert_close(pruned.cost, full.cost, atol=1e-3, rtol=1e-4)
    assert torch.equal(pruned.mask, full.mask) and full.simple_cost is None and full.ranges is None
    torch.testing.assert_close(pruned.logits, full.logits)
    assert full.mask.sum((1, 2)).tolist() == [T * (U + 1) for T, U in sizes]
    gradients = [torch.autograd.grad(x.cost.sum(), list(joint.parameters())) for x in (full, pruned)]
    for a, b in zip(*gradients):
        torch.testing.assert_close(b, a, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("conf", [dict(loss="full"), dict(prune_range=3, am_scale=0.1), dict(prune_range=99)])
def test_label_padding_does_not_matter(conf):
    decoder, joint = networks()
    sizes = [(8, 6), (5, 2), (7, 0)]
    ours, *others = (lattice_of(criterion(**conf), batch(3, sizes, padding=x), decoder, joint) for x in (-1, 0, 32768))
    for other in others:
        assert torch.equal(ours.cost, other.cost) and torch.equal(ours.mask, other.mask)


@pytest.mark.parametrize("loss", ["full", "pruned"])
def test_an_utterance_does_not_depend_on_its_batch(loss):
    decoder, joint = networks()
    sizes = [(8, 6), (5, 2), (7, 0), (1, 1)]
    data, module = batch(5, sizes), criterion(loss=loss, prune_range=99)
    together = lattice_of(module, data, decoder, joint)
    for row, (T, U) in enumerate(sizes):
        alone = data[0][row : row + 1, :T], data[1][row : row + 1], data[2][row : row + 1, :U], data[3][row : row + 1]
        found = lattice_of(module, alone, decoder, joint)
        torch.testing.assert_close(found.cost[0], together.cost[row], atol=1e-4, rtol=1e-4)
        if loss == "pruned":
            torch.testing.assert_close(found.simple_cost[0], together.simple_cost[row], atol=1e-4, rtol=1e-4)


def test_ranges_of_a_teacher_are_kept_and_no_simple_loss_is_computed():
    decoder, joint = networks()
    data, module = batch(2, [(9, 7), (6, 3)]), criterion(prune_range=3)
    teacher = lattice_of(module, data, decoder, joint)
    student = lattice_of(module, (data[0].flip(2), *data[1:]), decoder, joint, teacher.ranges)
    assert student.ranges is teacher.ranges and student.simple_cost is None
    assert torch.equal(student.mask, teacher.mask) and teacher.logits.shape == (2, 9, 3, V)
    same = lattice_of(module, data, decoder, joint, teacher.ranges)
    assert torch.equal(same.cost, teacher.cost) and not torch.allclose(student.cost, teacher.cost)


def test_the_simple_loss_trains_its_projections_and_the_encoder_only():
    decoder, joint = networks()
    encoder_out, *rest = batch(2, [(9, 7), (6, 3)])
    encoder_out.requires_grad_()
    module = criterion(prune_range=3)
    found = lattice_of(module, (encoder_out, *rest), decoder, joint)
    found.simple_cost.sum().backward()
    assert encoder_out.grad.abs().sum() > 0 and module.simple_am.weight.grad.abs().sum() > 0
    assert module.simple_lm.weight.grad.abs().sum() > 0 and decoder.embed.weight.grad.abs().sum() > 0
    assert all(weight.grad is None for weight in joint.parameters())


def test_weights_of_warm_up():
    conf = TransducerConf(simple_weight=0.5, warmup_steps=100)
    expected = {0: (1.0, 0.1), 50: (0.75, 0.55), 100: (0.5, 1.0), 5000: (0.5, 1.0)}
    for step, weights in expected.items():
        assert conf.weights(step) == pytest.approx(weights)
    assert TransducerConf(simple_weight=0.5, warmup_steps=0).weights(0) == pytest.approx((0.5, 1.0))
    assert TransducerConf(loss="full").weights(0) == (0.0, 1.0)


def plain(logits, mask, ranges=None):
    return Lattice(torch.zeros(len(logits)), None, logits, mask, ranges)


def test_distillation_by_hand():
    """Two of the four cells are inside; each contributes alpha = -1's (sum q^2 / p - 1) / 2 = 0.125; means over them are summed."""
    p, q = torch.tensor([0.5, 0.5]).log(), torch.tensor([0.25, 0.75]).log()
    mask = torch.tensor([[[True, False], [True, False]]])
    teacher, student = (plain(x.expand(1, 2, 2, 2), mask) for x in (p, q))
    conf = DistillConf(alpha=-1.0, clip=1e30)
    found = distillation_cost(teacher, student, torch.tensor([[1]]), conf, 0)
    assert found.tolist() == pytest.approx([2 * 0.125])


@pytest.mark.parametrize("form", ["full_vocabulary", "three_way"])
@pytest.mark.parametrize("loss", ["full", "pruned"])
@pytest.mark.parametrize("blank", [0, V - 1])
def test_distillation_cell_by_cell(form, loss, blank):
    decoder, joint = networks(blank=blank)
    sizes = [(8, 6), (5, 2), (7, 0), (2, 6)]
    data, module = batch(4, sizes, blank), criterion(blank, loss=loss, prune_range=3)
    teacher = lattice_of(module, data, decoder, joint)
    student = lattice_of(module, (data[0].flip(2), *data[1:]), decoder, joint, teacher.ranges)
    conf = DistillConf(form=form)
    labels = module.targets(data[2], data[3], decoder, joint).labels
    found = distillation_cost(teacher, student, labels, conf, blank)
    for row, (T, U) in enumerate(sizes):
        total = 0.0
        real = min(U + 1, student.mask.shape[2])  # cells of a frame inside the utterance
        for t in range(T):
            for r in range(student.mask.shape[2]):
                u = r if student.ranges is None else int(student.ranges[row, t, r])
                if u > U:
                    continue
                cell = [x.logits[row, t, r] for x in (teacher, student)]
                if form == "three_way":
                    following = data[2][row, u] if u < U else torch.tensor(blank)
                    cell = [three_way(x, following, blank) for x in cell]
                total += float(alpha_divergence(*cell))
        assert float(found[row]) == pytest.approx(total / real, rel=1e-3)
        assert total > 0


@pytest.mark.parametrize("form", ["full_vocabulary", "three_way"])
def test_padding_gets_neither_cost_nor_gradient_and_the_teacher_no_gradient(form):
    torch.manual_seed(0)
    mask = torch.rand(2, 5, 4) < 0.6
    labels = torch.randint(1, V, (2, 3))
    ours, theirs = (torch.randn(2, 5, 4, V, requires_grad=True) for _ in range(2))
    conf = DistillConf(form=form)
    cost = distillation_cost(plain(theirs, mask), plain(ours, mask), labels, conf, 0)
    cost.sum().backward()
    assert theirs.grad is None and (ours.grad[~mask] == 0).all() and (ours.grad[mask].abs().sum(-1) > 0).all()
    loud = torch.where(mask.unsqueeze(-1), ours.detach(), 1e4 * torch.randn_like(ours))
    assert torch.equal(cost, distillation_cost(plain(theirs, mask), plain(loud, mask), labels, conf, 0))
    assert distillation_cost(plain(ours, mask), plain(ours, mask), labels, conf, 0).tolist() == pytest.approx([0, 0])


@pytest.mark.parametrize(
    "conf",
    [
        dict(loss="half"),
        dict(prune_range=1),
        dict(rnnt_type="constrained"),
        dict(backend="cuda"),
        dict(fast_emit=-0.1),
        dict(delay_penalty=-1),
        dict(max_lattice_mb=0),
    ],
)
def test_wrong_values_are_refused(conf):
    with pytest.raises(UserError, match=f"transducer_conf.{next(iter(conf))}: '?{next(iter(conf.values()))}"):
        criterion(**conf)


@pytest.mark.parametrize("form", ["full_vocabulary", "three_way"])
@pytest.mark.parametrize("loss", ["full", "pruned"])
@given(frames=st.integers(1, 8), symbols=st.integers(0, 6), longer=st.integers(0, 6), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=15)
def test_divergence_of_an_utterance_does_not_depend_on_its_batch(form, loss, frames, symbols, longer, seed):
    decoder, joint = networks()
    module = criterion(loss=loss, prune_range=3)

    def divergence(first):
        whole = batch(seed, [(12, symbols + longer), (frames, symbols)])
        encoder_out, T_lens, labels, U_lens = (x[first:] for x in whole)
        data = encoder_out[:, : T_lens.max()], T_lens, labels[:, : U_lens.max()], U_lens
        teacher = lattice_of(module, data, decoder, joint)
        student = lattice_of(module, (data[0].flip(2), *data[1:]), decoder, joint, teacher.ranges)
        labels = module.targets(data[2], data[3], decoder, joint).labels
        return distillation_cost(teacher, student, labels, DistillConf(form=form), 0)

    torch.testing.assert_close(divergence(0)[1:], divergence(1), atol=1e-5, rtol=1e-4)


@given(frames=st.integers(1, 9), stride=st.integers(1, 4), form=st.sampled_from(["full_vocabulary", "three_way"]))
@settings(deadline=None, max_examples=20)
def test_divergence_of_every_kth_frame_is_right_on_average(frames, stride, form):
    torch.manual_seed(frames)
    mask, labels = torch.rand(2, frames, 4) < 0.7, torch.randint(1, V, (2, 3))
    pair = [plain(torch.randn(2, frames, 4, V), mask) for _ in range(2)]
    whole = distillation_cost(*pair, labels, DistillConf(form=form), 0)
    parts = [
        distillation_cost(*pair, labels, DistillConf(form=form), 0, slice(first, None, stride))
        for first in range(stride)
    ]
    torch.testing.assert_close(sum(parts) / stride, whole)
