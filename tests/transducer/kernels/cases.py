"""Triton's kernels against the anti-diagonals, by hand and by brute force; run by test_triton_lattice.py, in a process of its own.

On a CPU they run in Triton's interpreter, with LATTICE_DEVICE=cuda as they are.
"""

import math
import os

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_lattice import all_paths, brute_force, modified_paths

from espnet_plugin.transducer.backend import recursion_of
from espnet_plugin.transducer.lattice import EarlyEmission, antidiagonals, frame_by_frame, lattice
from espnet_plugin.transducer.triton_lattice import INTERPRETED, triton_lattice

DEVICE = os.environ.get("LATTICE_DEVICE", "cpu")
SIZES = [
    [(7, 4), (5, 2), (6, 0)],
    [(1, 3), (2, 5), (4, 4)],
    [(1, 1)],
    [(1, 0), (1, 2)],
    [(4, 0), (2, 0)],
    [(2, 70), (4, 2)],  # more symbols than one warp has lanes
]


def problem(seed, sizes, padding=math.nan):
    """Scores that hold NaN beyond an utterance's end."""
    generator = torch.Generator().manual_seed(seed)
    T_lens, U_lens = (torch.tensor(lens) for lens in zip(*sizes))
    B, T, U = len(sizes), int(T_lens.max()), int(U_lens.max())
    blank, emit = (3 * torch.randn(B, T, W, generator=generator) for W in (U + 1, U))
    for i, (t, u) in enumerate(sizes):
        blank[i, t:], blank[i, :, u + 1 :], emit[i, t:], emit[i, :, u:] = (padding,) * 4
    return [x.to(DEVICE) for x in (blank, emit, T_lens, U_lens)]


def assert_close(ours, theirs):
    """1e-5 on costs, relative above 1, and on posteriors."""
    for a, b in zip(ours, theirs):
        torch.testing.assert_close(a.double().cpu(), b.double().cpu(), atol=1e-5, rtol=1e-5)


def test_the_kernels_are_what_runs():
    assert (DEVICE == "cpu") == INTERPRETED


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("modified", [False, True])
def test_equal_to_the_anti_diagonals(sizes, modified, delay_penalty=0.3):
    values = problem(len(sizes), sizes)
    reference = frame_by_frame if modified else antidiagonals
    ours = triton_lattice(*values, delay_penalty, modified)
    assert_close(ours, reference(*values, delay_penalty))
    assert not any(x.isnan().any() for x in ours)


@settings(max_examples=8)
@given(
    seed=st.integers(0, 1000),
    sizes=st.lists(st.tuples(st.integers(1, 8), st.integers(0, 6)), min_size=1, max_size=3),
    modified=st.booleans(),
)
def test_equal_to_the_anti_diagonals_at_random(seed, sizes, modified):
    values = problem(seed, sizes)
    assert_close(triton_lattice(*values, modified=modified), (frame_by_frame if modified else antidiagonals)(*values))


@pytest.mark.parametrize("modified", [False, True])
@pytest.mark.parametrize("T, U", [(1, 0), (1, 1), (3, 2), (2, 3), (4, 4)])
def test_brute_force(T, U, modified):
    values = problem(T, [(T, U)])
    if modified and U > T:
        assert all((x == 0).all() for x in triton_lattice(*values, modified=True))
        return
    paths = (modified_paths if modified else all_paths)(T, U)
    cost, on_blank, on_emit = brute_force(values[0][0].cpu(), values[1][0].cpu(), paths)
    total, *found = triton_lattice(*values, modified=modified)
    assert_close((total[0], *(x[0] for x in found)), (-cost, on_blank, on_emit))


def test_by_hand():
    """T = 2, U = 1, all scores log 1/2: two paths of three arcs, log 2/8; each emit arc with posterior 1/2."""
    values = [torch.full(shape, math.log(0.5), device=DEVICE) for shape in ((1, 2, 2), (1, 2, 1))]
    lengths = [torch.tensor([n], device=DEVICE) for n in (2, 1)]
    total, on_blank, on_emit = triton_lattice(*values, *lengths)
    assert total.item() == pytest.approx(math.log(2 / 8), abs=1e-7)
    assert on_blank[0].flatten().tolist() == pytest.approx([0.5, 0.5, 0.0, 1.0])
    assert on_emit.flatten().tolist() == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize("modified", [False, True])
def test_gradients_with_early_emission(modified):
    early = EarlyEmission(fast_emit=0.5, delay_penalty=0.2)
    found = []
    for backend in ("triton", "torch"):
        blank, emit, *lengths = problem(3, [(5, 3), (3, 1)], padding=0.0)
        scores = blank.requires_grad_(), emit.requires_grad_()
        cost = lattice(*scores, *lengths, early, recursion_of(backend, modified))[0]
        found.append(
            (cost.detach(), *torch.autograd.grad((cost * torch.tensor([1.0, 3.0], device=DEVICE)).sum(), scores))
        )
    assert_close(*found)


def test_a_longer_lattice_of_sure_and_unsure_cells():
    """Scores over many orders of magnitude, as trained models give them."""
    blank, emit, *lengths = problem(5, [(40, 20)], padding=0.0)
    values = 8 * blank, 8 * emit, *lengths
    assert_close(triton_lattice(*values), antidiagonals(*values))
