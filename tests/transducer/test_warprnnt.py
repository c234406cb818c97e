"""The full loss against warprnnt-numba's loops, an independent implementation with FastEmit of its own."""

import pytest
import torch

from espnet_plugin.transducer.lattice import EarlyEmission, rnnt_loss

warprnnt_numba = pytest.importorskip("warprnnt_numba")


@pytest.mark.parametrize("blank", [0, 4])
@pytest.mark.parametrize("fast_emit", [0.0, 0.3])
def test_equals_warprnnt(blank, fast_emit):
    torch.manual_seed(0)
    T_lens, U_lens = torch.tensor([6, 4, 2]), torch.tensor([3, 2, 3])
    logits = torch.randn(3, 6, 4, 5).requires_grad_()
    labels = (blank + torch.randint(1, 5, (3, 3))) % 5
    theirs = warprnnt_numba.RNNTLossNumba(blank=blank, reduction="none", fastemit_lambda=fast_emit)
    cost = theirs(logits, labels.int(), T_lens.int(), U_lens.int()).view(3)
    ours = rnnt_loss(logits, labels, T_lens, U_lens, blank, EarlyEmission(fast_emit=fast_emit))
    # Theirs counts FastEmit in the cost as well.
    torch.testing.assert_close(cost, (1 + fast_emit) * ours, atol=1e-4, rtol=1e-4)
    gradients = [torch.autograd.grad(x.sum(), logits)[0] for x in (ours, cost)]
    torch.testing.assert_close(*gradients, atol=1e-5, rtol=1e-4)
