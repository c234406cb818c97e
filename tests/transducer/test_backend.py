import pytest
import torch

from espnet_plugin.errors import UserError
from espnet_plugin.transducer.backend import mutual_information, recursion_of
from espnet_plugin.transducer.lattice import FORBIDDEN, antidiagonals, frame_by_frame, lattice

try:
    import k2
except (ImportError, OSError):
    k2 = None
without_k2 = pytest.mark.skipif(k2 is not None, reason="k2 imports here")
with_k2 = pytest.mark.skipif(k2 is None, reason="k2 does not import here")


def scores(seed, sizes):
    generator = torch.Generator().manual_seed(seed)
    T_lens, U_lens = (torch.tensor(lens) for lens in zip(*sizes))
    B, T, U = len(sizes), int(T_lens.max()), int(U_lens.max())
    blank, emit = (3 * torch.randn(B, T, W, generator=generator, dtype=torch.float64) for W in (U + 1, U))
    return blank, emit, T_lens, U_lens


def test_torch_is_the_anti_diagonals():
    assert recursion_of("torch") is antidiagonals and recursion_of("torch", modified=True) is frame_by_frame


def test_an_unknown_name_is_refused():
    with pytest.raises(UserError, match=r"transducer_conf\.backend: 'cuda' is not one of"):
        recursion_of("cuda")


@without_k2
def test_k2_is_refused_and_auto_is_torch_where_it_does_not_import():
    with pytest.raises(UserError, match=r"transducer_conf\.backend: 'k2' does not import here"):
        recursion_of("k2")
    assert recursion_of("auto") is antidiagonals


@with_k2
def test_k2_is_taken_where_it_imports():
    assert recursion_of("auto") is recursion_of("k2") is mutual_information


@with_k2
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("sizes", [[(7, 4), (5, 2), (6, 0)], [(1, 3), (2, 5)], [(1, 1)], [(4, 0), (2, 0)]])
@pytest.mark.parametrize("modified", [False, True])
def test_k2_equals_our_own(sizes, seed, modified):
    """Also in padding, with cut arcs, and when the last symbol comes with the last frame."""
    problem = scores(seed, sizes)
    problem[1][:, 0, :1] = FORBIDDEN if min(T for T, _ in sizes) > 1 else 0.0
    for x in problem[:2]:
        x.requires_grad_()
    theirs, ours = (
        lattice(*problem, recursion=recursion)
        for recursion in (recursion_of("k2", modified), recursion_of("torch", modified))
    )
    for a, b in zip(theirs, ours):
        torch.testing.assert_close(a, b, atol=1e-9, rtol=1e-9)
    gradients = [torch.autograd.grad(x[0].sum(), problem[:2]) for x in (theirs, ours)]
    for a, b in zip(*gradients):
        torch.testing.assert_close(a, b, atol=1e-9, rtol=1e-9)
