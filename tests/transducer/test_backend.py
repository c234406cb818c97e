import pytest
import torch
from espnet2.asr_transducer.joint_network import JointNetwork

from espnet_plugin.errors import UserError
from espnet_plugin.transducer import backend
from espnet_plugin.transducer.backend import recursion_of
from espnet_plugin.transducer.lattice import FORBIDDEN, antidiagonals, frame_by_frame, lattice
from espnet_plugin.transducer.loss import TransducerConf, TransducerCriterion

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


def assert_same(recursion, reference, problem):
    for ours, theirs in zip(recursion(*problem), reference(*problem)):
        torch.testing.assert_close(ours, theirs, atol=0, rtol=0)


@pytest.mark.parametrize("name", ["torch", "auto"])
def test_on_a_cpu_torch_and_auto_are_the_anti_diagonals(name):
    """Also where k2 imports."""
    problem = scores(0, [(7, 4), (5, 2), (6, 0)])
    assert_same(recursion_of(name), antidiagonals, problem)
    assert_same(recursion_of(name, modified=True), frame_by_frame, problem)


def test_an_unknown_name_is_refused():
    with pytest.raises(UserError, match=r"transducer_conf\.backend: 'cuda' is not one of"):
        recursion_of("cuda")


def test_triton_is_refused_on_a_cpu_and_where_it_is_missing(monkeypatch):
    with pytest.raises(UserError, match=r"transducer_conf\.backend: 'triton' needs a GPU, use 'torch' or 'auto'"):
        recursion_of("triton")(*scores(0, [(2, 1)]))
    monkeypatch.setattr(backend, "missing", lambda module: "No module named 'triton'")
    with pytest.raises(UserError, match=r"'triton' does not import here \(No module named 'triton'\)"):
        recursion_of("triton")


@without_k2
def test_k2_is_refused_where_it_does_not_import():
    with pytest.raises(UserError, match=r"transducer_conf\.backend: 'k2' does not import here"):
        recursion_of("k2")


def test_the_full_loss_runs_on_the_backend_that_was_asked_for(monkeypatch):
    """Not by torchaudio, which would compute the same in silence."""
    calls = []

    def watched(*problem, modified=False):
        calls.append(modified)
        return antidiagonals(*problem)

    monkeypatch.setitem(backend.PROGRAMMES, "k2", watched)
    monkeypatch.setattr(backend, "missing", lambda module: None)
    values = torch.randn(1, 3, 4), torch.tensor([3]), torch.tensor([[1, 2]]), torch.tensor([2])
    costs = {}
    for name in ("k2", "torch", "auto"):
        torch.manual_seed(0)
        criterion = TransducerCriterion(TransducerConf(loss="full", backend=name), 4, 4, 5, 0)
        joiner, decoder = JointNetwork(5, 4, 4, 4), lambda labels: torch.ones(*labels.shape, 4)
        targets = criterion.targets(*values[2:], decoder, joiner)
        costs[name] = criterion(*values[:2], targets, joiner).cost
        assert len(calls) == 1
    torch.testing.assert_close(costs["k2"], costs["torch"])
    torch.testing.assert_close(costs["auto"], costs["torch"], atol=0, rtol=0)


@with_k2
@pytest.mark.parametrize("modified", [False, True])
def test_no_path_is_no_warning(modified, capfd):
    recursion_of("k2", modified)(*scores(0, [(2, 3), (4, 1)]))
    assert capfd.readouterr() == ("", "")


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
