"""Our losses against k2's, by the values that make_k2_reference.py writes in an environment with k2."""

import json
from pathlib import Path

import pytest
import torch

from espnet_plugin.transducer.lattice import EarlyEmission, rnnt_loss
from espnet_plugin.transducer.pruned import gather_pruned, prune_ranges, pruned_rnnt_loss, simple_loss

REFERENCE = json.loads(Path(__file__).with_name("k2_reference.json").read_text())


class Case:
    """One of the reference's problems: settings as they are, tables as tensors."""

    def __init__(self, values):
        self.T_lens, self.U_lens = (torch.tensor(lens) for lens in zip(*values["sizes"]))
        self.prune_range = values["prune_range"]
        self.scales = {name: values[name] for name in ("lm_scale", "am_scale")}
        self.early = dict(blank=values["blank"], early=EarlyEmission(delay_penalty=values["delay_penalty"]))
        tables = {name: torch.tensor(x) for name, x in values.items() if isinstance(x, list) and name != "sizes"}
        self.am, self.lm, self.labels = (tables.pop(name) for name in ("am", "lm", "labels"))
        self.problem = (self.labels, self.T_lens, self.U_lens)
        self.expected = tables


@pytest.fixture(params=REFERENCE["cases"], ids=lambda x: f"{x['sizes']}-{x['prune_range']}")
def case(request):
    return Case(request.param)


def test_the_reference_is_k2s():
    assert REFERENCE["k2"] == "1.23.2" and len(REFERENCE["cases"]) == 5


def test_simple_loss_and_its_gradient_and_occupations(case):
    am = case.am.requires_grad_()
    found = simple_loss(am, case.lm, *case.problem, **case.scales, **case.early)
    torch.testing.assert_close(found.cost, case.expected["simple"], atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(found.occupation_blank, case.expected["occupation_blank"], atol=1e-5, rtol=1e-4)
    (gradient,) = torch.autograd.grad(found.cost.sum(), am)
    torch.testing.assert_close(gradient, case.expected["simple_gradient"], atol=1e-5, rtol=1e-4)


def test_ranges(case):
    simple = simple_loss(case.am, case.lm, *case.problem, **case.scales, **case.early)
    occupations = simple.occupation_blank, simple.occupation_emit
    assert torch.equal(prune_ranges(*occupations, case.T_lens, case.U_lens, case.prune_range), case.expected["ranges"])


def test_pruned_loss_and_its_gradient(case):
    ranges = case.expected["ranges"]
    logits = (2 * torch.tanh(case.am.unsqueeze(2) + gather_pruned(case.lm, ranges))).requires_grad_()
    found = pruned_rnnt_loss(logits, ranges, *case.problem, **case.early)
    torch.testing.assert_close(found, case.expected["pruned"], atol=1e-4, rtol=1e-5)
    (gradient,) = torch.autograd.grad(found.sum(), logits)
    torch.testing.assert_close(gradient, case.expected["pruned_gradient"], atol=1e-5, rtol=1e-4)


def test_full_loss(case):
    logits = 2 * torch.tanh(case.am.unsqueeze(2) + case.lm.unsqueeze(1))
    found = rnnt_loss(logits, *case.problem, **case.early)
    torch.testing.assert_close(found, case.expected["full"], atol=1e-4, rtol=1e-5)
