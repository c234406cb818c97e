import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet_plugin.encoder.mhssm.elastic import ElasticSSM
from espnet_plugin.encoder.mhssm.ssm import INITIALISATIONS, MultiHeadSSM, convolve, initial_poles, spread
from espnet_plugin.errors import UserError
from espnet_plugin.supernet.slices import leading


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
        ssm.dynamics.log_dt.zero_()
        ssm.readout.output.copy_(torch.tensor([1.0, 0.0]))
    expected = 2 * (1 - math.exp(-1)) * torch.exp(-torch.arange(4.0))
    torch.testing.assert_close(ssm.kernel(4)[0, 0], expected)


@given(st.sampled_from(INITIALISATIONS), st.integers(1, 40), st.booleans(), st.integers(0, 99))
@settings(deadline=None, max_examples=40)
def test_convolution_equals_the_direct_sum(init, length, bidirectional, seed):
    ssm = build(seed, init=init, bidirectional=bidirectional)
    u = torch.randn(2, length, 8)
    kernels = ssm.kernel(length).double()
    y = ssm.readout.skip.double() * u.double()
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
    poles = torch.complex(-ssm.dynamics.log_decay[0].exp(), ssm.dynamics.frequency[0]).detach()
    readout = torch.view_as_complex(ssm.readout.output[0, :, 0].detach()).unsqueeze(0)
    other = s4.SSKernelDiag(
        poles, torch.ones_like(poles), readout.conj(), ssm.dynamics.log_dt[0].detach(), disc="zoh", real_type="exp"
    )
    kernel, _ = other(L=50)
    torch.testing.assert_close(kernel[0], ssm.kernel(50)[0], atol=1e-5, rtol=1e-4)


def test_no_complex_parameters_and_heads_from_local_to_global():
    ssm = build()
    assert not any(p.is_complex() for p in ssm.parameters())
    dt = ssm.dynamics.log_dt[0].detach().exp()
    assert torch.equal(dt[::2], dt[1::2]) and dt[0] == pytest.approx(0.5) and dt[2] == pytest.approx(1e-3)


def test_heads_must_divide_the_channels():
    with pytest.raises(UserError, match="num_heads: 3 must divide the 8"):
        build(num_heads=3)


@given(st.integers(1, 2), st.sampled_from([2, 4]), st.integers(1, 20), st.integers(0, 99))
def test_elastic_heads_and_directions_equal_a_plain_ssm_holding_the_slice(directions, heads, length, seed):
    torch.manual_seed(seed)
    elastic = ElasticSSM(8, 4, 3, dt_max=0.5)
    plain = MultiHeadSSM(2 * heads, heads, 3, bidirectional=directions == 2)
    shapes = {name: value.shape for name, value in plain.state_dict().items()}
    plain.load_state_dict({name: leading(elastic.state_dict()[name], shape) for name, shape in shapes.items()})
    u = torch.randn(2, length, 2 * heads)
    expected = plain(u, plain.spectrum(length))
    alone = elastic(u, elastic.spectrum(length, heads, [directions]))
    shared = elastic(u, elastic.spectrum(length, directions=[1, 2]), way=directions - 1)
    torch.testing.assert_close(alone, expected)
    torch.testing.assert_close(shared, expected)


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_few_heads_span_the_range(count):
    order = spread(count)
    assert sorted(order) == list(range(count)) and {0, count - 1} <= set(order[:2])


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(0, 99))
@settings(max_examples=30)
def test_chunks_equal_the_convolution(chunks, seed):
    ssm = build(seed, bidirectional=False)
    u, state, ys = torch.randn(2, sum(chunks), 8), None, []
    for part in u.split(chunks, dim=1):
        y, state = ssm.stream(part, state)
        ys.append(y)
    torch.testing.assert_close(torch.cat(ys, 1), ssm(u, ssm.spectrum(u.shape[1])), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("size", [10, 11])
def test_gradients_of_the_convolution(size):
    torch.manual_seed(0)
    u = torch.randn(2, 5, 3, dtype=torch.float64, requires_grad=True)
    kernel = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda u, k: convolve(u, torch.fft.rfft(k, size), size), (u, kernel))


@given(st.integers(1, 20), st.integers(0, 9), st.integers(0, 99))
@settings(deadline=None, max_examples=20)
def test_gradients_are_those_of_torchs_own_transforms(length, more, seed):
    generator, size = torch.Generator().manual_seed(seed), 2 * length + more
    u = torch.randn(3, length, 4, generator=generator, dtype=torch.float64)
    spectrum = torch.randn(4, size // 2 + 1, generator=generator, dtype=torch.complex128)
    weights = torch.randn(u.shape, generator=generator, dtype=u.dtype)

    def by_torch(u, spectrum, size):
        return torch.fft.irfft(torch.fft.rfft(u.transpose(1, 2), size) * spectrum, size)[..., :length].transpose(1, 2)

    found, expected = (
        (y, *torch.autograd.grad((y * weights).sum(), leaves))
        for function in (convolve, by_torch)
        for leaves in [(u.clone().requires_grad_(), spectrum.clone().requires_grad_())]
        for y in [function(*leaves, size)]
    )
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b)
    assert found[0].is_contiguous()


def test_parts_have_the_names_of_former_checkpoints():
    """Dynamics and readout are modules of their own, for rates by module; a checkpoint does not tell."""
    torch.manual_seed(0)
    ssm = MultiHeadSSM(6, 2, 3)
    names = ["log_dt", "log_decay", "frequency", "output", "skip"]
    assert list(ssm.state_dict()) == names
    assert [name for name, _ in ssm.named_parameters()] == [
        *(f"dynamics.{name}" for name in names[:3]),
        *(f"readout.{name}" for name in names[3:]),
    ]
    net, other = torch.nn.Sequential(ssm), torch.nn.Sequential(MultiHeadSSM(6, 2, 3))
    other.load_state_dict(net.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), other.parameters(), strict=True))
    other.load_state_dict(net.state_dict(), assign=True)
    with pytest.raises(RuntimeError, match=r"Missing key.*dynamics\.log_dt"):
        other.load_state_dict({name: value for name, value in net.state_dict().items() if name != "0.log_dt"})
    with pytest.raises(RuntimeError, match=r"Unexpected key.*0\.log_dtt"):
        other.load_state_dict(net.state_dict() | {"0.log_dtt": torch.zeros(1)})
