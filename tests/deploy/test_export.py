"""Export: what is written, what is refused, int8 and streaming."""

import subprocess
import sys
from pathlib import Path

import onnx
import pytest
import torch
import yaml
from onnx import numpy_helper

from espnet_plugin.asr.inference.loading import load_model
from espnet_plugin.bin.main import dispatch
from espnet_plugin.deploy import check, graphs
from espnet_plugin.deploy.client import open_folder
from espnet_plugin.deploy.onnx_file import graphs as all_graphs
from espnet_plugin.deploy.sherpa import LARGEST_DIFFERENCE, export, export_parts
from espnet_plugin.encoder.mhssm.export import OFFLINE_CHUNK
from espnet_plugin.errors import UserError


@pytest.fixture(scope="module")
def exported(build, tmp_path_factory):
    """Folders of one model, float and int8, and what export said of them."""
    model, _ = build()
    out = tmp_path_factory.mktemp("exported")
    return {name: (out / name, export(model, out / name, int8=name == "int8")) for name in ("float", "int8")}


def test_a_folder_is_whole_and_checked(exported):
    folder, facts = exported["float"]
    names = {"encoder.onnx", "decoder.onnx", "joiner.onnx", "tokens.txt", "README.md", "SHA256SUMS"}
    assert {path.name for path in folder.iterdir()} == names
    assert not open_folder(folder).streaming
    for part in facts.values():  # the weights behind the encoder are spread out, and differences with them
        assert 0 < part["difference"] < 3e-4 and (folder / part["file"]).stat().st_size == part["bytes"]


def test_tables_are_not_in_the_file(exported, build):
    """The state space model takes its parameters, not more: no matrices for each channel, no powers of the poles."""
    folder, _ = exported["float"]
    model, _ = build()
    floats = sum(
        numpy_helper.to_array(tensor).size
        for tensor in onnx.load(folder / "encoder.onnx").graph.initializer
        if tensor.data_type == onnx.TensorProto.FLOAT
    )
    trained = sum(p.numel() for p in model.encoder.parameters()) + sum(
        p.numel() for p in model.joint_network.lin_enc.parameters()
    )
    steps = 20 * OFFLINE_CHUNK  # how many frames lie between which: once, for all layers
    assert 0.9 * trained < floats < 1.02 * trained + steps + 100


def test_int8_reaches_trained_matrix_products_only(exported):
    folder, facts = exported["int8"]
    assert set(facts) == {"encoder", "decoder", "joiner"} and (folder / "encoder.int8.onnx").is_file()
    graph = onnx.load(folder / "encoder.int8.onnx").graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    integer = [node for node in graph.node if node.op_type == "MatMulInteger"]
    assert len(integer) >= 4 * 2 and all(node.input[1] in stored for node in integer)
    for inner in all_graphs(graph):
        for node in inner.node:
            if node.op_type == "MatMul":
                assert node.input[1] not in stored or stored[node.input[1]].data_type == onnx.TensorProto.FLOAT


def test_a_few_frames_are_an_empty_utterance(exported):
    folder, _ = exported["float"]
    encoder = check.Runtime(onnx.load(folder / "encoder.onnx"))
    for frames in (1, 3, 6):
        out, lengths = encoder(torch.zeros(1, frames, 80), torch.tensor([frames]))
        assert lengths.tolist() == [0] and out.isfinite().all()


def test_what_stands_in_the_padding_does_not_matter(exported):
    folder, _ = exported["float"]
    encoder = check.Runtime(onnx.load(folder / "encoder.onnx"))
    x = torch.randn(2, 300, 80)
    alone, _ = encoder(x[1:, :200], torch.tensor([200]))
    x[1, 200:] = 1e4
    together, lengths = encoder(x, torch.tensor([300, 200]))
    valid = int(lengths[1])
    torch.testing.assert_close(together[1, :valid], alone[0, :valid], atol=1e-4, rtol=1e-4)


def test_streaming_equals_the_whole_utterance(build):
    conf = build()[1].encoder_conf | {"bidirectional": False}
    model, _ = build(encoder_conf=conf)
    encoder, decoder, _ = export_parts(model, int8=False, streaming=True)
    assert encoder.difference < 3e-4  # of numbers up to 34: one way is a Fourier transform, the other a recurrence
    found = {entry.key: entry.value for entry in encoder.graph.metadata_props}
    width = graphs.StreamingEncoder(model).state_size
    assert found["model_type"] == "lstm" and found["T"] == "35" and found["decode_chunk_len"] == "32"
    assert found["rnn_hidden_size"] == str(width) == str(2 * 32 * 3 * 2)  # real, imaginary; E; N; layers
    assert {entry.key: entry.value for entry in decoder.graph.metadata_props} == {
        "vocab_size": str(model.vocab_size),
        "context_size": "2",
    }


def test_a_unidirectional_model_works_offline_and_others_do_not_stream(build):
    conf = build()[1].encoder_conf | {"bidirectional": False}
    assert export_parts(build(encoder_conf=conf)[0], False, False)[0].difference < 1e-4
    with pytest.raises(UserError, match=r"encoder_conf\.bidirectional: true cannot stream"):
        export_parts(build()[0], False, True)


def test_a_graph_that_computes_something_else_is_not_written(build, tmp_path, monkeypatch):
    model, _ = build()
    right = graphs.Joiner.forward
    monkeypatch.setattr(graphs.Joiner, "forward", lambda *args: right(*args) + 0.01)
    with pytest.raises(UserError, match=rf"joiner.onnx differs from PyTorch by 0.01, .* {LARGEST_DIFFERENCE}"):
        export(model, tmp_path / "out")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    "changes, said",
    [
        (
            dict(
                decoder="transducer",
                decoder_conf=dict(rnn_type="lstm", num_layers=1, hidden_size=8),
                joint_net_conf=dict(joint_space_size=8),
            ),
            "decoder: 'TransducerDecoder' cannot be exported",
        ),
        (dict(frontend="default"), "frontend: 'DefaultFrontend' cannot be exported"),
        (dict(frontend_conf=dict(fs=8000)), "frontend_conf: 8000 Hz and 80 filters must be 16000 Hz and 80"),
        (dict(normalize="utterance_mvn", normalize_conf={}), "normalize: 'UtteranceMVN' cannot be exported"),
        (
            dict(encoder="mhssm_supernet", encoder_conf=dict(d_model=8, num_heads=2, search_space=dict(ffn_dims=[4]))),
            "encoder: a supernet is not deployed",
        ),
        (
            dict(
                encoder="conformer_sized",
                encoder_conf=dict(output_size=8, attention_heads=2, linear_units=8, num_blocks=1, cnn_module_kernel=3),
            ),
            "encoder: 'conformer_sized' cannot be exported",
        ),
    ],
)
def test_what_cannot_be_deployed_is_told_in_one_sentence(build, changes, said):
    with pytest.raises(UserError) as error:
        export_parts(build(**changes)[0], False, False)
    assert said in str(error.value) and "\n" not in str(error.value)


def test_the_verb_exports_a_model_directory(build, tmp_path):
    model, args = build()
    (tmp_path / "size").mkdir()
    torch.save(model.state_dict(), tmp_path / "size" / "model.pth")
    (tmp_path / "size" / "config.yaml").write_text(yaml.safe_dump(vars(args)))
    load_model(tmp_path / "size" / "config.yaml", tmp_path / "size" / "model.pth")
    program = Path(sys.executable).with_name("espnet-todm")
    command = [program, "export", tmp_path / "size", "--out", tmp_path / "out", "--format", "sherpa-onnx"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("largest difference from PyTorch") == 3
    assert "encoder.onnx" in (tmp_path / "out" / "README.md").read_text()
    dispatch([*map(str, command[1:]), "--int8"])  # made before: replaced
    assert not (tmp_path / "out" / "encoder.onnx").exists()
    command[command.index("sherpa-onnx")] = "tflite"
    assert subprocess.run(command, capture_output=True, text=True).returncode == 2


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize(
    "out, said",
    [
        (".", "holds the current directory"),
        ("..", "holds the current directory"),
        ("size0", "holds the input 'size0'"),
        ("other", "since it holds no tokens.txt"),
        ("size0/config.yaml", "is a file"),
    ],
)
def test_the_verb_leaves_other_folders_alone(build, tmp_path, monkeypatch, number, out, said):
    model, args = build()
    folders = [tmp_path / f"size{index}" for index in range(number)]
    for folder in (*folders, tmp_path / "other"):
        folder.mkdir()
        torch.save(model.state_dict(), folder / "model.pth")
        (folder / "config.yaml").write_text(yaml.safe_dump(vars(args)))
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match=said):
        dispatch(["export", *(folder.name for folder in folders), "--out", out])
    assert sorted(tmp_path.rglob("*")) == before
