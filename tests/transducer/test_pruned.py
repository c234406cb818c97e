import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet_plugin.transducer.lattice import antidiagonals, frame_by_frame, lattice, rnnt_loss
from espnet_plugin.transducer.pruned import cell_mask, gather_pruned, prune_ranges, pruned_rnnt_loss, simple_loss


def problem(seed, sizes, V=6):
    generator = torch.Generator().manual_seed(seed)
    T_lens, U_lens = (torch.tensor(lens) for lens in zip(*sizes))
    B, T, U = len(sizes), int(T_lens.max()), int(U_lens.max())
    am = torch.randn(B, T, V, generator=generator)
    lm = torch.randn(B, U + 1, V, generator=generator)
    targets = torch.randint(1, V, (B, U), generator=generator)
    return am, lm, torch.where(torch.arange(U) < U_lens.unsqueeze(1), targets, -1), T_lens, U_lens


SIZES = st.lists(st.tuples(st.integers(1, 9), st.integers(0, 12)), min_size=1, max_size=4)


@given(SIZES, st.integers(0, 999), st.sampled_from([(0.0, 0.0), (0.25, 0.0), (0.0, 0.2), (0.3, 0.1)]))
@settings(deadline=None, max_examples=40)
def test_simple_loss_equals_the_explicit_lattice(sizes, seed, scales):
    am, lm, targets, T_lens, U_lens = problem(seed, sizes)
    lm_scale, am_scale = scales
    U = targets.shape[1]
    both = (am.unsqueeze(2) + lm.unsqueeze(1)).log_softmax(-1)
    average = lm.softmax(-1).mean((0, 1)).log()
    only_lm = lm.log_softmax(-1).unsqueeze(1).expand_as(both)
    only_am = (am + average).log_softmax(-1).unsqueeze(2).expand_as(both)
    index = targets.clamp(min=0)[:, None, :, None].expand(-1, am.shape[1], -1, 1)

    def mix(pick):
        return (1 - lm_scale - am_scale) * pick(both) + lm_scale * pick(only_lm) + am_scale * pick(only_am)

    blank_arcs = mix(lambda x: x[..., 0])
    emit_arcs = mix(lambda x: x[:, :, :U].gather(3, index).squeeze(3))
    expected = lattice(blank_arcs, emit_arcs, T_lens, U_lens)
    found = simple_loss(am, lm, targets, T_lens, U_lens, lm_scale=lm_scale, am_scale=am_scale)
    torch.testing.assert_close(found.cost, expected[0], atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(found.occupation_blank, expected[1], atol=1e-4, rtol=1e-3)


@given(st.floats(60, 1e4), st.sampled_from([(0.0, 0.0), (0.25, 0.0), (0.0, 0.4)]))
@settings(deadline=None, max_examples=20)
def test_simple_loss_is_finite_where_encoder_and_predictor_disagree(peak, scales):
    am, lm, targets, T_lens, U_lens = problem(0, [(400, 5), (100, 2)])
    am[..., 0] += peak
    lm[..., 1] += peak
    am.requires_grad_()
    lm.requires_grad_()
    found = simple_loss(am, lm, targets, T_lens, U_lens, lm_scale=scales[0], am_scale=scales[1])
    found.cost.sum().backward()
    assert found.cost.isfinite().all() and am.grad.isfinite().all() and lm.grad.isfinite().all()


@given(SIZES, st.integers(0, 999), st.integers(2, 6), st.booleans())
@settings(deadline=None, max_examples=120)
def test_ranges_can_be_walked_from_start_to_end(sizes, seed, s_range, modified):
    recursion = frame_by_frame if modified else antidiagonals
    am, lm, targets, T_lens, U_lens = problem(seed, sizes)
    simple = simple_loss(8 * am, lm, targets, T_lens, U_lens, recursion=recursion)
    ranges = prune_ranges(simple.occupation_blank, simple.occupation_emit, T_lens, U_lens, s_range, modified)
    R = ranges.shape[2]
    assert targets.shape[1] + 1 >= R
    assert (ranges[:, 0, 0] == 0).all()
    steps = ranges[:, 1:, 0] - ranges[:, :-1, 0]
    assert (steps >= 0).all() and (steps <= (1 if modified else R - 1)).all()
    assert (ranges.diff(dim=2) == 1).all() and ranges.max() <= targets.shape[1]
    logits = torch.randn(*ranges.shape, 6)
    cost = pruned_rnnt_loss(logits, ranges, targets, T_lens, U_lens, recursion=recursion)
    assert (cost < 1e5).all() and ((cost > 0) | (T_lens < U_lens)).all()
    for row, (T, U) in enumerate(sizes):
        assert U in ranges[row, T - 1] or (modified and U >= T)


@given(SIZES, st.integers(0, 999), st.booleans())
@settings(deadline=None, max_examples=60)
def test_a_range_of_all_symbols_gives_the_full_loss(sizes, seed, modified):
    recursion = frame_by_frame if modified else antidiagonals
    am, lm, targets, T_lens, U_lens = problem(seed, sizes)
    simple = simple_loss(am, lm, targets, T_lens, U_lens, recursion=recursion)
    ranges = prune_ranges(simple.occupation_blank, simple.occupation_emit, T_lens, U_lens, 99, modified)
    logits = torch.tanh(am.unsqueeze(2) + gather_pruned(lm, ranges))
    full = torch.tanh(am.unsqueeze(2) + lm.unsqueeze(1))
    pruned = pruned_rnnt_loss(logits, ranges, targets, T_lens, U_lens, recursion=recursion)
    expected = rnnt_loss(full, targets, T_lens, U_lens, recursion=recursion, by_torchaudio=not modified)
    torch.testing.assert_close(pruned, expected, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("blank", [0, 5])
def test_pruned_loss_is_the_full_loss_without_the_cut_cells(blank):
    """Cells outside the ranges are forbidden: the full lattice with their arcs removed has the same cost and gradients."""
    torch.manual_seed(1)
    am, lm, targets, T_lens, U_lens = problem(3, [(8, 6), (7, 3)])
    targets = targets if blank == 0 else (targets - 1).clamp(min=0)
    simple = simple_loss(am, lm, targets, T_lens, U_lens, blank)
    ranges = prune_ranges(simple.occupation_blank, simple.occupation_emit, T_lens, U_lens, 3)
    full = torch.randn(2, 8, 7, 6, requires_grad=True)
    logits = full.gather(2, ranges.unsqueeze(3).expand(-1, -1, -1, 6))
    kept = torch.zeros(2, 8, 7, dtype=torch.bool).scatter(2, ranges, True)
    logp = full.log_softmax(-1)
    emit = logp[:, :, :6].gather(3, targets.clamp(min=0)[:, None, :, None].expand(-1, 8, -1, 1)).squeeze(3)
    expected = lattice(
        torch.where(kept, logp[..., blank], -1e30), torch.where(kept[..., :6], emit, -1e30), T_lens, U_lens
    )[0]
    found = pruned_rnnt_loss(logits, ranges, targets, T_lens, U_lens, blank)
    torch.testing.assert_close(found, expected)
    gradients = [torch.autograd.grad(cost.sum(), full, retain_graph=True)[0] for cost in (found, expected)]
    torch.testing.assert_close(*gradients, atol=1e-5, rtol=1e-4)
    assert (found >= rnnt_loss(full, targets, T_lens, U_lens, blank) - 1e-4).all()


def test_ranges_by_hand():
    """Frame 0 stays at symbol 0, frame 1 at 1, the last frames at 2: windows of 2 follow."""
    occupation_blank = torch.zeros(1, 4, 4)
    for t, u in enumerate((0, 1, 2, 3)):
        occupation_blank[0, t, u] = 1.0
    occupation_emit = torch.zeros(1, 4, 3)
    for t, u in ((1, 0), (2, 1), (3, 2)):
        occupation_emit[0, t, u] = 1.0
    ranges = prune_ranges(occupation_blank, occupation_emit, torch.tensor([4]), torch.tensor([3]), 2)
    assert ranges[0].tolist() == [[0, 1], [0, 1], [1, 2], [2, 3]]
    mask = cell_mask(ranges, torch.tensor([3]), torch.tensor([2]))
    assert mask[0].tolist() == [[True, True], [True, True], [True, True], [False, False]]
    assert gather_pruned(torch.arange(4.0).view(1, 4, 1), ranges)[0, :, :, 0].tolist() == ranges[0].tolist()


def test_padding_of_targets_does_not_matter():
    am, lm, targets, T_lens, U_lens = problem(2, [(7, 5), (5, 2), (4, 0)])
    costs = []
    for padding in (-1, 0, 5, 6, 32768):  # the last two are no symbols
        padded = torch.where(targets < 0, padding, targets)
        simple = simple_loss(am, lm, padded, T_lens, U_lens, lm_scale=0.2, am_scale=0.1)
        ranges = prune_ranges(simple.occupation_blank, simple.occupation_emit, T_lens, U_lens, 3)
        logits = torch.tanh(am.unsqueeze(2) + gather_pruned(lm, ranges))
        costs.append(torch.stack([simple.cost, pruned_rnnt_loss(logits, ranges, padded, T_lens, U_lens)]))
    assert all(torch.equal(cost, costs[0]) for cost in costs)
