"""States of icefall's ScaledAdam, which stacks parameters of one shape, in the form of ours, where each parameter has its own."""

from collections.abc import Sequence
from typing import Any

import torch


def is_stacked(saved: dict) -> bool:
    """Whether a saved state is one of icefall's, whose groups hold nothing of clipping but its scale."""
    return any("clip_step" not in group for group in saved["param_groups"])


def batches_of(params: Sequence[torch.Tensor]) -> list[list[int]]:
    """Positions of the parameters that icefall stacks, in its order: by type and shape, the first one holding the state of all."""
    batches: dict[tuple, list[int]] = {}
    for position, p in enumerate(params):
        batches.setdefault((str(p.dtype), *p.shape), []).append(position)
    return [batches[key] for key in sorted(batches)]


def own_state(stacked: dict, row: int) -> dict:
    """State of one of the stacked parameters."""
    state: dict[str, Any] = {"step": int(stacked["step"])}
    state |= {key: stacked[key][row].clone() for key in ("delta", "exp_avg_sq")}
    if "param_rms" in stacked:
        state["param_rms"] = float(stacked["param_rms"][row])
        state["scale_exp_avg_sq"] = float(stacked["scale_exp_avg_sq"][row])
        state["scale_grads"] = stacked["scale_grads"][:, row].flatten().clone()
    return state


def unstacked(saved: dict, groups: Sequence[dict]) -> dict:
    """A saved state of icefall's ScaledAdam as one that ours loads.

    Args:
        saved: ``state_dict()`` of icefall's.
        groups: ``param_groups`` of ours, with the same parameters in the same order.
    """
    state: dict[int, dict] = {}
    new_groups: list[dict] = []
    first = 0
    for old, group in zip(saved["param_groups"], groups, strict=True):
        batches = batches_of(group["params"])
        for batch in batches:
            stacked = saved["state"].get(first + batch[0])
            if stacked:
                state |= {first + position: own_state(stacked, row) for row, position in enumerate(batch)}
        norms = (saved["state"].get(first + batches[0][0]) or {}) if batches else {}
        clipping = dict(clip_step=int(norms.get("step", 0)), clip_threshold=norms.get("model_norm_threshold"))
        if "model_norms" in norms:
            clipping["clip_norms"] = norms["model_norms"].tolist()
        elif clipping["clip_step"]:
            clipping["clip_norms"] = [0.0] * group["clipping_update_period"]
        new_groups.append({**group, **old, **clipping, "params": list(range(first, first + len(group["params"])))})
        first += len(group["params"])
    return {"state": state, "param_groups": new_groups}
