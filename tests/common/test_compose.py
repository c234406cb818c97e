"""Configurations with a base: merging, refusals, and the one file that a run stores."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from espnet_plugin.common.compose import compose, merge, write_composed
from espnet_plugin.errors import UserError

keys = st.text("abc", min_size=1, max_size=2)
trees = st.recursive(
    st.dictionaries(keys, st.integers() | st.none() | st.lists(st.integers(), max_size=2), max_size=3),
    lambda inner: st.dictionaries(keys, inner | st.integers(), max_size=3),
    max_leaves=8,
)


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder


def test_a_file_says_only_what_differs(tmp_path):
    write(tmp_path, grand="a: 1\nlist: [1, 2]\nin: {x: 1, y: {z: 2}}", parent="base: grand.yaml\nin: {y: {z: 3}}")
    write(tmp_path, child="base: parent.yaml\nlist: [3]\na: null\nin: {w: 4}")
    assert compose(tmp_path / "child.yaml") == {"a": None, "list": [3], "in": {"x": 1, "y": {"z": 3}, "w": 4}}


def test_options_of_another_class_are_dropped():
    base = {"optim": "scaledadam", "optim_conf": {"clipping_scale": 2.0, "lr": 0.045}}
    assert merge(base, {"optim": "adam", "optim_conf": {"lr": 0.001}}) == {"optim": "adam", "optim_conf": {"lr": 0.001}}
    assert merge(base, {"optim": "adam"}) == {"optim": "adam"}
    assert merge(base, {"optim": "scaledadam", "optim_conf": {"lr": 1}})["optim_conf"] == {
        "clipping_scale": 2.0,
        "lr": 1,
    }


@given(trees, trees)
def test_merging_keeps_what_is_not_named(base, changes):
    before = repr((base, changes))
    merged = merge(base, changes)
    assert set(merged) == set(base) | set(changes) and repr((base, changes)) == before
    assert merge(base, {}) == base and merge({}, changes) == changes and merge(merged, changes) == merged


@pytest.mark.parametrize(
    "files, said",
    [
        (dict(a="base: b.yaml", b="base: a.yaml"), "base leads back to the file itself"),
        (dict(a="base: a.yaml"), "base leads back to the file itself"),
        (dict(a="base: none.yaml"), "none.yaml' does not exist"),
        (dict(a="base: [b.yaml]"), "base ['b.yaml'] must be the name of one YAML file"),
        (dict(a="base: b.yaml", b="- 1"), "b.yaml': must hold 'key: value' lines"),
        (dict(a="x: [1\ny: }"), "is not YAML"),
    ],
)
def test_mistakes_are_named(tmp_path, files, said):
    with pytest.raises(UserError) as error:
        compose(write(tmp_path, **files) / "a.yaml")
    assert said in str(error.value) and str(tmp_path) in str(error.value) and "\n" not in str(error.value)


def test_one_plain_file_is_stored(tmp_path):
    write(tmp_path, b="x: 1\ny: {z: 2}", a="base: b.yaml\nx: 3")
    made = write_composed(tmp_path / "a.yaml", tmp_path / "run" / "composed.yaml")
    stored = tmp_path / "run" / "composed.yaml"
    assert yaml.safe_load(stored.read_text()) == made == compose(stored) == {"x": 3, "y": {"z": 2}}
    assert [path.name for path in stored.parent.iterdir()] == ["composed.yaml"]
    command = [Path(sys.executable).with_name("espnet-todm"), "compose", "--config", tmp_path / "a.yaml"]
    assert yaml.safe_load(subprocess.run(command, capture_output=True, text=True, check=True).stdout) == made


@pytest.mark.parametrize("form", [["--config", "{}"], ["--config={}"]])
def test_a_training_gets_the_whole_and_writes_nothing_yet(tmp_path, form):
    from espnet_plugin.bin.train import read_arguments

    write(tmp_path, b="seed: 1", a="base: b.yaml\nmax_epoch: 2")
    config = [word.format(tmp_path / "a.yaml") for word in form]
    args, conf = read_arguments(["--ngpu", "0", *config, "--output_dir", str(tmp_path / "exp")])
    assert (args.seed, args.max_epoch, args.ngpu, args.config) == (1, 2, 0, str(tmp_path / "a.yaml"))
    assert conf == args.composed == {"seed": 1, "max_epoch": 2} and not (tmp_path / "exp").exists()
    plain, conf = read_arguments(["--config", str(tmp_path / "b.yaml"), "--seed", "3"])
    assert plain.seed == 3 and conf == {"seed": 1} and "composed" not in plain
    assert read_arguments(["--seed", "4"])[1] == {}


@pytest.mark.parametrize(
    "text, said",
    [
        ("a: 1\nb:\n  c: 2\n  c: 3", "line 4: key 'c' stands twice"),
        ("a: 1\n'a': 2", "line 2: key 'a' stands twice"),
        ("a: &x [1, *x]", "line 1: '*x' stands within what it names"),
        ("a: " + "[" * 3000 + "]" * 3000, "line 1: is nested more than 50 deep"),
        ("a: " + "9" * 5000, "is not YAML"),
        ("a: 2026-13-45", "is not YAML"),
        ("a: !!python/object:os.system x", "line 1: is not YAML"),
        ("a: b: c", "line 1: is not YAML"),
    ],
)
def test_yaml_that_no_one_can_mean_is_refused(tmp_path, text, said):
    with pytest.raises(UserError) as error:
        compose(write(tmp_path, a=text) / "a.yaml")
    assert said in str(error.value) and str(tmp_path) in str(error.value) and "\n" not in str(error.value)


def test_anchors_and_merge_keys_are_taken(tmp_path):
    text = "one: &o {a: 1, b: 2}\ntwo: {<<: *o, b: 3}\nthree: [*o, *o]"
    assert compose(write(tmp_path, a=text) / "a.yaml") == {
        "one": {"a": 1, "b": 2},
        "two": {"a": 1, "b": 3},
        "three": [{"a": 1, "b": 2}] * 2,
    }


def test_an_output_is_none_of_the_inputs(tmp_path):
    write(tmp_path, b="x: 1", a="base: b.yaml\ny: 2")
    before = {path: path.read_text() for path in tmp_path.iterdir()}
    for name in ("a", "b"):
        with pytest.raises(UserError, match="is not replaced, since it is or holds the input"):
            write_composed(tmp_path / "a.yaml", tmp_path / f"{name}.yaml")
    assert {path: path.read_text() for path in tmp_path.iterdir()} == before
