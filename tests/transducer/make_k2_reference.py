"""Write k2_reference.json: what k2's transducer losses give on small random problems, in float64.

Run in an environment with k2 1.23.2 (PyPI has it for Python 3.9 and torch 1.12.1):

    python3.9 -m venv k2env && k2env/bin/pip install torch==1.12.1 'numpy<2' graphviz && k2env/bin/pip install --no-deps k2==1.23.2
    k2env/bin/python tests/transducer/make_k2_reference.py
"""

import json
from pathlib import Path

import k2
import torch

VOCABULARY = 6
CASES = [
    dict(sizes=[(7, 4), (5, 2), (6, 3)], prune_range=3, lm_scale=0.25, am_scale=0.0, blank=0, delay_penalty=0.0),
    dict(sizes=[(9, 5), (9, 1)], prune_range=2, lm_scale=0.0, am_scale=0.0, blank=5, delay_penalty=0.0),
    dict(sizes=[(6, 5), (4, 4), (5, 0)], prune_range=4, lm_scale=0.2, am_scale=0.1, blank=0, delay_penalty=0.0),
    dict(sizes=[(8, 3), (5, 2)], prune_range=99, lm_scale=0.25, am_scale=0.0, blank=2, delay_penalty=0.0),
    dict(sizes=[(8, 4), (6, 3)], prune_range=3, lm_scale=0.25, am_scale=0.0, blank=0, delay_penalty=0.3),
]


def rounded(x: torch.Tensor) -> list:
    """Numbers with 9 decimals, whole numbers as they are."""
    if not x.is_floating_point():
        return x.tolist()
    if x.ndim:
        return [rounded(row) for row in x]
    return round(float(x), 9)


def inputs(seed: int, sizes: list, blank: int):
    """Acoustic and prediction scores with 3 decimals, so that the file holds them exactly, and labels other than blank."""
    generator = torch.Generator().manual_seed(seed)
    B, T, U = len(sizes), max(T for T, _ in sizes), max(U for _, U in sizes)
    am, lm = (
        (torch.randn(B, n, VOCABULARY, generator=generator, dtype=torch.float64) * 1000).round() / 1000
        for n in (T, U + 1)
    )
    labels = (blank + torch.randint(1, VOCABULARY, (B, U), generator=generator)) % VOCABULARY
    return am, lm, labels


def case(seed: int, sizes, prune_range, lm_scale, am_scale, blank, delay_penalty) -> dict:
    am, lm, labels = inputs(seed, sizes, blank)
    boundary = torch.tensor([[0, 0, U, T] for T, U in sizes])
    problem = dict(symbols=labels, termination_symbol=blank, boundary=boundary, reduction="none")
    problem["delay_penalty"] = delay_penalty
    scales = dict(lm_only_scale=lm_scale, am_only_scale=am_scale)
    am.requires_grad_()
    simple, (px_grad, py_grad) = k2.rnnt_loss_smoothed(lm=lm, am=am, return_grad=True, **scales, **problem)
    (simple_gradient,) = torch.autograd.grad(simple.sum(), am)
    ranges = k2.get_rnnt_prune_ranges(px_grad, py_grad, boundary, prune_range)
    pruned_am, pruned_lm = k2.do_rnnt_pruning(am.detach(), lm, ranges)
    logits = (2 * torch.tanh(pruned_am + pruned_lm)).requires_grad_()
    pruned = k2.rnnt_loss_pruned(logits=logits, ranges=ranges, **problem)
    (pruned_gradient,) = torch.autograd.grad(pruned.sum(), logits)
    full = k2.rnnt_loss(logits=2 * torch.tanh(am.detach().unsqueeze(2) + lm.unsqueeze(1)), **problem)
    values = dict(
        simple=simple,
        simple_gradient=simple_gradient,
        occupation_blank=py_grad.transpose(1, 2),
        ranges=ranges,
        pruned=pruned,
        pruned_gradient=pruned_gradient,
        full=full,
    )
    given = dict(am=am, lm=lm, labels=labels)
    conf = dict(
        sizes=sizes,
        prune_range=prune_range,
        lm_scale=lm_scale,
        am_scale=am_scale,
        blank=blank,
        delay_penalty=delay_penalty,
    )
    tensors = {name: rounded(x.detach()) for name, x in {**given, **values}.items()}
    return {**conf, **tensors}


if __name__ == "__main__":
    found = {"k2": k2.__dev_version__, "torch": torch.__version__}
    found["cases"] = [case(seed, **conf) for seed, conf in enumerate(CASES)]
    path = Path(__file__).with_name("k2_reference.json")
    path.write_text(json.dumps(found) + "\n")
    print(f"{path}: {len(CASES)} cases")
