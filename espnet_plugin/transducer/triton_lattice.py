"""The lattice's dynamic programme by Triton: one launch forward and one backward for a batch, as torch operators.

Operators, so that whatever stands between torch and a device sees one operation each. On a CPU they run in Triton's interpreter where that
was asked for (``TRITON_INTERPRET=1`` before the import), else by the anti-diagonals: that is for simulated devices only, `triton_lattice`
refuses it.
"""

import torch
import triton
from triton.runtime.interpreter import InterpretedFunction

from espnet_plugin.errors import UserError
from espnet_plugin.transducer.lattice import by_torch, settled
from espnet_plugin.transducer.triton_kernels import backward_kernel, forward_kernel

LANES = 64  # symbols of a warp
INTERPRETED = isinstance(forward_kernel, InterpretedFunction)


def sizes(blank: torch.Tensor, modified: bool, delay_penalty: float) -> dict:
    """Arguments that both kernels take."""
    _, T, W = blank.shape
    block = triton.next_power_of_2(W)
    warps = min(max(block // LANES, 1), 16)
    return dict(T=T, W=W, SHEAR=int(modified), DELAY=delay_penalty, BLOCK=block, num_warps=warps)


def run_forward(
    blank: torch.Tensor,
    emit: torch.Tensor,
    T_lens: torch.Tensor,
    U_lens: torch.Tensor,
    modified: bool,
    delay_penalty: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """See `forward_kernel`. Returns: total (B,) and alpha (B, T + 1 or T, W), float64."""
    B, T, W = blank.shape
    total = blank.new_empty(B, dtype=torch.float64)
    alpha = blank.new_empty(B, T + modified, W, dtype=torch.float64)
    if B:
        forward_kernel[(B,)](blank, emit, T_lens, U_lens, alpha, total, **sizes(blank, modified, delay_penalty))
    return total, alpha


def run_backward(
    blank: torch.Tensor,
    emit: torch.Tensor,
    T_lens: torch.Tensor,
    U_lens: torch.Tensor,
    alpha: torch.Tensor,
    modified: bool,
    delay_penalty: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """See `backward_kernel`. Returns: posteriors of blank arcs (B, T, W) and of emit arcs (B, T, W - 1), float32."""
    on_blank, on_emit = (torch.empty_like(x, dtype=torch.float32) for x in (blank, emit))
    if len(blank):
        lengths = T_lens, U_lens
        backward_kernel[(len(blank),)](
            blank, emit, *lengths, alpha, on_blank, on_emit, **sizes(blank, modified, delay_penalty)
        )
    return on_blank, on_emit


lattice_forward = torch.library.custom_op(
    "espnet_todm::lattice_forward", run_forward, mutates_args=(), device_types="cuda"
)
lattice_backward = torch.library.custom_op(
    "espnet_todm::lattice_backward", run_backward, mutates_args=(), device_types="cuda"
)


@lattice_forward.register_kernel("cpu")
def _(blank, emit, T_lens, U_lens, modified, delay_penalty):
    if INTERPRETED:
        return run_forward(blank, emit, T_lens, U_lens, modified, delay_penalty)
    total, _, _ = by_torch(blank, emit, T_lens, U_lens, delay_penalty, modified)
    return total, blank.new_zeros(len(blank), blank.shape[1] + modified, blank.shape[2], dtype=torch.float64)


@lattice_backward.register_kernel("cpu")
def _(blank, emit, T_lens, U_lens, alpha, modified, delay_penalty):
    if INTERPRETED:
        return run_backward(blank, emit, T_lens, U_lens, alpha, modified, delay_penalty)
    _, *posteriors = by_torch(blank, emit, T_lens, U_lens, delay_penalty, modified)
    return tuple(settled(x, torch.float32) for x in posteriors)


def triton_lattice(
    blank: torch.Tensor,
    emit: torch.Tensor,
    T_lens: torch.Tensor,
    U_lens: torch.Tensor,
    delay_penalty: float = 0.0,
    modified: bool = False,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """What `by_torch` computes, in float64 too; posteriors come as float32, negligible ones as 0.

    Raises:
        UserError: tensors on a CPU, without Triton's interpreter.
    """
    if blank.device.type == "cpu" and not INTERPRETED:
        raise UserError("transducer_conf.backend: 'triton' needs a GPU, use 'torch' or 'auto' on a CPU")
    problem = blank.contiguous(), emit.contiguous(), T_lens.contiguous(), U_lens.contiguous()
    total, alpha = lattice_forward(*problem, modified, delay_penalty)
    return total, *lattice_backward(*problem, alpha, modified, delay_penalty)
