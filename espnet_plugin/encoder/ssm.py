"""Multi-head diagonal state space model: a convolution in training, a recurrence on a stream.

Shapes: B batch, T frames, H heads, P channels of a head, E = H P channels, N modes of a head (each stands for a conjugate pair).
"""

import math
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Spectrum:
    """Fourier transform of a layer's kernel, computed once a batch and shared by all nets of a step.

    Args:
        values: (E, F) complex, F = fft_length // 2 + 1.
        fft_length: samples of the transform, at least 2 T - 1.
    """

    values: torch.Tensor
    fft_length: int


class MultiHeadSSM(torch.nn.Module):
    """Heads of diagonal state space models, one or two directions.

    Every head has its own dynamics, a step size dt and N poles A_n shared by its P channels (MH-SSM, arXiv 2305.12498; which parts a head
    shares is our choice); every channel has its own output C_n, so B_n = 1 without loss.  Zero-order hold, with z = dt A:
    K_l = 2 Re sum_n C_n (exp(z_n) - 1) / A_n exp(l z_n),  y = K * u + D u.
    Step sizes start log-spaced over each half of the heads, from local to global, since one half may gate the other.  All parameters
    are real numbers.

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
        half = -(-num_heads // 2)
        log_dt = torch.linspace(math.log(dt_max), math.log(dt_min), half).repeat(2)[:num_heads]
        self.log_dt = torch.nn.Parameter(log_dt.expand(directions).clone())
        # The real part is stored as log(-Re A), which keeps every pole stable.
        self.log_decay = torch.nn.Parameter(torch.log(-real).expand(*directions, num_modes).clone())
        self.frequency = torch.nn.Parameter(imag.float().expand(*directions, num_modes).clone())
        # Complex normal C with E|C|^2 = 1, real and imaginary parts last.
        scale = math.sqrt(0.5)
        shape = (*directions, num_channels // num_heads, num_modes, 2)
        self.output = torch.nn.Parameter(torch.randn(shape) * scale)
        self.skip = torch.nn.Parameter(torch.randn(num_channels))

    def discretise(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Zero-order hold in float32.

        Returns:
            z = dt A, complex (directions, H, N), and C (exp(z) - 1) / A, complex (directions, H, P, N).
        """
        poles = torch.complex(-self.log_decay.float().exp(), self.frequency.float())
        z = self.log_dt.float().exp().unsqueeze(-1) * poles
        readout = torch.view_as_complex(self.output.float()) * (torch.expm1(z) / poles).unsqueeze(-2)
        return z, readout

    def kernel(self, length: int) -> torch.Tensor:
        """Convolution kernels.

        Args:
            length: T, frames.

        Returns:
            (directions, E, T), float32.
        """
        z, readout = self.discretise()
        steps = torch.arange(length, device=z.device)
        powers = torch.exp(z.unsqueeze(-1) * steps)  # (directions, H, N, T)
        # Re(a b) as one real product over 2N rows: complex matrix products are slow on CPU.
        left = torch.cat([readout.real, -readout.imag], dim=-1)  # (directions, H, P, 2N)
        right = torch.cat([powers.real, powers.imag], dim=-2)  # (directions, H, 2N, T)
        return 2 * (left @ right).flatten(1, 2)

    def spectrum(self, length: int) -> Spectrum:
        """Transform of the kernel for inputs of up to `length` frames; the second direction fills the negative lags."""
        with torch.autocast(self.skip.device.type, enabled=False):
            kernels = self.kernel(length)
            size = next_fast_len(2 * length, real=True)
            values = torch.fft.rfft(kernels[0], size)
            if self.num_directions == 2:
                # Lag -l of the second kernel is the complex conjugate of lag l in the Fourier domain.
                values = values + torch.fft.rfft(kernels[1], size).conj()
        return Spectrum(values, size)

    def forward(self, u: torch.Tensor, spectrum: Spectrum) -> torch.Tensor:
        """Convolve along time, in float32 also inside autocast.

        Args:
            u: (B, T, E); frames beyond an utterance's end must be zero, then they reach no valid frame.
            spectrum: from `spectrum(T)`.

        Returns:
            (B, T, E).
        """
        with torch.autocast(u.device.type, enabled=False):
            u_BET = u.float().transpose(1, 2)
            product = torch.fft.rfft(u_BET, spectrum.fft_length) * spectrum.values
            y_BET = torch.fft.irfft(product, spectrum.fft_length)[..., : u.shape[1]]
            return (y_BET + self.skip.float().unsqueeze(-1) * u_BET).transpose(1, 2).to(u.dtype)

    def step(self, u: torch.Tensor, state: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """One frame of the first direction as a recurrence: x_t = exp(z) x_{t-1} + u_t, y_t = 2 Re(readout x_t) + D u_t.

        Args:
            u: (B, E).
            state: complex (B, H, P, N), None at the start.

        Returns:
            y (B, E) and the next state.
        """
        z, readout = self.discretise()
        u_BHPN = u.float().unflatten(-1, (self.num_heads, -1)).unsqueeze(-1)
        state = u_BHPN + (0 if state is None else torch.exp(z[0]).unsqueeze(-2) * state)
        y = 2 * (readout[0] * state).sum(-1).real.flatten(1)
        return y + self.skip * u, state
