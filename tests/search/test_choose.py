"""Verbs choose, latency and page from end to end, on a tiny supernet of noise."""

import json

import pytest

from espnet_plugin.bin import choose, latency, page
from espnet_plugin.errors import UserError
from espnet_plugin.search.blocks import ModelBlocks
from espnet_plugin.search.choice import Found, shortlist
from espnet_plugin.search.costs import Costs
from espnet_plugin.search.latency import LatencyTable
from espnet_plugin.supernet.dimensions import FFN
from espnet_plugin.supernet.subnet import LayerAddress, Subnet


@pytest.fixture
def options(supernet):
    config, checkpoint, data = supernet
    return ["--train_config", str(config), "--model_file", str(checkpoint), "--data", str(data), "--evaluations", "30"]


def write_table(path, model, taken) -> str:
    """A table of a device by hand. Args: taken: last part of a block's name -> s, others take 10 ms."""
    blocks = ModelBlocks(model)
    names = {block for subnet in model.search_space.even() for block, _ in blocks.weighted(subnet, 0.5)}
    times = {name: taken.get(name.split()[-1], 0.01) for name in names}
    path.write_text(
        LatencyTable({"processor": "p"}, "none", "utterance", 4.0, 10.0, blocks.sizes, {1: times}).to_json()
    )
    return str(path)


def lines_of(path):
    return path.read_text().splitlines()


def test_a_ladder_of_sizes(options, loaded, tmp_path, capsys, read_json):
    out = tmp_path / "exp" / "sizes.json"
    choose.main([*options, "--num_sizes", "4", "--num_candidates", "2", "--out", str(out)])
    sizes, found = read_json(out)["sizes"], read_json(out.parent / "search.json")
    costs = Costs(loaded[0])
    space = loaded[0].search_space
    assert [size["name"] for size in sizes][:: len(sizes) - 1] == ["max", "min"] and len(sizes) == 4
    params = [size["params"] for size in sizes]
    assert params == sorted(params, reverse=True)
    for size in sizes:
        subnet = space.resolve(size["subnet"])
        assert costs.of(subnet)["params"] == size["params"] and set(size) == {"name", "subnet", "params", "dev_wer"}
    points = found["points"]
    assert len(points) == found["evaluations"] == 30 and sum("wer" in p for p in points) == found["decoded"] >= 4
    best = [p for p in points if p["front"]]
    assert all(a["params"] < b["params"] and a["loss"] > b["loss"] for a, b in zip(best, best[1:]))
    # Killed while it wrote, begun again: what is known is not evaluated again, and the outcome is the same.
    cache, before = out.parent / "search.jsonl", out.read_text()
    whole = cache.read_bytes()
    cache.write_bytes(whole[: len(whole) * 2 // 3])
    out.unlink()
    choose.main([*options, "--num_sizes", "4", "--num_candidates", "2", "--out", str(out)])
    assert out.read_text() == before and len(lines_of(cache)) == len(whole.splitlines()) + 1  # the torn one


def test_fewer_sizes_than_asked_for_are_told(options, tmp_path, capsys, read_json):
    few = ["--evaluations", "2", "--num_candidates", "1", "--num_sizes", "9"]
    choose.main([*options, *few, "--out", str(tmp_path / "sizes.json")])
    found = len(read_json(tmp_path / "sizes.json")["sizes"])
    assert found < 9
    said = capsys.readouterr().err
    assert f"warning: --num_sizes 9: only {found} different sizes" in said and "--evaluations than 2" in said


def test_sizes_of_one_share_are_numbered(loaded):
    """Names become folders, and a subnet's text form may be longer than a folder's name can be."""
    space, costs = loaded[0].search_space, Costs(loaded[0])
    ends = [space.resolve("max_forward"), space.resolve("min_bidirectional")]
    subnets = [space.max, ends[0], ends[0], ends[1], space.min]
    sizes = choose.named_sizes(subnets, space, costs, Found({}, dict.fromkeys(subnets, 50.0)))
    share = round(100 * costs.of(ends[0])["params"] / costs.of(space.max)["params"])
    assert [size["name"] for size in sizes[:3]] == ["max", f"p{share}-1", f"p{share}-2"]
    assert len({size["name"] for size in sizes}) == len(sizes)


def test_the_best_within_limits_is_extracted_and_decoded(options, supernet, loaded, tmp_path, capsys):
    model, _ = loaded
    costs = Costs(model, int8=True)
    most = (costs.of(model.search_space.max)["size"] + costs.of(model.search_space.min)["size"]) // 2
    limits = ["--max-size", f"{most}B", "--int8", "--max-params", "1M", "--num_candidates", "3"]
    model_dir = tmp_path / "best"
    choose.main([*options, *limits, "--extract", str(model_dir), "--decode", str(supernet[2])])
    said = capsys.readouterr().out
    facts = json.loads((model_dir / "subnet.json").read_text())
    assert f"best subnet within --max-params 1M, --max-size {most}B: {facts['subnet']}" in said and "why: " in said
    assert costs.of(model.search_space.parse(facts["subnet"]))["size"] <= most
    assert len(lines_of(model_dir / "decode" / "dev" / "text")) == 6 and "dev: WER " in said
    # What is said of the development set is what the extracted model does there.
    assert said.split("  WER ")[1].split()[0] == said.split("dev: WER ")[1].split()[0]


def test_an_impossible_limit_names_the_nearest(options, loaded, tmp_path, capsys):
    model_dir = tmp_path / "best"
    with pytest.raises(
        UserError, match=r"no subnet is within the limits: the nearest one is beyond --max-params 7 \(it"
    ):
        choose.main([*options, "--max-params", "7", "--extract", str(model_dir)])
    said = capsys.readouterr().out
    assert f"nearest possible: {loaded[0].search_space.min}\n" in said and "espnet-todm extract" in said
    assert not model_dir.exists()


def test_a_latency_limit_uses_the_table_of_a_device(options, supernet, loaded, tmp_path, capsys):
    config, checkpoint, data = map(str, supernet)
    table = tmp_path / "device.json"
    checked = ["--model_file", checkpoint, "--data", data, "--rounds", "2", "--check", "4", "--seconds", "0.5"]
    latency.main(["--train_config", config, *checked, "--out", str(table)])
    said = capsys.readouterr().out
    assert said.count(" ms predicted ") == 4 and "median error" in said
    made = latency.LatencyTable.read(table)
    space = loaded[0].search_space
    most = (made.latency(ModelBlocks(loaded.model), space.max) + made.latency(ModelBlocks(loaded.model), space.min)) / 2
    choose.main(
        [*options, "--max-latency", f"{1e3 * most:.4f}ms", "--device", str(table), "--out", str(tmp_path / "s.json")]
    )
    points = json.loads((tmp_path / "search.json").read_text())["points"]
    assert points and all(point["latency"] <= 1.0001 * most for point in points)
    assert "ms latency" in capsys.readouterr().out


@pytest.mark.parametrize("search", ["evolution", "random", "grid"])
def test_a_limit_that_only_wider_layers_meet(options, loaded, tmp_path, capsys, search):
    """On this device feed-forward width 4 takes longer than 8, so the min net is beyond a limit that others are within."""
    table = write_table(tmp_path / "device.json", loaded[0], {"x4": 3.0, "x8": 1.0, "x16": 5.0})
    limited = [*options, "--device", table, "--search", search, "--num_candidates", "1"]
    choose.main([*limited, "--max-latency", "2500ms", "--out", str(tmp_path / "sizes.json")])
    points = json.loads((tmp_path / "search.json").read_text())["points"]
    assert len(points) > 1 and all(point["latency"] <= 2.5 and "x4" not in point["subnet"] for point in points)
    capsys.readouterr()
    with pytest.raises(UserError, match=r"the nearest one is beyond --max-latency 900ms \(it has 1030 ms latency\)"):
        choose.main([*limited, "--max-latency", "900ms"])
    assert "nearest possible: 0x8" in capsys.readouterr().out


def test_limits_that_contradict_each_other_are_told(options, loaded, tmp_path):
    """Each can be met, by narrow layers or by wider ones, but not both."""
    model, _ = loaded
    table = write_table(tmp_path / "device.json", model, {"x4": 3.0})
    most = Costs(model).of(model.search_space.min)["params"]
    for search, said in (
        ("evolution", "budget: neither the smallest subnet"),
        ("grid", "--search: grid found no subnet"),
    ):
        limits = ["--max-latency", "2s", "--max-params", str(most), "--search", search]
        with pytest.raises(UserError, match=said):
            choose.main([*options, "--device", table, *limits])


@pytest.mark.parametrize(
    "wrong, said",
    [
        ([], "--out: is needed for a ladder"),
        (["--max-latency", "3ms"], "--device: is needed for a latency"),
        (["--max-params", "10MB"], "--max-params: '10MB' must be a number"),
        (["--max-params", "1M", "--decode", "x"], "--decode: needs --extract"),
        (["--max-params", "1M", "--extract", "d", "--decode", "x"], "--decode: 'x/wav.scp' does not exist"),
        (["--out", "s.json", "--extract", "d"], "--extract: needs a limit"),
        (["--out", "s.json", "--nj", "0"], "--nj: 0 must be from 1"),
        (["--out", "s.json", "--seconds", "nan"], "--seconds: nan must be above 0"),
        (["--out", "s.json", "--evaluations", "0"], "--evaluations: 0 must be at least 1"),
    ],
)
def test_contradictions_are_told(options, wrong, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as error:
        choose.main([*options, *wrong])
    assert said in str(error.value) and not any(tmp_path.iterdir())


def test_the_page_holds_what_the_search_found(options, tmp_path):
    choose.main([*options, "--num_sizes", "3", "--num_candidates", "1", "--out", str(tmp_path / "sizes.json")])
    score = tmp_path / "sizes" / "max" / "score" / "test" / "score.json"
    score.parent.mkdir(parents=True)
    score.write_text(json.dumps({"wer": 12.5, "cer": 3.25, "words": 8}))
    page.main(["--expdir", str(tmp_path)])
    text = (tmp_path / "front.html").read_text()
    data = json.loads(text.split('id="data">')[1].split("</script>")[0])
    assert {p["name"]: p["sets"] for p in data["points"] if p.get("name") == "max"} == {
        "max": {"test": {"wer": 12.5, "cer": 3.25}}
    }
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")  # the name of a format, not fetched
    assert (tmp_path / "front.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "front.svg").read_text()
    with pytest.raises(UserError, match="does not exist, run 'espnet-todm choose'"):
        page.main(["--expdir", str(tmp_path / "none")])


def test_a_conformers_sizes_are_chosen_and_what_needs_a_device_is_refused(conformer, tmp_path, read_json):
    config, checkpoint, data = map(str, conformer)
    options = ["--train_config", config, "--model_file", checkpoint, "--data", data, "--evaluations", "8"]
    choose.main([*options, "--num_sizes", "3", "--num_candidates", "1", "--out", str(tmp_path / "sizes.json")])
    assert len(read_json(tmp_path / "sizes.json")["sizes"]) == 3
    page.main(["--expdir", str(tmp_path)])
    with pytest.raises(UserError, match="--int8: sizes of encoder 'conformer_supernet' cannot be exported"):
        choose.main([*options, "--max-size", "1MB", "--int8"])
    with pytest.raises(UserError, match="latency: encoder 'conformer_supernet' has no blocks"):
        latency.main(["--train_config", config, "--out", str(tmp_path / "table.json")])


def test_choices_by_hand():
    a, b, c, d = (Subnet((LayerAddress(0, 0),), ((FFN, (width,)),)) for width in (100, 96, 104, 110))
    loss = {a: 3.0, b: 1.0, c: 2.0, d: 0.5}
    params = {a: 100, b: 96, c: 104, d: 110}.get
    assert shortlist(loss, params, 100, 2) == [b, c]  # d is beyond 5 %
    assert shortlist(loss, params, 200, 2) == [d]
    found = Found(loss, {a: 10.0, b: 10.0, c: 11.0})
    assert found.best([a, b, c, d], params) == b
    assert Found(loss, {a: 30.0, b: 10.0, c: 20.0}).correlation == pytest.approx(1.0)
    assert found.front(params) == [b, d]


def test_sizes_by_characters(options, tmp_path, capsys, read_json):
    out = tmp_path / "exp" / "sizes.json"
    choose.main([*options, "--metric", "cer", "--num_sizes", "2", "--out", str(out)])
    found = read_json(out.parent / "search.json")
    assert found["metric"] == "cer" and set(read_json(out)["sizes"][0]) == {"name", "subnet", "params", "dev_cer"}
    assert "dev CER" in capsys.readouterr().out and sum("cer" in point for point in found["points"]) == found["decoded"]
    choose.main([*options, "--num_sizes", "2", "--out", str(out)])
    kinds = [json.loads(line) for line in lines_of(out.parent / "search.jsonl")]
    assert len(kinds) == found["evaluations"] + 2 * found["decoded"]  # losses once, both error rates
