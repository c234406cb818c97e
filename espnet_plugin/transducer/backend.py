"""Who runs the lattice's dynamic programme: our own anti-diagonals, or k2's kernel where k2 is installed."""

import torch

from espnet_plugin.errors import UserError
from espnet_plugin.transducer.lattice import FORBIDDEN, Recursion, antidiagonals

BACKENDS = ("auto", "torch", "k2")


def mutual_information(
    blank: torch.Tensor, emit: torch.Tensor, T_lens: torch.Tensor, U_lens: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """What `antidiagonals` computes, by k2's mutual-information recursion, in float64 too."""
    import k2

    # k2's tables have the symbols first, and emit arcs at one frame more.
    px = torch.nn.functional.pad(emit.double().transpose(1, 2), (0, 1), value=FORBIDDEN)  # (B, U, T + 1)
    py = blank.double().transpose(1, 2)  # (B, U + 1, T)
    begin = torch.zeros_like(T_lens)
    boundary = torch.stack([begin, begin, U_lens, T_lens], 1).long()
    total, (on_emit, on_blank) = k2.mutual_information_recursion(px, py, boundary, return_grad=True)
    return total, on_blank.transpose(1, 2), on_emit.transpose(1, 2)[:, :-1]


def recursion_of(backend: str) -> Recursion:
    """Dynamic programme of a backend.

    Args:
        backend: ``torch``; ``k2``; or ``auto``, which is k2 where it imports and torch elsewhere.

    Raises:
        UserError: an unknown name, or ``k2`` where it does not import.
    """
    if backend not in BACKENDS:
        raise UserError(f"transducer_conf.backend: '{backend}' is not one of {list(BACKENDS)}")
    if backend == "torch":
        return antidiagonals
    try:
        import k2  # noqa: F401
    except (ImportError, OSError) as error:  # OSError: its libraries are not those of this torch
        if backend == "auto":
            return antidiagonals
        raise UserError(
            f"transducer_conf.backend: 'k2' does not import here ({error}), use 'torch' or 'auto'"
        ) from error
    return mutual_information
