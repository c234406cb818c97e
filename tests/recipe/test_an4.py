"""All stages of the recipe on real speech: the AN4 utterances that ship in ESPnet's wheel."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

ROOT = Path(__file__).parents[2]
RUN = ROOT / "egs2" / "librispeech_todm" / "run.sh"


def kaldi_directories(source: Path, out: Path) -> None:
    """Write train, valid and test; the two test utterances serve for both of the latter."""
    audio = {path.stem: path for path in source.rglob("*.sph")}
    transcripts = {}
    for listing in source.rglob("*.transcription"):
        for line in listing.read_text().splitlines():
            words, _, name = line.rpartition("(")
            transcripts[name.rstrip(") ")] = words.replace("<s>", "").replace("</s>", "").strip()
    trained = {path.stem for path in source.rglob("*.sph") if "an4_clstk" in path.parts}
    for name, keys in (("train", trained), ("valid", audio.keys() - trained), ("test", audio.keys() - trained)):
        folder = out / name
        folder.mkdir(parents=True)
        keys = sorted(keys & transcripts.keys())
        (folder / "wav.scp").write_text("".join(f"{key} {audio[key]}\n" for key in keys))
        (folder / "text").write_text("".join(f"{key} {transcripts[key]}\n" for key in keys))
        (folder / "utt2spk").write_text("".join(f"{key} {key}\n" for key in keys))


@pytest.fixture(scope="module")
def an4(an4_dir, tmp_path_factory):
    out = tmp_path_factory.mktemp("kaldi")
    kaldi_directories(an4_dir, out)
    return out


def command(work: Path, data: Path, *options: str) -> dict:
    """Arguments of subprocess's functions."""
    words = [RUN, "--corpus", "custom", "--data_dir", data, "--asr_config", "conf/train_an4.yaml", "--nbpe", 40]
    words += ["--expdir", work / "exp", "--dumpdir", work / "dump", "--num_sizes", 3, "--num_candidates", 2, "--nj", 1]
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    return dict(args=[*map(str, words), *map(str, options)], env=environment)


def recipe(work: Path, data: Path, *options: str) -> subprocess.CompletedProcess:
    return subprocess.run(**command(work, data, *options), capture_output=True, text=True)


@pytest.fixture(scope="module")
def finished(an4, tmp_path_factory):
    work = tmp_path_factory.mktemp("work")
    done = recipe(work, an4)
    assert done.returncode == 0, done.stdout + done.stderr
    return work


def test_all_stages_end_in_a_table_of_sizes(finished):
    rows = json.loads((finished / "exp" / "results.json").read_text())
    assert len({row["subnet"] for row in rows}) >= 3
    for row in rows:
        assert row["test_set"] == "test" and row["words"] > 0 and row["train_seconds"] > 0
        assert row["wer"] == pytest.approx(100 * (row["ins"] + row["del"] + row["sub"]) / row["words"], abs=0.001)
    params = [row["params"] for row in rows]
    assert params == sorted(params, reverse=True)
    report = (finished / "exp" / "RESULTS.md").read_text()
    for row in rows:
        assert row["subnet"] in report and f"{row['params']:,}" in report
    for row in rows:
        assert (
            0 < row["device"]["int8"]["bytes"] < row["device"]["float"]["bytes"]
            and f"{row['device']['float']['bytes']:,}" in report
        )
    assert (finished / "exp" / "sizes" / "max" / "sherpa-onnx-int8" / "encoder.int8.onnx").is_file()
    for picture in ("pareto.png", "device.png"):
        assert (finished / "exp" / picture).read_bytes().startswith(b"\x89PNG")
    page = (finished / "exp" / "front.html").read_text()
    assert page.count('"sets": {"test": {"wer": ') == len(rows)


def test_a_second_run_skips_what_is_complete(finished, an4):
    done = recipe(finished, an4)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("complete, skipped") == 11 + 3  # formatting counts by set


def test_a_half_written_output_is_made_again(finished, an4):
    """As after a kill in the middle of scoring: output is there, the marker is not."""
    (finished / "exp" / ".sizes.scoring.done").unlink()
    score = next((finished / "exp" / "sizes").glob("max/score/test/score.json"))
    score.write_text('{"wer": 1')
    done = recipe(finished, an4, "--stage", "10", "--stop_stage", "10")
    assert done.returncode == 0, done.stderr
    assert json.loads(score.read_text())["words"] > 0


def test_training_on_dumped_features_is_training_on_audio(finished, an4, tmp_path):
    options = ["--feats_type", "fbank", "--expdir", tmp_path, "--stage", 2, "--stop_stage", 6]
    done = recipe(finished, an4, *options)
    assert done.returncode == 0, done.stderr
    assert "stage 2, features train: done" in done.stdout and "stage 4, statistics: complete, skipped" in done.stdout
    costs = [json.loads((folder / "supernet" / "cost.json").read_text()) for folder in (finished / "exp", tmp_path)]
    assert costs[0]["audio_hours"] == pytest.approx(costs[1]["audio_hours"], rel=0.01)
    ours, theirs = (
        torch.load(folder / "supernet" / "averaged.pth", weights_only=True) for folder in (tmp_path, finished / "exp")
    )
    for key, weight in theirs.items():
        torch.testing.assert_close(ours[key], weight, rtol=0.02, atol=0.02, msg=lambda m, key=key: f"{key}: {m}")


@pytest.mark.parametrize("stop, status", [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_stopped_recipe_leaves_no_process(finished, an4, tmp_path, stop, status):
    options = ["--expdir", tmp_path, "--stage", 5, "--train_args", "--max_epoch 100"]

    def heed():  # a shell cannot trap what its parent ignores, as under nohup
        signal.signal(stop, signal.SIG_DFL)

    with subprocess.Popen(
        **command(finished, an4, *options), stdout=subprocess.PIPE, text=True, preexec_fn=heed
    ) as run:
        assert any("epoch 1/100" in line for line in run.stdout)
        run.send_signal(stop)
        # The output ends when the last process that has it open does.
        run.stdout.read()
        assert run.wait() == status
    assert not (tmp_path / ".supernet.training.done").exists()


def test_extracted_size_is_what_espnet_itself_decodes(finished, an4):
    """After `import espnet_plugin`, ESPnet's Speech2Text loads a size, greedy and beam; greedy gives what the recipe wrote."""
    import soundfile
    from espnet2.bin.asr_inference import Speech2Text

    import espnet_plugin  # noqa: F401

    folder = finished / "exp" / "sizes" / "max"
    decoded = dict(
        ([*line.split(maxsplit=1), ""])[:2] for line in (folder / "decode" / "test" / "text").read_text().splitlines()
    )
    wavs = dict(line.split() for line in (finished / "dump" / "raw" / "test" / "wav.scp").read_text().splitlines())
    for beam_size in (1, 3):
        speech2text = Speech2Text(str(folder / "config.yaml"), str(folder / "model.pth"), beam_size=beam_size)
        for key, path in wavs.items():
            text = speech2text(soundfile.read(path, dtype="float32")[0])[0][0]
            if beam_size == 1:
                assert text.split() == decoded[key].split()


def test_transcribe_prints_path_tab_text(finished):
    wav = next((finished / "dump" / "raw" / "test" / "audio").glob("*.flac"))
    command = [Path(sys.executable).with_name("espnet-todm"), "transcribe"]
    sizes = finished / "exp" / "sizes"
    text = {}
    for name in ("max", "min"):
        alone = subprocess.run([*command, sizes / name, wav, wav], capture_output=True, text=True)
        assert alone.returncode == 0, alone.stderr
        text[name] = alone.stdout
        assert [line.split("\t")[0] for line in alone.stdout.splitlines()] == [str(wav)] * 2
    inside = subprocess.run(
        [*command, finished / "exp" / "supernet", wav, wav, "--subnet", "min"], capture_output=True, text=True
    )
    assert inside.stdout == text["min"]
    wrong = subprocess.run([*command, sizes / "max", "/no/such.wav"], capture_output=True, text=True)
    assert wrong.returncode == 1 and wrong.stderr.splitlines()[-1] == "error: audio '/no/such.wav' does not exist"


def test_a_size_is_adapted_as_a_supernet(finished, an4, tmp_path):
    """Its tokens, statistics and architecture are taken; formatting and the model that is there stay."""
    size = finished / "exp" / "sizes" / "min"
    options = ["--init_from", size, "--extend_tokens", "true", "--expdir", tmp_path, "--stage", 2, "--stop_stage", 6]
    done = recipe(finished, an4, *options, "--train_args", "--max_epoch 1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "a supernet grown from" in done.stdout and done.stdout.count("formatting") == 3
    old, new = (yaml.safe_load((folder / "config.yaml").read_text()) for folder in (size, tmp_path / "supernet"))
    assert (old["encoder"], new["encoder"]) == ("mhssm", "mhssm_supernet") and new["token_list"] == old["token_list"]
    assert (
        new["model_conf"]["text_conf"] == old["model_conf"]["text_conf"]
        and new["optim_conf"]["lr"] == old["optim_conf"]["lr"]  # as the given configuration has it
    )
    for name in ("feats_stats.npz", "bpe.model"):
        assert (tmp_path / "supernet" / name).read_bytes() == (size / name).read_bytes()
    again = recipe(finished, an4, *options, "--train_args", "--max_epoch 1")
    assert again.stdout.count("complete, skipped") == 3 + 4, again.stdout
    wrong = recipe(finished, an4, "--init_from", an4, "--expdir", tmp_path)
    assert wrong.returncode == 1 and "must be a model directory" in wrong.stderr


def test_characters_normalised_by_choice(finished, an4, tmp_path):
    options = ["--token_type", "char", "--text_case", "lower", "--metric", "cer", "--num_sizes", 2]
    places = ["--expdir", tmp_path / "exp", "--dumpdir", tmp_path / "dump", "--stop_stage", 10]
    done = recipe(finished, an4, *options, *places, "--train_args", "--max_epoch 1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "transcripts were changed by normalisation" in done.stdout and "dev CER" in done.stdout
    conf = yaml.safe_load((tmp_path / "exp/sizes/max/config.yaml").read_text())
    assert conf["model_conf"]["text_conf"]["case"] == "lower" and {"<space>", "e"} < set(conf["token_list"])
    assert "dev_cer" in json.loads((tmp_path / "exp/sizes.json").read_text())["sizes"][0]
    assert json.loads((tmp_path / "exp/sizes/max/score/test/score.json").read_text())["cer"] >= 0
