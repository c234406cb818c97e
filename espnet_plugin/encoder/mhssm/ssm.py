"""Multi-head diagonal state space model: a convolution in training, a recurrence on a stream.

Shapes: B batch, T frames, H heads, P channels of a head, E = H P channels, N modes of a head (each stands for a conjugate pair).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from scipy.fft import next_fast_len

from espnet_plugin.errors import UserError

INITIALISATIONS = ("lin", "inv", "real")


def initial_poles(init: str, num_modes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Real and imaginary parts (N,) of the continuous-time poles A_n (S4D, Gu et al. 2022, arXiv 2206.11893).

    ``lin``: -1/2 + i pi n; ``inv``: -1/2 + i (2N/pi) (2N/(2n+1) - 1); ``real``: -(n+1), where the state has 2N dimensions.

    Raises:
        UserError: unknown name.
    """
    n = torch.arange(num_modes)
    order = 2 * num_modes
    match init:
        case "lin":
            return torch.full((num_modes,), -0.5), math.pi * n
        case "inv":
            return torch.full((num_modes,), -0.5), (order / math.pi) * (order / (2 * n + 1) - 1)
        case "real":
            return -(n + 1.0), torch.zeros(num_modes)
    raise UserError(f"encoder_conf.ssm_init: '{init}' is not one of {list(INITIALISATIONS)}")


def zero_order_hold(
    log_dt: torch.Tensor, log_decay: torch.Tensor, frequency: torch.Tensor, output: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Discretise continuous-time heads, in float32 at least. Further dimensions may stand in front, such as the layers of an encoder.

    Args:
        log_dt: (directions, H) logarithm of the step size in frames.
        log_decay, frequency: (directions, H, N), A = -exp(log_decay) + i frequency.
        output: (directions, H, P, N, 2), real and imaginary part of C.

    Returns:
        z = dt A, complex (directions, H, N), and C (exp(z) - 1) / A, complex (directions, H, P, N).
    """
    poles = torch.complex(-wide(log_decay).exp(), wide(frequency))
    z = wide(log_dt).exp().unsqueeze(-1) * poles
    readout = torch.view_as_complex(wide(output)) * (torch.expm1(z) / poles).unsqueeze(-2)
    return z, readout


def convolution_kernel(z: torch.Tensor, readout: torch.Tensor, length: int) -> torch.Tensor:
    """K_l = 2 Re sum_n readout_n exp(l z_n). Args: as `zero_order_hold` returns. Returns: (directions, E, length), real."""
    steps = torch.arange(length, device=z.device)
    powers = torch.exp(z.unsqueeze(-1) * steps)  # (directions, H, N, T)
    # Re(a b) as one real product over 2N rows: complex matrix products are slow on CPU.
    left = torch.cat([readout.real, -readout.imag], dim=-1)  # (directions, H, P, 2N)
    right = torch.cat([powers.real, powers.imag], dim=-2)  # (directions, H, 2N, T)
    return 2 * (left @ right).flatten(-3, -2)


class _Convolution(torch.autograd.Function):
    """Two real transforms forward, two backward: autograd would go through complex ones, and through copies in either layout."""

    @staticmethod
    def forward(ctx, u, spectrum, fft_length):
        u_BEF = torch.fft.rfft(u.transpose(1, 2), fft_length)
        y_BET = torch.fft.irfft(u_BEF * spectrum, fft_length)
        ctx.save_for_backward(u_BEF.conj_physical_(), spectrum)
        ctx.fft_length = fft_length
        return y_BET[..., : u.shape[1]].transpose(1, 2).contiguous()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        conjugate, spectrum = ctx.saved_tensors
        size, T = ctx.fft_length, grad.shape[1]
        g_BEF = torch.fft.rfft(grad.transpose(1, 2), size)
        # A bin stands for itself and for its mirror image, but for the first one and, where there is one, that of half the sampling rate.
        on_spectrum = (g_BEF * conjugate).sum(0).mul_(2 / size)
        on_spectrum[..., 0] /= 2
        if size % 2 == 0:
            on_spectrum[..., -1] /= 2
        on_u = torch.fft.irfft(g_BEF.mul_(spectrum.conj()), size)[..., :T]
        return on_u.transpose(1, 2).contiguous(), on_spectrum, None


def convolve(u: torch.Tensor, spectrum: torch.Tensor, fft_length: int) -> torch.Tensor:
    """Convolution along time. Args: u (B, T, E), spectrum (E, F) of the kernel. Returns: (B, T, E)."""
    with torch.autocast(u.device.type, enabled=False):
        return _Convolution.apply(wide(u), spectrum, fft_length).to(u.dtype)


def wide(x: torch.Tensor) -> torch.Tensor:
    """In float32 at least: the dynamics are too sensitive for half precision."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def spread(count: int) -> list[int]:
    """0 .. count - 1 in the order of a halved interval: 0, then the end, then always the one furthest from those before."""
    order = [0]
    while len(order) < count:
        rest = [i for i in range(count) if i not in order]
        order.append(max(rest, key=lambda i: (min(abs(i - j) for j in order), i)))
    return order


@dataclass(frozen=True)
class Spectrum:
    """Fourier transform of a layer's kernel with its skip connection, computed once a batch and shared by all nets of a step.

    Args:
        values: (E, F) complex, F = fft_length // 2 + 1; one for each way of running, the one with most directions last.
        fft_length: samples of the transform, at least 2 T - 1.
    """

    values: tuple[torch.Tensor, ...]
    fft_length: int

    @classmethod
    def of(cls, kernels: torch.Tensor, directions: Sequence[int], skip: torch.Tensor) -> "Spectrum":
        """Transform for inputs of up to T frames.

        Args:
            kernels: (directions, E, T).
            skip: (E,) D, an impulse at lag 0, whose transform is constant.
            directions: ways of running wanted: 1 is the first direction alone; with 2, the second one fills the negative lags.

        Layers of one size may stand in front: (L, directions, E, T) and (L, E) give values (L, E, F), see `split`.
        """
        size = next_fast_len(2 * kernels.shape[-1], real=True)
        forward, *backward = kernels.unbind(-3)
        forward = torch.fft.rfft(forward, size) + wide(skip).unsqueeze(-1)
        ways = {1: forward}
        if 2 in directions:
            # Lag -l of the second kernel is the complex conjugate of lag l in the Fourier domain.
            ways[2] = forward + torch.fft.rfft(backward[0], size).conj()
        return cls(tuple(ways[n] for n in directions), size)

    def split(self) -> list["Spectrum"]:
        """One for each of several layers, L."""
        return [Spectrum(values, self.fft_length) for values in zip(*(x.unbind() for x in self.values))]


class Part(torch.nn.Module):
    """Parameters of a module that are a module of their own, so that trainers which set rates by module can address them.

    In checkpoints they keep the names that they had in the module around them (`load_parts` is its side of that).

    Args:
        parameters: name -> initial value.
    """

    def __init__(self, **parameters: torch.Tensor):
        super().__init__()
        for name, value in parameters.items():
            self.register_parameter(name, torch.nn.Parameter(value))

    if TYPE_CHECKING:  # it holds nothing else

        def __getattr__(self, name: str) -> torch.Tensor: ...

    def _save_to_state_dict(self, destination, prefix, keep_vars):
        around = prefix.removesuffix(".").rpartition(".")[0]
        super()._save_to_state_dict(destination, f"{around}." if around else "", keep_vars)


def load_parts(module: torch.nn.Module, state_dict: dict, prefix: str) -> None:
    """Give the parameters of a module's `Part`s in a state the names that torch looks for."""
    for part, child in module.named_children():
        for name, _ in child.named_parameters() if isinstance(child, Part) else ():
            if prefix + name in state_dict:
                state_dict[f"{prefix}{part}.{name}"] = state_dict.pop(prefix + name)


class MultiHeadSSM(torch.nn.Module):
    """Heads of diagonal state space models, one or two directions.

    Every head has its own dynamics, a step size dt and N poles A_n shared by its P channels (MH-SSM, arXiv 2305.12498; which parts a head
    shares is our choice); every channel has its own output C_n, so B_n = 1 without loss.  Zero-order hold, with z = dt A:
    K_l = 2 Re sum_n C_n (exp(z_n) - 1) / A_n exp(l z_n),  y = K * u + D u.
    Step sizes start log-spaced over pairs of heads, since the second of a pair may gate the first, in an order in which the first pairs
    span the range from local to global however few of them are used (see `spread`).  All parameters are real numbers.

    Args:
        num_channels: E.
        num_heads: H, a divisor of E.
        num_modes: N.
        bidirectional: add a second kernel that runs from the end of the utterance to its start.
        dt_min, dt_max: range of the initial step sizes (in frames: a head forgets over about 2 / dt frames).
        init: ``lin``, ``inv`` or ``real``, see `initial_poles`.

    Raises:
        UserError: the heads do not divide the channels, or the initialisation is unknown.
    """

    def __init__(
        self,
        num_channels: int,
        num_heads: int,
        num_modes: int,
        bidirectional: bool = True,
        dt_min: float = 1e-3,
        dt_max: float = 1e-1,
        init: str = "lin",
    ):
        super().__init__()
        if num_channels % num_heads:
            raise UserError(f"encoder_conf.num_heads: {num_heads} must divide the {num_channels} channels of the layer")
        self.num_heads = num_heads
        self.num_directions = 2 if bidirectional else 1
        real, imag = initial_poles(init, num_modes)
        directions = (self.num_directions, num_heads)
        pairs = -(-num_heads // 2)
        log_dt = torch.linspace(math.log(dt_max), math.log(dt_min), pairs)[spread(pairs)]
        log_dt = log_dt.repeat_interleave(2)[:num_heads]
        # Step sizes and poles. The real part is stored as log(-Re A), which keeps every pole stable.
        self.dynamics = Part(
            log_dt=log_dt.expand(directions).clone(),
            log_decay=torch.log(-real).expand(*directions, num_modes).clone(),
            frequency=imag.float().expand(*directions, num_modes).clone(),
        )
        # Complex normal C with E|C|^2 = 1, real and imaginary parts last.
        scale = math.sqrt(0.5)
        shape = (*directions, num_channels // num_heads, num_modes, 2)
        self.readout = Part(output=torch.randn(shape) * scale, skip=torch.randn(num_channels))

    def _load_from_state_dict(self, state_dict, prefix, *others):
        load_parts(self, state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *others)

    def discretise(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Dynamics and readout of all heads, see `zero_order_hold`."""
        parameters = (*self.dynamics.parameters(), self.readout.output)
        return zero_order_hold(*parameters)

    def kernel(self, length: int) -> torch.Tensor:
        """Convolution kernels of `length` frames: (directions, E, T)."""
        return convolution_kernel(*self.discretise(), length)

    def spectrum(self, length: int) -> Spectrum:
        """Transform of the kernel for inputs of up to `length` frames."""
        with torch.autocast(self.readout.skip.device.type, enabled=False):
            return Spectrum.of(self.kernel(length), [self.num_directions], self.readout.skip)

    def forward(self, u: torch.Tensor, spectrum: Spectrum) -> torch.Tensor:
        """Convolve along time, in float32 also inside autocast.

        Args:
            u: (B, T, E); frames beyond an utterance's end must be zero, then they reach no valid frame.
            spectrum: from `spectrum(T)`.

        Returns:
            (B, T, E).
        """
        return convolve(u, spectrum.values[-1], spectrum.fft_length)

    def step(self, u: torch.Tensor, state: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """One frame of the first direction as a recurrence: x_t = exp(z) x_{t-1} + u_t, y_t = 2 Re(readout x_t) + D u_t.

        Args:
            u: (B, E).
            state: complex (B, H, P, N), None at the start.

        Returns:
            y (B, E) and the next state.
        """
        z, readout = self.discretise()
        u_BHPN = wide(u).unflatten(-1, (self.num_heads, -1)).unsqueeze(-1)
        state = u_BHPN + (0 if state is None else torch.exp(z[0]).unsqueeze(-2) * state)
        y = 2 * (readout[0] * state).sum(-1).real.flatten(1)
        return y + self.readout.skip * u, state

    def stream(self, u: torch.Tensor, state: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Several frames of the first direction at once: the same as `step` on each, by a convolution within the chunk.

        Args:
            u: (B, T, E).
            state: as in `step`.

        Returns:
            y (B, T, E) and the next state.
        """
        z, readout = (value[:1] for value in self.discretise())
        length = u.shape[1]
        spectrum = Spectrum.of(convolution_kernel(z, readout, length), [1], self.readout.skip)
        y = convolve(u, spectrum.values[0], spectrum.fft_length)
        powers = torch.exp(z[0].unsqueeze(-1) * torch.arange(length + 1, device=u.device))  # (H, N, T + 1)
        u_BTHP = wide(u).unflatten(-1, (self.num_heads, -1)).to(powers.dtype)
        added = torch.einsum("bthp,hnt->bhpn", u_BTHP, powers[..., :-1].flip(-1))
        if state is None:
            return y, added
        decayed = torch.einsum("bhpn,hpn,hnt->bthp", state, readout[0], powers[..., 1:])
        return y + 2 * decayed.real.flatten(2), added + powers[..., -1].unsqueeze(-2) * state
