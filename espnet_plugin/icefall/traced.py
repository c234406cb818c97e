"""Whole utterances through the state space model as icefall's exporter wants them: steps that torch's tracer records and nothing else.

Like `encoder.mhssm.chunks`, whose graph is leaner but needs the exporter of this package: inside a chunk a channel is a product with a
Toeplitz matrix, between chunks a state is carried.

Shapes: R directions, H heads, P channels of a head, E = H P channels, N modes of a head, K frames of a chunk, C chunks, B batch, T frames.
"""

from typing import cast

import torch

from espnet_plugin.encoder.mhssm.ssm import MultiHeadSSM


@torch.jit.script_if_tracing
def split_chunks(u: torch.Tensor, chunk: int) -> torch.Tensor:
    """Args: u (B, T, E), zeros are appended up to a whole chunk. Returns: (B, C, K, E)."""
    missing = (chunk - u.shape[1] % chunk) % chunk
    u = torch.cat([u, torch.zeros([u.shape[0], missing, u.shape[2]], dtype=u.dtype)], dim=1)
    return u.reshape(u.shape[0], -1, chunk, u.shape[2])


@torch.jit.script_if_tracing
def carry(added: torch.Tensor, turn: torch.Tensor, backward: bool) -> torch.Tensor:
    """State before each chunk: x_0 = 0, x_{c+1} = x_c turn + added_c; `backward` starts at the last chunk.

    Args:
        added: (H, P, C, B, 2N).
        turn: exp(K z) as a matrix on pairs, (H, 1, 2N, 2N).

    Returns:
        (H, P, C, B, 2N).
    """
    last = added.shape[2] - 1
    state = torch.zeros_like(added[:, :, 0])
    states = [state]
    for c in range(last):
        if backward:
            state = torch.matmul(state, turn) + added[:, :, last - c]
            states.insert(0, state)
        else:
            state = torch.matmul(state, turn) + added[:, :, c]
            states.append(state)
    return torch.stack(states, dim=2)


class TracedSSM(torch.nn.Module):
    """Stands in for `MultiHeadSSM` in a traced graph.

    Inside a chunk a channel is a Toeplitz matrix product; what reaches a chunk from before (and, in the second direction, from behind)
    is a state of N modes a channel, carried from chunk to chunk.

    Args:
        ssm: the trained module.
        chunk: K. More frames mean fewer steps of the recurrence and larger products.
    """

    z_real: torch.Tensor
    z_imag: torch.Tensor
    readout_real: torch.Tensor
    readout_imag: torch.Tensor
    skip: torch.Tensor

    def __init__(self, ssm: MultiHeadSSM, chunk: int):
        super().__init__()
        self.chunk = chunk
        self.num_heads, self.num_directions = ssm.num_heads, ssm.num_directions
        with torch.no_grad():
            z, readout = ssm.discretise()
        self.register_buffer("z_real", z.real.clone())  # (R, H, N)
        self.register_buffer("z_imag", z.imag.clone())
        # (R, H, P, 1, 1, N); twice, since a mode stands for a conjugate pair.
        self.register_buffer("readout_real", 2 * readout.real[:, :, :, None, None])
        self.register_buffer("readout_imag", 2 * readout.imag[:, :, :, None, None])
        self.register_buffer("skip", cast(torch.Tensor, ssm.readout.skip).detach().float())  # (E,)

    def powers(self, steps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Real and imaginary part of exp(l z). Args: steps (L,), l. Returns: (R, H, N, L)."""
        steps = steps.float()
        size = torch.exp(self.z_real.unsqueeze(-1) * steps)
        angle = self.z_imag.unsqueeze(-1) * steps
        return size * torch.cos(angle), size * torch.sin(angle)

    def inside(self) -> torch.Tensor:
        """What a frame of a chunk (row) adds to each frame of it (column), both directions and the skip: (E, K, K)."""
        k = torch.arange(self.chunk)
        real, imag = (part[:, :, None, None] for part in self.powers(k))
        kernel = self.readout_real @ real - self.readout_imag @ imag  # (R, H, P, 1, 1, K)
        kernel = kernel.reshape(self.num_directions, -1, self.chunk)  # (R, E, K)
        lag = k.unsqueeze(0) - k.unsqueeze(1)  # of the column behind the row
        table = kernel[0][:, lag.clamp(min=0)] * (lag >= 0).float()
        if self.num_directions == 2:
            table = table + kernel[1][:, (-lag).clamp(min=0)] * (lag <= 0).float()
        return table + self.skip.reshape(-1, 1, 1) * (lag == 0).float()

    def entering(self) -> torch.Tensor:
        """What a frame of a chunk adds to the state at its end (second direction: at its start): (R, H, K, 2N)."""
        table = torch.cat(self.powers(torch.arange(self.chunk)), dim=2).transpose(2, 3)
        return torch.cat([table[:1].flip(2), table[1:]])

    def leaving(self) -> torch.Tensor:
        """What a state, already multiplied with the output, adds to each frame of a chunk: (R, H, 2N, K)."""
        real, imag = self.powers(torch.arange(self.chunk) + 1)
        table = torch.cat([real, -imag], dim=2)
        return torch.cat([table[:1], table[1:].flip(3)])

    def turn(self) -> torch.Tensor:
        """exp(K z) as matrices that turn and shrink pairs (a row vector from the left): (R, H, 1, 2N, 2N)."""
        real, imag = self.powers(torch.tensor([self.chunk]))  # (R, H, N, 1)
        n = torch.arange(self.z_real.shape[-1])
        diagonal = (n.unsqueeze(0) == n.unsqueeze(1)).float()
        real, imag = real * diagonal, imag * diagonal
        return torch.cat([torch.cat([real, imag], dim=3), torch.cat([-imag, real], dim=3)], dim=2).unsqueeze(2)

    def read(self, state: torch.Tensor, direction: int) -> torch.Tensor:
        """State times output. Args: state (H, P, C, B, 2N). Returns: the same shape."""
        real, imag = self.readout_real[direction], self.readout_imag[direction]
        a, b = state.chunk(2, dim=-1)
        return torch.cat([real * a - imag * b, real * b + imag * a], dim=-1)

    def forward(self, u: torch.Tensor, _spectrum: None = None) -> torch.Tensor:
        """Convolve along time.

        Args:
            u: (B, T, E), zero beyond an utterance's end.

        Returns:
            (B, T, E).
        """
        batch, length, channels = u.shape
        heads, chunk = self.num_heads, self.chunk
        by_head = (heads, channels // heads, -1, batch)  # (H, P, C, B)
        chunks = split_chunks(u, chunk).permute(3, 1, 0, 2)  # (E, C, B, K)
        y = (chunks.reshape(channels, -1, chunk) @ self.inside()).reshape(heads, -1, chunk)  # (H, P C B, K)
        rows = chunks.reshape(heads, -1, chunk)
        entering, turn, leaving = self.entering(), self.turn(), self.leaving()
        for r in range(self.num_directions):
            added = (rows @ entering[r]).reshape(*by_head, entering.shape[-1])
            before = carry(added, turn[r], r == 1)
            seen = self.read(before, r)
            y = y + seen.reshape(heads, -1, seen.shape[-1]) @ leaving[r]
        return y.reshape(channels, -1, batch, chunk).permute(2, 1, 3, 0).reshape(batch, -1, channels)[:, :length]
