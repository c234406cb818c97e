"""The real client on exported folders: its words are those of this package's search; broken folders are told, not loaded."""

import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import torch

from espnet_plugin.asr.inference.data import batches
from espnet_plugin.asr.inference.recognise import greedy
from espnet_plugin.audio.mono import read_mono
from espnet_plugin.deploy.client import decode, open_folder, open_peer, run_client
from espnet_plugin.deploy.client_process import TAIL
from espnet_plugin.deploy.folder import sums_text
from espnet_plugin.deploy.sherpa import export
from espnet_plugin.encoder.mhssm.export import MHSSMExport
from espnet_plugin.errors import UserError
from espnet_plugin.transducer.greedy import greedy_search

pytest.importorskip("sherpa_onnx", reason="sherpa-onnx is not installed: pip install 'espnet-todm[export]'")


@pytest.fixture(scope="module")
def offline(build, tmp_path_factory):
    model, _ = build()
    folder = tmp_path_factory.mktemp("offline") / "size"
    export(model, folder)
    return model, folder


def test_offline_client_says_the_words_of_our_search(offline, an4_wavs):
    model, folder = offline
    wavs = an4_wavs[:8]
    expected = {}
    for batch in batches({path.name: path for path in wavs}, 16000):
        expected |= greedy(model, batch, 16000)
    found = decode(folder, wavs)
    assert [text.split() for text in found.texts] == [expected[path.name].split() for path in wavs]
    words = {word for text in found.texts for word in text.split()}
    assert len(words) > 8 and len(set(found.texts)) == len(wavs)  # so that agreement means something
    assert all(len(text) > 10 for text in found.texts)
    assert found.heard == pytest.approx([len(read_mono(path, 16000)) / 16000 for path in wavs])  # all of it, offline
    assert 0 < max(found.waited) < found.seconds
    assert found.real_time_factor > 0 and (found.peak_bytes is None or found.peak_bytes > 0)


def test_a_peers_folder_runs(offline, an4_wavs, tmp_path):
    """Files called as icefall's export calls them, without our sums."""
    _, folder = offline
    for part in ("encoder", "decoder", "joiner"):
        shutil.copy(folder / f"{part}.onnx", tmp_path / f"{part}-epoch-99-avg-1.onnx")
    shutil.copy(folder / "tokens.txt", tmp_path)
    assert run_client(open_peer(tmp_path), an4_wavs[:2]).texts == decode(folder, an4_wavs[:2]).texts
    shutil.copy(folder / "joiner.onnx", tmp_path / "joiner-epoch-99-avg-1.int8.onnx")
    with pytest.raises(
        UserError, match=r"must hold one '\*joiner\*.onnx', has joiner-epoch-99-avg-1.int8.onnx, joiner-"
    ):
        open_peer(tmp_path)


def test_int8_runs_in_the_client(build, an4_wavs, tmp_path):
    export(build()[0], tmp_path / "int8", int8=True)
    assert all(text.split() for text in decode(tmp_path / "int8", an4_wavs[:2], threads=2).texts)


def test_streaming_client_says_the_words_of_our_search_on_the_frames_it_was_given(build, an4_wavs, tmp_path):
    model, _ = build(encoder_conf=build()[1].encoder_conf | {"bidirectional": False})
    export(model, tmp_path / "stream", streaming=True)
    wavs = an4_wavs[:5]
    found = decode(tmp_path / "stream", wavs)
    for path, text in zip(wavs, found.texts):
        audio = np.concatenate([read_mono(path, 16000), np.zeros(int(TAIL * 16000), dtype=np.float32)])
        encoded, lengths = model.encode(torch.from_numpy(audio)[None], torch.tensor([len(audio)]))
        frames = int(model.frontend(torch.from_numpy(audio)[None], torch.tensor([len(audio)]))[1])
        chunks = (frames - MHSSMExport.stream_frames) // MHSSMExport.stream_shift + 1
        lengths = torch.tensor([chunks * MHSSMExport.stream_shift // 4])
        (symbols,) = greedy_search(encoded, lengths, model.decoder, model.joint_network)
        assert text.split() == model.words(symbols) and len(symbols) > 20 and len(set(symbols)) > 3
    assert len(set(found.texts)) == len(wavs)
    # A random model says something in its first chunk already.
    assert all(MHSSMExport.stream_frames / 100 - 0.1 < heard < 1 for heard in found.heard) and min(found.waited) > 0


def test_the_readmes_script_decodes(offline, an4_wavs, tmp_path):
    _, folder = offline
    script = re.search(r"<<'EOF'\n(.*)EOF\n", (folder / "README.md").read_text(), re.DOTALL).group(1)
    soundfile.write(tmp_path / "a.wav", read_mono(an4_wavs[0], 16000), 16000, subtype="FLOAT")
    done = subprocess.run(
        [sys.executable, "-", tmp_path / "a.wav"], input=script, cwd=folder, capture_output=True, text=True
    )
    assert done.stdout.split() == decode(folder, an4_wavs[:1]).texts[0].split() != []


def change(folder, name, content: bytes, summed: bool = True) -> None:
    (folder / name).write_bytes(content)
    if summed:
        (folder / "SHA256SUMS").write_text(sums_text(folder))


@pytest.mark.parametrize(
    "spoil, said",
    [
        (lambda f: change(f, "tokens.txt", b"A 0\n", summed=False), "tokens.txt' was changed"),
        (lambda f: change(f, "tokens.txt", b"A 0\n"), "has 1 tokens, the model has 29"),
        (lambda f: change(f, "tokens.txt", b"\xff 0\n"), "tokens.txt': byte 0 is not UTF-8 text"),
        (lambda f: change(f, "decoder.onnx", (f / "joiner.onnx").read_bytes()), "metadata 'vocab_size' is ''"),
        (lambda f: change(f, "encoder.onnx", b"\xff\xff half a file"), "encoder.onnx' is not an ONNX file"),
        (lambda f: (f / "joiner.onnx").unlink(), "joiner.onnx' does not exist, though SHA256SUMS lists it"),
        (lambda f: (f / "SHA256SUMS").unlink(), "SHA256SUMS' does not exist"),
        (lambda f: (f / "SHA256SUMS").write_text("00  ../x\n"), "must be a sum and the name of a file beside it"),
    ],
)
def test_a_broken_folder_is_told_before_the_client_sees_it(offline, tmp_path, spoil, said):
    folder = shutil.copytree(offline[1], tmp_path / "copy")
    spoil(folder)
    with pytest.raises(UserError) as error:
        open_folder(folder)
    assert said in str(error.value) and "\n" not in str(error.value)
