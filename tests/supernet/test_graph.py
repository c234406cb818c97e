"""Cutting a step's graph, by hand; against the summed loss of whole models in tests/asr/test_step.py."""

from dataclasses import dataclass

import torch

from espnet_plugin.supernet.graph import backward_through, cut, one_by_one


def test_cut_and_back_by_hand():
    """y = 3 x twice, one part through the cut: d(y1 + 2 y2)/dx = 3 + 6."""
    x = torch.tensor(2.0, requires_grad=True)
    tree = {"a": (3 * x, [torch.tensor(1.0)]), "b": 3 * x, "unused": 5 * x}
    leaf, pairs = cut(tree)
    assert leaf["a"][0].is_leaf and leaf["a"][1][0] is tree["a"][1][0] and len(pairs) == 3
    leaf["a"][0].backward()
    (2 * leaf["b"]).backward()
    assert x.grad is None
    backward_through(pairs)
    assert x.grad == 9


@dataclass(frozen=True)
class Net:
    name: str
    loss: torch.Tensor


def test_nets_one_by_one_by_hand():
    """s = 3 x; losses s^2 and 5 s at x = 2: each halved, d/dx = (2 * 6 * 3 + 15) / 2; forward runs inside the context, backward outside."""
    x, seen = torch.tensor(2.0, requires_grad=True), []

    def nets(s):
        for name, loss in (("first", s * s), ("second", 5 * s)):
            seen.append((name, torch.is_inference_mode_enabled(), torch.is_autocast_enabled("cpu")))
            yield Net(name, loss)

    done = one_by_one(lambda: 3 * x, nets, 0.5, lambda: torch.autocast("cpu", torch.bfloat16))
    assert x.grad == 25.5 and [(net.name, net.loss.item()) for net in done] == [("first", 36.0), ("second", 30.0)]
    assert not any(net.loss.requires_grad for net in done)
    assert seen == [("first", False, True), ("second", False, True)] and not torch.is_autocast_enabled("cpu")
