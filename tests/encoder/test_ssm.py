import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet_plugin.encoder.ssm import INITIALISATIONS, MultiHeadSSM, initial_poles
from espnet_plugin.errors import UserError


def build(seed=0, **conf):
    torch.manual_seed(seed)
    return MultiHeadSSM(**{"num_channels": 8, "num_heads": 4, "num_modes": 3, "dt_max": 0.5} | conf)


def test_poles_by_hand():
    real, imag = initial_poles("lin", 3)
    assert real.tolist() == [-0.5] * 3
    torch.testing.assert_close(imag, torch.tensor([0.0, math.pi, 2 * math.pi]))
    assert initial_poles("real", 3)[0].tolist() == [-1.0, -2.0, -3.0]
    torch.testing.assert_close(initial_poles("inv", 1)[1], torch.tensor([2 / math.pi]))
    with pytest.raises(UserError, match="ssm_init"):
        initial_poles("hippo", 3)


def test_kernel_by_hand():
    """One real pole at -1, dt = 1, C = 1: K_l = 2 (1 - 1/e) e^-l."""
    ssm = build(num_channels=2, num_heads=1, num_modes=1, bidirectional=False, init="real")
    with torch.no_grad():
        ssm.log_dt.zero_()
        ssm.output.copy_(torch.tensor([1.0, 0.0]))
    expected = 2 * (1 - math.exp(-1)) * torch.exp(-torch.arange(4.0))
    torch.testing.assert_close(ssm.kernel(4)[0, 0], expected)


@given(st.sampled_from(INITIALISATIONS), st.integers(1, 40), st.booleans(), st.integers(0, 99))
@settings(deadline=None, max_examples=40)
def test_convolution_equals_the_direct_sum(init, length, bidirectional, seed):
    ssm = build(seed, init=init, bidirectional=bidirectional)
    u = torch.randn(2, length, 8)
    kernels = ssm.kernel(length).double()
    y = ssm.skip.double() * u.double()
    for t in range(length):
        for s in range(length):
            if s <= t:
                y[:, t] += kernels[0, :, t - s] * u[:, s].double()
            if s >= t and bidirectional:
                y[:, t] += kernels[1, :, s - t] * u[:, s].double()
    torch.testing.assert_close(ssm(u, ssm.spectrum(length)).double(), y, atol=2e-4, rtol=1e-4)


@given(st.sampled_from(INITIALISATIONS), st.integers(1, 30), st.integers(0, 99))
@settings(deadline=None, max_examples=20)
def test_recurrence_equals_convolution(init, length, seed):
    ssm = build(seed, init=init, bidirectional=False)
    u = torch.randn(2, length, 8)
    state, ys = None, []
    for t in range(length):
        y, state = ssm.step(u[:, t], state)
        ys.append(y)
    torch.testing.assert_close(torch.stack(ys, 1), ssm(u, ssm.spectrum(length)), atol=1e-4, rtol=1e-4)


def test_kernel_equals_espnets_s4d_on_the_same_parameters():
    """ESPnet's own SSKernelDiag: conjugate pairs, zero-order hold, B = 1; it conjugates the C that it is given."""
    pytest.importorskip("opt_einsum")
    s4 = pytest.importorskip("espnet2.asr.state_spaces.s4")
    ssm = build(num_channels=8, num_heads=8, num_modes=4, bidirectional=False)
    poles = torch.complex(-ssm.log_decay[0].exp(), ssm.frequency[0]).detach()
    readout = torch.view_as_complex(ssm.output[0, :, 0].detach()).unsqueeze(0)
    other = s4.SSKernelDiag(
        poles, torch.ones_like(poles), readout.conj(), ssm.log_dt[0].detach(), disc="zoh", real_type="exp"
    )
    kernel, _ = other(L=50)
    torch.testing.assert_close(kernel[0], ssm.kernel(50)[0], atol=1e-5, rtol=1e-4)


def test_no_complex_parameters_and_heads_from_local_to_global():
    ssm = build()
    assert not any(p.is_complex() for p in ssm.parameters())
    dt = ssm.log_dt[0].detach().exp()
    assert (dt[:2].diff() < 0).all() and torch.equal(dt[:2], dt[2:]) and dt[0] == pytest.approx(0.5)


def test_heads_must_divide_the_channels():
    with pytest.raises(UserError, match="num_heads: 3 must divide the 8"):
        build(num_heads=3)
