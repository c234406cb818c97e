"""The state space model over chunks of frames: products with small tables and one short recurrence, exact for any length.

ONNX has no complex numbers and no Fourier transform that its exporters write, so modes are pairs of real numbers here. All tables are
computed inside the graph: a file holds the poles and outputs only, and the runtime folds what is constant when it loads (tables in the file
would make it large, and quantising them would ruin them). A runtime keeps memory for each node that it folds and for what comes out of it.
So tables are few and small: chunks are short, and what a chunk's frames add to each other is stored as taps, one for each distance.

Shapes: R directions, H heads, P channels of a head, E = H P channels, N modes of a head, S = 2 N, K frames of a chunk, C chunks, B batch,
T = C K frames.
"""

import torch

from espnet_plugin.encoder.mhssm.ssm import MultiHeadSSM


@torch.jit.script_if_tracing
def fill_chunks(x: torch.Tensor, chunk: int) -> torch.Tensor:
    """Append zeros to x (B, T, D) up to a whole chunk."""
    missing = (chunk - x.shape[1] % chunk) % chunk
    return torch.cat([x, torch.zeros([x.shape[0], missing, x.shape[2]], dtype=x.dtype)], dim=1)


class Reshape(torch.autograd.Function):
    """Reshape as ONNX has it: 0 keeps an axis, -1 takes what is left. The exporter's own counts every axis in the graph."""

    @staticmethod
    def forward(ctx, x: torch.Tensor, *shape: int) -> torch.Tensor:
        return x.reshape([size or x.shape[axis] for axis, size in enumerate(shape)])

    @staticmethod
    def symbolic(graph, x, *shape: int):
        return graph.op("Reshape", x, graph.op("Constant", value_t=torch.tensor(shape)))


class Carry(torch.autograd.Function):
    """State before each chunk: x_0 = 0, x_{c+1} = x_c turn + added_c; the second direction starts at the last chunk.

    Exported as one node of our own, which `deploy.scans` replaces by ONNX's Scan: the exporter's loops copy all states so far at each step.

    Args:
        turn: (H, R, S, S).
        added: (B, H, P, C, S) of each direction.

    Returns:
        (B, H, P, C, S) of each.
    """

    @staticmethod
    def forward(ctx, turn: torch.Tensor, *every: torch.Tensor) -> tuple[torch.Tensor, ...]:
        found = []
        for direction, added in enumerate(every):
            states, state = [], torch.zeros_like(added[:, :, :, 0])
            for one in reversed(added.unbind(3)) if direction else added.unbind(3):
                states.append(state)
                state = state @ turn[:, direction] + one
            found.append(torch.stack(states[::-1] if direction else states, dim=3))
        return tuple(found)

    @staticmethod
    def symbolic(graph, turn, *every):
        found = graph.op("todm::Carry", turn, *every, outputs=len(every))
        found = (found,) if len(every) == 1 else tuple(found)
        for before, added in zip(found, every):
            before.setType(added.type())
        return found


class ChunkedSSM(torch.nn.Module):
    """Stands in for `MultiHeadSSM` in a graph.

    Inside a chunk a channel is a product with a Toeplitz matrix; what reaches a chunk from before (and, in the second direction, from
    behind) is a state of N modes a channel, carried from chunk to chunk.

    Args:
        ssm: the trained module.
        chunk: K. More frames mean fewer steps of the recurrence and larger products.
    """

    z_real: torch.Tensor
    z_imag: torch.Tensor
    readout: torch.Tensor
    skip: torch.Tensor

    def __init__(self, ssm: MultiHeadSSM, chunk: int):
        super().__init__()
        with torch.no_grad():
            z, readout = (value.transpose(0, 1) for value in ssm.discretise())
        self.chunk = chunk
        self.num_heads, self.num_directions, self.head_dim, self.num_modes = readout.shape  # H, R, P, N
        self.register_buffer("z_real", z.real.unsqueeze(-1).contiguous())  # (H, R, N, 1)
        self.register_buffer("z_imag", z.imag.unsqueeze(-1).contiguous())
        # Real and imaginary part, (H, P, R, S); twice, since a mode stands for a conjugate pair.
        self.register_buffer("readout", 2 * torch.cat([readout.real, readout.imag], dim=3).transpose(1, 2).contiguous())
        self.register_buffer("skip", ssm.readout.skip.detach().float().reshape(self.num_heads, -1, 1))  # (H, P, 1)

    @property
    def state_size(self) -> int:
        """Numbers that a stream carries for an utterance: 2 E N."""
        return self.readout[:, :, 0].numel()

    def constants(self) -> tuple[torch.Tensor, ...]:
        """Frames l of all powers exp(l z) that the tables are made of, and what each is multiplied with.

        In this order: from a frame of the chunk to its end (second direction: to its start), K; over the chunk, 1; from the state to each
        frame, K; from a frame to each other one, by how much later that is, from K - 1 to 1 - K, 2 K - 1. The second direction has the
        distances that are not above 0, the first one those not below.

        Returns:
            (1, R, 1, 4 K) both.
        """
        k, distance = torch.arange(self.chunk), torch.arange(self.chunk - 1, -self.chunk, -1)
        over, whole = torch.tensor([self.chunk]), torch.ones(2 * self.chunk + 1)
        steps = [
            torch.cat([k.flip(0), over, k + 1, distance.abs()]),
            torch.cat([k, over, k.flip(0) + 1, distance.abs()]),
        ]
        there = [torch.cat([whole, (distance >= 0).float()]), torch.cat([whole, (distance <= 0).float()])]
        return tuple(torch.stack(rows)[None, : self.num_directions, None].float() for rows in (steps, there))

    def tables(self) -> tuple[torch.Tensor, ...]:
        """What a chunk is multiplied with.

        Returns:
            taps (E, 1, 1, 2 K - 1): what a frame adds to the one K - 1 later, ..., to the one K - 1 earlier, both directions and the skip;
            entering (H, K, R S): what a frame adds to the state at the end of the chunk, second direction: to that at its start;
            turn (H, R, S, S): exp(K z) as matrices that turn and shrink pairs (a row vector from the left);
            read (2, H, P, 1, R S): real and imaginary part of the output, for either part of the state;
            leaving (H, 2 R S, K): what the state, multiplied with either, adds to each frame.
        """
        chunk, modes, wide = self.chunk, self.num_modes, 2 * self.num_directions * self.num_modes
        steps, there = (fixed(value) for value in self.constants())
        size, angle = torch.exp(self.z_real * steps) * there, self.z_imag * steps
        pairs = torch.cat([size * torch.cos(angle), size * torch.sin(angle)], dim=2)  # (H, R, S, 4 K)
        entering, over, later = pairs.split([chunk, 1, 3 * chunk - 1], dim=3)
        n = torch.arange(2 * modes)
        row, column = n.unsqueeze(1), n.unsqueeze(0)
        real = fixed((row == column).float())
        imag = fixed((row + modes == column).float() - (row == column + modes).float())
        re, im = over.split([modes, modes], dim=2)
        turn = torch.cat([re, re], dim=2) * real + torch.cat([im, im], dim=2) * imag
        # Re(a b) = Re a Re b - Im a Im b: rows Re and -Im for the real part of the output, -Im and -Re for its imaginary part.
        minus = fixed(torch.where(n < modes, 1.0, -1.0).unsqueeze(1))
        leaving, lag = (later * minus).split([chunk, 2 * chunk - 1], dim=3)
        crossed = leaving.index_select(2, fixed((n + modes) % (2 * modes))) * minus
        middle = fixed((torch.arange(1 - chunk, chunk) == 0).float())
        taps = Reshape.apply(self.readout, 0, 0, -1) @ Reshape.apply(lag, 0, -1, 2 * chunk - 1) + self.skip * middle
        parts = self.readout.split([modes, modes], dim=3)  # (H, P, R, N)
        read = [Reshape.apply(torch.cat([part, part], dim=3), 0, -1, 1, wide) for part in parts]
        return (
            Reshape.apply(taps, -1, 1, 1, 2 * chunk - 1),
            Reshape.apply(entering, 0, -1, chunk).transpose(1, 2),
            turn,
            *read,
            Reshape.apply(torch.cat([leaving, crossed], dim=1), 0, -1, chunk),
        )

    def forward(self, u: torch.Tensor, carried: "Carried | None" = None) -> torch.Tensor:
        """Whole chunks, or with `carried` the next chunk of a stream (one direction).

        Args:
            u: (B, C K, E), zero beyond an utterance's end.
            carried: holds the state before this chunk and takes the one behind it.

        Returns:
            (B, C K, E).
        """
        heads, width, chunk, directions = self.num_heads, self.head_dim, self.chunk, self.num_directions
        taps, entering, turn, real, imag, leaving = self.tables()
        rows = Reshape.apply(u.transpose(1, 2), 0, heads * width, -1, chunk)  # (B, E, C, K)
        y = torch.nn.functional.conv2d(rows, taps, padding=(0, chunk - 1), groups=heads * width)
        added = Reshape.apply(rows, 0, heads, -1, chunk) @ entering  # (B, H, P C, R S)
        added = Reshape.apply(added, 0, heads, width, -1, directions * 2 * self.num_modes).chunk(directions, dim=-1)
        before = Carry.apply(turn, *added) if carried is None else carried.step(added[0], turn[:, 0])
        state = torch.cat(before, dim=-1)  # (B, H, P, C, R S)
        seen = Reshape.apply(
            torch.cat([state * real, state * imag], dim=-1), 0, heads, -1, 4 * directions * self.num_modes
        )
        y = y + Reshape.apply(seen @ leaving, 0, heads * width, -1, chunk)
        return Reshape.apply(y, 0, heads * width, -1).transpose(1, 2)


def fixed(value: torch.Tensor) -> torch.Tensor:
    """A constant of a graph: a tracer writes how a tensor was made, unless its numbers come from outside."""
    return torch.from_numpy(value.detach().numpy().copy())


class Carried:
    """State of one layer of a stream on its way through a chunk.

    Args:
        packed: (B, 2 E N) before the chunk; after `step` the one behind it.
    """

    def __init__(self, packed: torch.Tensor):
        self.packed = packed

    def step(self, added: torch.Tensor, turn: torch.Tensor) -> tuple[torch.Tensor]:
        """Args: added (B, H, P, 1, S), turn (H, S, S). Returns: the state before the chunk, shaped as `added`."""
        before = self.packed.reshape(-1, added.shape[1], added.shape[2], turn.shape[2])
        self.packed = (before @ turn + added[:, :, :, 0]).flatten(1)
        return (before.unsqueeze(3),)
