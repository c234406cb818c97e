"""Who runs the lattice's dynamic programme: our own anti-diagonals, or k2's kernel where k2 is installed."""

from functools import partial

import torch

from espnet_plugin.errors import UserError
from espnet_plugin.transducer.lattice import FORBIDDEN, Recursion, antidiagonals, frame_by_frame

BACKENDS = ("auto", "torch", "k2")


def mutual_information(
    blank: torch.Tensor, emit: torch.Tensor, T_lens: torch.Tensor, U_lens: torch.Tensor, modified: bool = False
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """What `antidiagonals` or, modified, `frame_by_frame` computes, by k2's mutual-information recursion, in float64 too."""
    import k2

    # k2's tables have the symbols first, and in the regular lattice emit arcs at one frame more.
    px = emit.double().transpose(1, 2)  # (B, U, T)
    if not modified:
        px = torch.nn.functional.pad(px, (0, 1), value=FORBIDDEN)
    py = blank.double().transpose(1, 2)  # (B, U + 1, T)
    begin = torch.zeros_like(T_lens)
    boundary = torch.stack([begin, begin, U_lens, T_lens], 1).long()
    total, (on_emit, on_blank) = k2.mutual_information_recursion(px, py, boundary, return_grad=True)
    on_blank, on_emit = on_blank.transpose(1, 2), on_emit.transpose(1, 2)[:, : blank.shape[1]]
    if modified:
        possible = T_lens >= U_lens
        total, on_blank, on_emit = (
            torch.where(possible.view(-1, *[1] * (x.ndim - 1)), x, 0) for x in (total, on_blank, on_emit)
        )
    return total, on_blank, on_emit


def recursion_of(backend: str, modified: bool = False) -> Recursion:
    """Dynamic programme of a backend.

    Args:
        backend: ``torch``; ``k2``; or ``auto``, which is k2 where it imports and torch elsewhere.
        modified: of the modified lattice.

    Raises:
        UserError: an unknown name, or ``k2`` where it does not import.
    """
    if backend not in BACKENDS:
        raise UserError(f"transducer_conf.backend: '{backend}' is not one of {list(BACKENDS)}")
    own = frame_by_frame if modified else antidiagonals
    if backend == "torch":
        return own
    try:
        import k2  # noqa: F401
    except (ImportError, OSError) as error:  # OSError: its libraries are not those of this torch
        if backend == "auto":
            return own
        raise UserError(
            f"transducer_conf.backend: 'k2' does not import here ({error}), use 'torch' or 'auto'"
        ) from error
    return partial(mutual_information, modified=True) if modified else mutual_information
