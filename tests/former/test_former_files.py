"""Files of version 0.1.0, from before dimensions had a table and state space heads had parts, do what they did then.

A tiny supernet was trained for eight updates, its sizes were chosen, its blocks timed; `facts.json` is what that version made of them.
"""

import argparse
import json
import shutil
from pathlib import Path

import pytest
import tiny
import torch
from espnet2.torch_utils.safe_torch_load import safe_torch_load
from former_audio import write_data

from espnet_plugin.asr.inference.data import batches
from espnet_plugin.asr.inference.extract import extract, num_parameters
from espnet_plugin.asr.inference.loading import load_model
from espnet_plugin.asr.training.batch import Batch
from espnet_plugin.asr.training.step import accumulate
from espnet_plugin.asr.training.task import TODMTask
from espnet_plugin.bin import choose
from espnet_plugin.common.tables import read_table
from espnet_plugin.search.blocks import ModelBlocks
from espnet_plugin.search.latency import LatencyTable

FORMER = Path(__file__).parent
FACTS = json.loads((FORMER / "facts.json").read_text())


@pytest.fixture
def former(tmp_path, monkeypatch):
    """A working folder with the files and the audio."""
    for path in FORMER.glob("*.*"):
        if path.suffix != ".py":
            shutil.copy(path, tmp_path)
    monkeypatch.chdir(tmp_path)
    write_data(Path("dev"))
    return load_model(Path("config.yaml"), Path("model.pth"))


def values(lines: list[str]) -> dict[tuple[str, str], float]:
    return {(entry["measure"], entry["subnet"]): entry["value"] for entry in map(json.loads, lines)}


def test_a_search_measures_anew_and_chooses_the_same_sizes(former):
    """A cache of before does not say of which audio its values are: they stay, and are not believed."""
    before = Path("search.jsonl").read_text().splitlines(), Path("sizes.json").read_text()
    files = ["--train_config", "config.yaml", "--model_file", "model.pth", "--data", "dev", "--out", "sizes.json"]
    choose.main([*files, "--evaluations", "12", "--num_sizes", "3", "--num_candidates", "2"])
    cache = Path("search.jsonl").read_text().splitlines()
    number = len(before[0])
    assert Path("sizes.json").read_text() == before[1] and cache[:number] == before[0]
    assert values(cache[number:]) == pytest.approx(values(before[0]), rel=1e-5)
    choose.main([*files, "--evaluations", "12", "--num_sizes", "3", "--num_candidates", "2"])
    assert Path("search.jsonl").read_text().splitlines() == cache  # nothing was evaluated once more
    space = former.model.search_space
    for size in json.loads(before[1])["sizes"]:
        subnet = space.parse(size["subnet"])
        assert str(subnet) == size["subnet"] and num_parameters(former.model, subnet) == size["params"]


def test_a_latency_table_predicts_the_same(former):
    table, blocks = LatencyTable.read(Path("device.json")), ModelBlocks(former.model)
    table.check(blocks.sizes)
    for text, seconds in FACTS["latency"].items():
        assert table.latency(blocks, former.model.search_space.parse(text)) == pytest.approx(seconds, rel=1e-12)


def test_a_size_is_cut_out_and_computes_the_same(former):
    alone = extract(former, former.model.search_space.parse("0x8_2x4_p4")).model
    batch = next(batches(read_table(Path("dev/wav.scp")), 16000))
    with torch.no_grad():
        encoder_out, _ = alone.encode(batch.speech, batch.lengths)
    assert float(encoder_out.double().sum()) == pytest.approx(FACTS["encoder_sum"], rel=1e-4)


def test_training_goes_on_with_the_state_of_the_optimizer(former):
    model = former.model.train()
    conf = argparse.Namespace(**TODMTask.get_default_config() | vars(former.conf))
    conf.optim_conf["lr_scales"] = dict.fromkeys(("log_dt", "log_decay", "frequency"), 0.05)  # in the order of that run
    (optimizer,) = TODMTask.build_optimizers(conf, model)
    before = safe_torch_load("optimizer.pth", map_location="cpu")
    assert [g["param_names"] for g in before["param_groups"]] == [g["param_names"] for g in optimizer.param_groups]
    optimizer.load_state_dict(before)
    losses = []
    for seed in (8, 9, 10):
        torch.manual_seed(seed)
        names, batch = tiny.named(tiny.batch(seed))
        losses.append(accumulate(model, Batch.of(**batch, utt_id=names), 1.0, False).stats["loss"])
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)
        model.num_updates += 1
    assert losses == pytest.approx(FACTS["next_losses"], rel=1e-5)
