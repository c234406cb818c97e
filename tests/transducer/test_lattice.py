import math
from itertools import combinations

import pytest
import torch
import torchaudio
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet_plugin.transducer import lattice as lattice_module
from espnet_plugin.transducer.lattice import (
    FORBIDDEN,
    EarlyEmission,
    arc_scores,
    frame_by_frame,
    lattice,
    rnnt_loss,
    skew,
    unskew,
)


def all_paths(T, U):
    """Every alignment as its arcs: emissions stand anywhere among T + U - 1 arcs, the last arc is a blank."""
    for emissions in combinations(range(T + U - 1), U):
        t = u = 0
        arcs = []
        for i in range(T + U - 1):
            arcs.append(("emit" if i in emissions else "blank", t, u))
            t, u = (t, u + 1) if i in emissions else (t + 1, u)
        yield [*arcs, ("blank", t, u)]


def brute_force(blank, emit, paths):
    """Cost and occupations by enumerating alignments; blank (T, U + 1), emit (T, U)."""
    tables = {"blank": blank.double(), "emit": emit.double()}
    paths = list(paths)
    scores = torch.stack([sum(tables[kind][t, u] for kind, t, u in path) for path in paths])
    cost = -scores.logsumexp(0)
    occupations = {kind: torch.zeros_like(table) for kind, table in tables.items()}
    for path, share in zip(paths, scores.softmax(0)):
        for kind, t, u in path:
            occupations[kind][t, u] += share
    return cost, occupations["blank"], occupations["emit"]


def test_two_by_two_by_hand():
    """T = 2, U = 1: emit at frame 0 or at frame 1."""
    blank = torch.tensor([[0.5, 0.6], [0.1, 0.7]]).log()
    emit = torch.tensor([[0.2], [0.3]]).log()
    cost, on_blank, on_emit = lattice(blank[None], emit[None], torch.tensor([2]), torch.tensor([1]))
    first, second = 0.2 * 0.6 * 0.7, 0.5 * 0.3 * 0.7
    assert cost.item() == pytest.approx(-math.log(first + second))
    share = first / (first + second)
    torch.testing.assert_close(on_emit[0, :, 0], torch.tensor([share, 1 - share]))
    torch.testing.assert_close(on_blank[0], torch.tensor([[1 - share, share], [0.0, 1.0]]))


def test_three_by_two_by_hand():
    """T = 3, U = 1, all arcs 1/2: three alignments of four arcs."""
    half = math.log(0.5)
    cost, _, on_emit = lattice(
        torch.full((1, 3, 2), half), torch.full((1, 3, 1), half), torch.tensor([3]), torch.tensor([1])
    )
    assert cost.item() == pytest.approx(-math.log(3 * 0.5**4))
    torch.testing.assert_close(on_emit[0, :, 0], torch.full((3,), 1 / 3))


def test_skew_round_trips():
    x = torch.randn(2, 5, 3)
    skewed = skew(x)
    assert skewed.shape == (2, 7, 3)
    assert skewed[0, 3, 1] == x[0, 2, 1] and skewed[0, 0, 1] == FORBIDDEN
    assert torch.equal(unskew(skewed, 5), x)


@given(st.integers(1, 5), st.integers(0, 4), st.integers(0, 999), st.floats(0.1, 20))
@settings(deadline=None, max_examples=60)
def test_equals_enumeration_of_all_alignments(T, U, seed, spread):
    generator = torch.Generator().manual_seed(seed)
    blank = torch.randn(T, U + 1, generator=generator, dtype=torch.float64) * spread
    emit = torch.randn(T, U, generator=generator, dtype=torch.float64) * spread
    expected = brute_force(blank, emit, all_paths(T, U))
    found = lattice(blank[None], emit[None], torch.tensor([T]), torch.tensor([U]))
    for a, b in zip(found, expected):
        torch.testing.assert_close(a[0], b, atol=1e-9, rtol=1e-9)


@given(st.lists(st.tuples(st.integers(1, 6), st.integers(0, 5)), min_size=1, max_size=4), st.integers(0, 999))
@settings(deadline=None, max_examples=40)
def test_an_utterance_does_not_depend_on_its_batch(sizes, seed):
    generator = torch.Generator().manual_seed(seed)
    T_lens, U_lens = (torch.tensor(lens) for lens in zip(*sizes))
    T, U = int(T_lens.max()), int(U_lens.max())
    blank = torch.full((len(sizes), T, U + 1), float("nan"))
    emit = torch.full((len(sizes), T, U), float("inf"))
    parts = []
    for row, (t, u) in enumerate(sizes):
        parts.append((torch.randn(t, u + 1, generator=generator), torch.randn(t, u, generator=generator)))
        blank[row, :t, : u + 1], emit[row, :t, :u] = parts[-1]
    blank.requires_grad_()
    cost, on_blank, on_emit = lattice(blank, emit, T_lens, U_lens)
    cost.sum().backward()
    assert blank.grad.isfinite().all()
    for row, (t, u) in enumerate(sizes):
        alone = lattice(parts[row][0][None], parts[row][1][None], T_lens[row : row + 1], U_lens[row : row + 1])
        torch.testing.assert_close(cost[row], alone[0][0])
        torch.testing.assert_close(on_blank[row, :t, : u + 1], alone[1][0])
        torch.testing.assert_close(on_emit[row, :t, :u], alone[2][0])
        assert on_blank[row].sum() == pytest.approx(t, rel=1e-5) and on_emit[row].sum() == pytest.approx(u, rel=1e-5)


def test_gradcheck():
    torch.manual_seed(0)
    blank = torch.randn(2, 4, 3, dtype=torch.float64, requires_grad=True)
    emit = torch.randn(2, 4, 2, dtype=torch.float64, requires_grad=True)
    lens = torch.tensor([4, 3]), torch.tensor([2, 1])
    assert torch.autograd.gradcheck(lambda b, e: lattice(b, e, *lens)[0], (blank, emit))


@pytest.mark.parametrize("blank_id", [0, 3])
@pytest.mark.parametrize("seed", range(3))
def test_equals_torchaudio_on_random_batches(seed, blank_id):
    torch.manual_seed(seed)
    B, T, U, V = 4, 9, 5, 7
    T_lens, U_lens = torch.tensor([9, 5, 1, 7]), torch.tensor([5, 3, 2, 0])
    logits = torch.randn(B, T, U + 1, V, requires_grad=True)
    targets = torch.randint(1, V, (B, U)).where(torch.tensor(blank_id == 0), torch.randint(0, 3, (B, U)))
    padded = torch.where(torch.arange(U) < U_lens.unsqueeze(1), targets, -1)
    full = rnnt_loss(logits, padded, T_lens, U_lens, blank_id)
    logp = logits.log_softmax(-1)
    emit = logp[:, :, :U].gather(3, targets[:, None, :, None].expand(-1, T, -1, 1)).squeeze(3)
    ours = lattice(logp[..., blank_id], emit, T_lens, U_lens)[0]
    torch.testing.assert_close(ours, full, atol=1e-4, rtol=1e-4)
    gradients = [torch.autograd.grad(cost.sum(), logits, retain_graph=True)[0] for cost in (ours, full)]
    torch.testing.assert_close(*gradients, atol=1e-4, rtol=1e-3)


def test_equals_torchaudios_two_symbol_form():
    """The same programme on scores that are not normalised, by torchaudio's kernel."""
    torch.manual_seed(0)
    T_lens, U_lens = torch.tensor([6, 4]), torch.tensor([3, 2])
    blank, emit = torch.randn(2, 6, 4), torch.randn(2, 6, 3)
    scores = torch.stack([blank, torch.nn.functional.pad(emit, (0, 1))], -1)
    theirs = torchaudio.functional.rnnt_loss(
        scores, torch.ones(2, 3).int(), T_lens.int(), U_lens.int(), blank=0, reduction="none", fused_log_softmax=False
    )
    torch.testing.assert_close(lattice(blank, emit, T_lens, U_lens)[0], theirs, atol=1e-4, rtol=1e-4)


def test_batch_without_any_symbol():
    logits = torch.randn(2, 3, 1, 4)
    cost = rnnt_loss(logits, torch.zeros(2, 0, dtype=torch.long), torch.tensor([3, 2]), torch.tensor([0, 0]))
    expected = -logits.log_softmax(-1)[:, :, 0, 0]
    torch.testing.assert_close(cost, torch.stack([expected[0].sum(), expected[1, :2].sum()]))


@pytest.mark.parametrize("blank", [0, 2])
def test_arc_scores_are_log_probabilities(blank, monkeypatch):
    """Also when the cells are worked through in several blocks, and when blank itself is the symbol."""
    monkeypatch.setitem(lattice_module.CACHED, "cpu", 12)  # two cells a block
    torch.manual_seed(0)
    logits = torch.randn(3, 5, 6, dtype=torch.float64, requires_grad=True)
    symbols = torch.randint(0, 6, (3, 5))
    on_blank, on_symbol = arc_scores(logits, symbols, blank)
    logp = logits.log_softmax(-1)
    torch.testing.assert_close(on_blank, logp[..., blank])
    torch.testing.assert_close(on_symbol, logp.gather(2, symbols.unsqueeze(2)).squeeze(2))
    assert torch.autograd.gradcheck(lambda x: arc_scores(x, symbols, blank), (logits,))


def test_arc_scores_of_bfloat16_are_float32():
    logits = (100 * torch.randn(7, 9)).bfloat16().requires_grad_()
    symbols = torch.randint(0, 9, (7,))
    on_blank, on_symbol = arc_scores(logits, symbols)
    (on_blank - 2 * on_symbol).sum().backward()
    exact = logits.detach().float().requires_grad_()
    expected = arc_scores(exact, symbols)
    (expected[0] - 2 * expected[1]).sum().backward()
    assert torch.equal(on_blank, expected[0]) and torch.equal(on_symbol, expected[1])
    torch.testing.assert_close(logits.grad, exact.grad.bfloat16())


def test_full_loss_of_float64_keeps_its_precision():
    torch.manual_seed(0)
    T_lens, U_lens = torch.tensor([4, 3, 1]), torch.tensor([2, 0, 1])
    logits = torch.randn(3, 4, 3, 5, dtype=torch.float64, requires_grad=True)
    targets = torch.tensor([[1, 4], [-1, -1], [2, 99]])
    loss = rnnt_loss(logits, targets, T_lens, U_lens)
    torch.testing.assert_close(loss.float(), rnnt_loss(logits.float(), targets, T_lens, U_lens))
    assert torch.autograd.gradcheck(lambda x: rnnt_loss(x, targets, T_lens, U_lens), (logits,))


@given(st.integers(1, 5), st.integers(0, 4), st.floats(-1, 1), st.integers(0, 999))
@settings(deadline=None, max_examples=30)
def test_delay_penalty_weighs_alignments_by_their_frames(T, U, penalty, seed):
    generator = torch.Generator().manual_seed(seed)
    blank, emit = (torch.randn(T, W, generator=generator, dtype=torch.float64) for W in (U + 1, U))
    scores = []
    for path in all_paths(T, U):
        score = sum({"blank": blank, "emit": emit}[kind][t, u] for kind, t, u in path)
        scores.append(score + penalty * sum((T - 1) / 2 - t for kind, t, _ in path if kind == "emit"))
    # Longer batch mates must not move the middle of the utterance.
    padded = [torch.nn.functional.pad(x, (0, 1, 0, 2))[None] for x in (blank, emit)]
    early = EarlyEmission(delay_penalty=penalty)
    found = lattice(*padded, torch.tensor([T]), torch.tensor([U]), early)[0]
    torch.testing.assert_close(found[0], -torch.stack(scores).logsumexp(0))


def test_fast_emit_strengthens_the_gradients_of_emit_arcs_alone():
    torch.manual_seed(0)
    blank, emit = torch.randn(1, 4, 3, requires_grad=True), torch.randn(1, 4, 2, requires_grad=True)
    lens = torch.tensor([4]), torch.tensor([2])
    plain, fast = lattice(blank, emit, *lens)[0], lattice(blank, emit, *lens, EarlyEmission(fast_emit=0.25))[0]
    assert torch.equal(plain, fast)
    on_blank, on_emit = torch.autograd.grad(plain, (blank, emit))
    fast_blank, fast_emit = torch.autograd.grad(fast, (blank, emit))
    torch.testing.assert_close(fast_blank, on_blank)
    torch.testing.assert_close(fast_emit, 1.25 * on_emit)


def test_early_emission_of_the_full_loss():
    """A penalty makes the cost grow where the symbols are late, and shrink where they are early."""
    late = torch.zeros(1, 6, 3, 4)
    late[:, :4, :, 0] = 9.0  # blanks first
    lens = torch.tensor([6]), torch.tensor([2])
    targets, early = torch.tensor([[1, 2]]), EarlyEmission(delay_penalty=0.5)
    assert rnnt_loss(late, targets, *lens, early=early) > rnnt_loss(late, targets, *lens)
    assert rnnt_loss(late.flip(1), targets, *lens, early=early) < rnnt_loss(late.flip(1), targets, *lens)


def modified_paths(T, U):
    """Every alignment with one arc a frame: emissions stand at any U of the T frames."""
    for emissions in combinations(range(T), U):
        yield [("emit" if t in emissions else "blank", t, sum(e < t for e in emissions)) for t in range(T)]


@given(st.integers(1, 6), st.integers(0, 6), st.integers(0, 999))
@settings(deadline=None, max_examples=40)
def test_modified_lattice_against_brute_force(T, U, seed):
    generator = torch.Generator().manual_seed(seed)
    blank, emit = (torch.randn(T, W, generator=generator) for W in (U + 1, U))
    padded = [torch.nn.functional.pad(x, (0, 1, 0, 2), value=3.0)[None].requires_grad_() for x in (blank, emit)]
    cost, on_blank, on_emit = lattice(*padded, torch.tensor([T]), torch.tensor([U]), recursion=frame_by_frame)
    gradients = torch.autograd.grad(cost.sum(), padded)
    if U > T:
        assert cost.item() == 0 and all((g == 0).all() for g in gradients)
        return
    expected = brute_force(blank, emit, modified_paths(T, U))
    torch.testing.assert_close(cost[0].double(), expected[0])
    for found, gradient, wanted in zip((on_blank, on_emit), gradients, expected[1:]):
        torch.testing.assert_close(found[0, :T, : wanted.shape[1]].double(), wanted, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(gradient, -found)
        assert found.sum() == pytest.approx(wanted.sum().item(), abs=1e-4)


def test_modified_full_loss_by_hand():
    """T = 2, U = 1, V = 2, all symbols 1/2: two alignments of two arcs; a second symbol leaves one, a third none."""
    logits, T_lens = torch.zeros(3, 2, 4, 2), torch.tensor([2, 2, 2])
    found = rnnt_loss(
        logits,
        torch.ones(3, 3, dtype=torch.long),
        T_lens,
        torch.tensor([1, 2, 3]),
        recursion=frame_by_frame,
        by_torchaudio=False,
    )
    torch.testing.assert_close(found, torch.tensor([-math.log(2 / 4), -math.log(1 / 4), 0.0]))
