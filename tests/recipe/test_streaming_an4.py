"""The recipe with ``--streaming true`` on real speech: forward sizes, decoded chunk by chunk, latency stated."""

import json
import shutil

import pytest
import yaml
from test_an4 import ROOT, an4, recipe  # noqa: F401 (a fixture)

from espnet_plugin.asr.inference.loading import read_config
from espnet_plugin.bin.decode import main
from espnet_plugin.deploy.client import open_folder
from espnet_plugin.recipe import named_sizes


@pytest.fixture(scope="module")
def finished(an4, tmp_path_factory):  # noqa: F811
    work = tmp_path_factory.mktemp("streaming")
    conf = yaml.safe_load((ROOT / "conf" / "train_an4.yaml").read_text())
    conf["encoder_conf"]["search_space"]["directions"] = ["forward", "bidirectional"]
    conf["max_epoch"] = 6
    (work / "train.yaml").write_text(yaml.safe_dump(conf))
    (work / "decode.yaml").write_text("chunk_ms: 200\n")
    options = ("--streaming", "true", "--asr_config", work / "train.yaml", "--inference_config", work / "decode.yaml")
    done = recipe(work, an4, *map(str, options))
    assert done.returncode == 0, done.stdout + done.stderr
    return work


def test_all_sizes_run_forward_and_the_result_states_their_latency(finished):
    rows = json.loads((finished / "exp" / "results.json").read_text())
    assert rows and all(row["subnet"].endswith("_forward") and row["words"] > 0 for row in rows)
    for row in rows:
        assert row["latency"] == {"chunk_ms": 200, "look_ahead_ms": 37.5, "most_ms": 237.5, "mean_ms": 137.5}
    report = (finished / "exp" / "RESULTS.md").read_text()
    assert "in chunks of 200 ms: a word waits for at most 237.5 ms" in report


def test_named_sizes_run_forward_too(finished):
    words = [
        "--train_config",
        finished / "exp/supernet/config.yaml",
        "--model_file",
        finished / "exp/supernet/averaged.pth",
    ]
    for direction in ("forward", "bidirectional"):
        out = finished / f"{direction}.json"
        named_sizes.main([*map(str, [*words, "--sizes", "4x128", "--direction", direction, "--out", out])])
        assert json.loads(out.read_text())["sizes"][0]["subnet"].endswith(f"_{direction}")


def test_sizes_are_exported_for_the_streaming_client(finished):
    sizes = sorted((finished / "exp" / "sizes").iterdir())
    for folder in sizes:
        assert json.loads((folder / "device.json").read_text())["streaming"]
        assert all(open_folder(folder / name).streaming for name in ("sherpa-onnx", "sherpa-onnx-int8"))
    assert sizes and "of a stream that completes it" in (finished / "exp" / "RESULTS.md").read_text()


def test_the_supernets_folder_has_what_its_configuration_names(finished, tmp_path):
    """So that it works from any folder, and moved: run.sh's paths are relative to the recipe."""
    moved = shutil.copytree(finished / "exp" / "supernet", tmp_path / "moved", ignore=shutil.ignore_patterns("*.pth"))
    args = read_config(moved / "config.yaml")
    assert args.bpemodel == str(moved / "bpe.model")
    assert args.normalize_conf["stats_file"] == str(moved / "feats_stats.npz")


def test_chunk_by_chunk_finds_what_the_whole_utterance_gives(finished):
    """Decoded again without streaming: the same words, and no latency stays behind."""
    size = finished / "exp" / "sizes" / json.loads((finished / "exp" / "sizes.json").read_text())["sizes"][0]["name"]
    data = finished / "dump" / "raw" / "test"
    decoded = size / "decode" / "test"
    streamed = (decoded / "text").read_text()
    assert (decoded / "latency.json").is_file()
    main(["--model_dir", str(size), "--data", str(data)])
    assert (decoded / "text").read_text() == streamed
    assert not (decoded / "latency.json").exists()
