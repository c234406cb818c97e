import random

import pytest
import torch

from espnet_plugin.asr.inference.extract import cost, extract
from espnet_plugin.errors import UserError
from espnet_plugin.search import costs as search_costs
from espnet_plugin.search.costs import Costs, Limits, matrices, quantity, weight_bytes
from espnet_plugin.search.explore import RandomSearch


@pytest.mark.parametrize(
    "kind, text, value",
    [
        ("params", "10M", 10e6),
        ("params", "1282244", 1282244),
        ("size", "12MB", 12e6),
        ("size", "1.5 MiB", 1.5 * 2**20),
        ("latency", "80ms", 0.08),
        ("macs", "200M", 200e6),
    ],
)
def test_quantities(kind, text, value):
    assert quantity(kind, text) == pytest.approx(value)


@pytest.mark.parametrize(
    "kind, text", [("params", "10MB"), ("size", "big"), ("latency", "-3ms"), ("params", "0"), ("latency", "")]
)
def test_other_quantities_are_refused(kind, text):
    with pytest.raises(UserError, match=f"--max-{kind}: '{text}' must be a number above 0 and a unit"):
        quantity(kind, text)


def test_matrices_are_those_of_the_extracted_model(loaded):
    model = loaded.model
    rng = random.Random(0)
    for _ in range(5):
        subnet = model.search_space.sample(rng)
        alone, _ = extract(loaded, subnet)
        found = [
            (module.weight[0].numel(), len(module.weight))
            for name, module in alone.named_modules()
            if isinstance(module, torch.nn.Linear | torch.nn.Conv1d) and not name.startswith("decoder.")
        ]
        assert sorted(matrices(model, subnet)) == sorted(found)
        params = sum(p.numel() for p in alone.parameters())
        assert weight_bytes(model, subnet, params, int8=False) == 4 * params
        weights, outputs = sum(i * o for i, o in found), sum(o for _, o in found)
        assert weight_bytes(model, subnet, params, int8=True) == 4 * params - 3 * weights + 5 * outputs


def test_a_search_at_the_limit_counts_each_subnet_once(loaded, monkeypatch):
    model, _ = loaded
    costs, counted = Costs(model), []
    monkeypatch.setattr(search_costs, "cost", lambda *args: counted.append(args) or cost(*args))
    most = costs.of(model.search_space.min)["params"]
    search = RandomSearch(model.search_space, fits=lambda subnet: costs.of(subnet)["params"] <= most)
    assert search.propose({}, 2) == [model.search_space.min]
    assert len(counted) == len({subnet for _, subnet in counted}) > 1000


def test_limits_tell_what_is_beyond(loaded):
    model, _ = loaded
    costs = Costs(model).of(model.search_space.max)
    limits = Limits({"params": costs["params"] / 2, "size": costs["size"]})
    assert limits.excess(costs) == {"params": 2.0}
    assert Limits({}).excess(costs) == {}
