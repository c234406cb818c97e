"""Who runs the lattice's dynamic programme: Triton's kernels on a GPU, our own anti-diagonals, or k2's kernel where k2 is installed."""

from functools import cache, partial
from importlib import import_module

import torch

from espnet_plugin.errors import UserError
from espnet_plugin.transducer.lattice import FORBIDDEN, Recursion, by_torch, real_arcs

BACKENDS = ("auto", "torch", "triton", "k2")


@cache
def missing(module: str) -> str | None:
    """Why a module does not import here; None where it does."""
    try:
        import_module(module)
    except (ImportError, OSError) as error:  # OSError: its libraries are not those of this torch
        return str(error)
    return None


def by_triton(*problem, **options) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """See `triton_lattice`, whose module is imported where it is used: Triton comes with torch's GPU builds only."""
    from espnet_plugin.transducer.triton_lattice import triton_lattice

    return triton_lattice(*problem, **options)


def mutual_information(
    blank: torch.Tensor,
    emit: torch.Tensor,
    T_lens: torch.Tensor,
    U_lens: torch.Tensor,
    delay_penalty: float = 0.0,
    modified: bool = False,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """What `by_torch` computes, by k2's mutual-information recursion, in float64 too."""
    import k2

    possible = T_lens >= U_lens
    blank, emit = real_arcs(blank, emit, T_lens, U_lens, delay_penalty)
    # k2's tables have the symbols first, and in the regular lattice emit arcs at one frame more.
    px = emit.double().transpose(1, 2)  # (B, U, T)
    if modified:
        U_lens = torch.minimum(
            U_lens, T_lens
        )  # k2 warns of utterances without a path, whose results are replaced below
    else:
        px = torch.nn.functional.pad(px, (0, 1), value=FORBIDDEN)
    py = blank.double().transpose(1, 2)  # (B, U + 1, T)
    begin = torch.zeros_like(T_lens)
    boundary = torch.stack([begin, begin, U_lens, T_lens], 1).long()
    total, (on_emit, on_blank) = k2.mutual_information_recursion(px, py, boundary, return_grad=True)
    on_blank, on_emit = on_blank.transpose(1, 2), on_emit.transpose(1, 2)[:, : blank.shape[1]]
    if modified:
        total, on_blank, on_emit = (
            torch.where(possible.view(-1, *[1] * (x.ndim - 1)), x, 0) for x in (total, on_blank, on_emit)
        )
    return total, on_blank, on_emit


def by_device(blank: torch.Tensor, *problem, **options) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """On a CPU `by_torch`; elsewhere Triton, or where that is missing k2, or where both are `by_torch`."""
    if blank.device.type == "cpu":
        return by_torch(blank, *problem, **options)
    if missing("triton") is None:
        return by_triton(blank, *problem, **options)
    return (by_torch if missing("k2") else mutual_information)(blank, *problem, **options)


PROGRAMMES = dict(auto=by_device, torch=by_torch, triton=by_triton, k2=mutual_information)


def recursion_of(backend: str, modified: bool = False) -> Recursion:
    """Dynamic programme of a backend.

    Args:
        backend: ``torch``; ``triton``, for GPUs; ``k2``; or ``auto``, see `by_device`.
        modified: of the modified lattice.

    Raises:
        UserError: an unknown name, or a backend that does not import here.
    """
    if backend not in BACKENDS:
        raise UserError(f"transducer_conf.backend: '{backend}' is not one of {list(BACKENDS)}")
    if backend in ("triton", "k2") and (why := missing(backend)) is not None:
        raise UserError(f"transducer_conf.backend: '{backend}' does not import here ({why}), use 'torch' or 'auto'")
    return partial(PROGRAMMES[backend], modified=modified)


def may_use_torchaudio(backend: str, modified: bool, device: torch.device) -> bool:
    """Whether torchaudio may compute a full loss: where `by_torch` would run, and of the regular lattice."""
    return not modified and (backend == "torch" or (backend == "auto" and device.type == "cpu"))
