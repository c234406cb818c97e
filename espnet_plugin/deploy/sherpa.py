"""A model directory as the files that sherpa-onnx reads."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import onnx
import sentencepiece
import torch
from espnet2.layers.global_mvn import GlobalMVN

from espnet_plugin.asr.training.model import TODMModel
from espnet_plugin.common.files import check_place, write_whole
from espnet_plugin.deploy import check, graphs
from espnet_plugin.deploy.folder import SUMS, sums_text
from espnet_plugin.deploy.onnx_file import finish, quantise, to_onnx
from espnet_plugin.deploy.readme import readme
from espnet_plugin.errors import UserError
from espnet_plugin.frontend.kaldi_fbank import KaldiFbank
from espnet_plugin.transducer.prediction import StatelessDecoder

PARTS = ("encoder", "decoder", "joiner")
MADE_OF = ("tokens.txt", "README.md", SUMS)  # of an exported folder
BPE_VOCAB = "bpe.vocab"
LARGEST_DIFFERENCE = 1e-3  # of a float file from PyTorch; what is found is some 1e-5


def check_deployable(model: TODMModel, streaming: bool) -> None:
    """Whether sherpa-onnx can run a model.

    Raises:
        UserError: naming the part that it cannot.
    """
    model.encoder.export_parts()
    if not isinstance(model.decoder, StatelessDecoder):
        kind = type(model.decoder).__name__
        raise UserError(f"decoder: '{kind}' cannot be exported, only 'stateless' has what the client calls")
    frontend = model.frontend
    if not isinstance(frontend, KaldiFbank):
        raise UserError(
            f"frontend: '{type(frontend).__name__}' cannot be exported, since the device computes 'kaldi_fbank'"
        )
    if (frontend.fs, frontend.n_mels) != (16000, 80):
        raise UserError(f"frontend_conf: {frontend.fs} Hz and {frontend.n_mels} filters must be 16000 Hz and 80")
    if model.preencoder is not None:
        raise UserError("preencoder: must be null for a model to be exported")
    if not isinstance(model.normalize, GlobalMVN | None):
        kind = type(model.normalize).__name__
        raise UserError(f"normalize: '{kind}' cannot be exported, only 'global_mvn' or none")
    if model.blank_id != 0:
        raise UserError(f"token_list: blank has id {model.blank_id}, must be 0 for the client")
    if streaming:
        model.encoder.on_stream()  # refuses what needs the whole audio


def offline_encoder(model: TODMModel) -> tuple[onnx.ModelProto, dict]:
    """Graph and metadata."""
    inputs = {"x": check.random_features(model, 300), "x_lens": torch.tensor([300, 200])}
    axes: dict[str, list] = {
        "x": ["N", "S", None],
        "x_lens": ["N"],
        "encoder_out": ["N", "T", None],
        "encoder_out_lens": ["N"],
    }
    return to_onnx(graphs.OfflineEncoder(model), inputs, ["encoder_out", "encoder_out_lens"], axes), {}


def streaming_encoder(model: TODMModel) -> tuple[onnx.ModelProto, dict]:
    """Graph and metadata: those of the client's LSTM encoder, whose states are the same to it."""
    encoder, parts = graphs.StreamingEncoder(model), graphs.encoder_parts(model)
    width = encoder.state_size
    inputs = {"x": check.random_features(model, parts.stream_frames)}
    inputs |= {"h": torch.zeros(1, 2, 1), "c": torch.zeros(1, 2, width)}
    axes = {"x": ["N", None, None], "encoder_out": ["N", None, None]}
    axes |= {name: [None, "N", None] for name in ("h", "c", "next_h", "next_c")}
    metadata = {"model_type": "lstm", "num_encoder_layers": 1, "T": parts.stream_frames}
    metadata |= {"decode_chunk_len": parts.stream_shift, "rnn_hidden_size": width, "d_model": 1}
    return to_onnx(encoder, inputs, ["encoder_out", "next_h", "next_c"], axes), metadata


def decoder_graph(model: TODMModel) -> onnx.ModelProto:
    context = torch.zeros(2, model.decoder.context_size, dtype=torch.long)
    axes = {"y": ["N", None], "decoder_out": ["N", None]}
    return to_onnx(graphs.Decoder(model), {"y": context}, ["decoder_out"], axes)


def joiner_graph(model: TODMModel) -> onnx.ModelProto:
    width = graphs.joint_width(model)
    pair = {"encoder_out": torch.zeros(2, width), "decoder_out": torch.zeros(2, width)}
    return to_onnx(graphs.Joiner(model), pair, ["logit"], {name: ["N", None] for name in (*pair, "logit")})


@dataclass(frozen=True)
class Part:
    """An exported graph. Args: name; graph; difference: largest one from PyTorch, of its outputs."""

    name: str
    graph: onnx.ModelProto
    difference: float


def export_parts(model: TODMModel, int8: bool, streaming: bool) -> list[Part]:
    """Encoder, decoder and joiner, checked against PyTorch.

    Raises:
        UserError: the model cannot be deployed, or a float graph computes something else.
    """
    check_deployable(model, streaming)
    width = graphs.joint_width(model)
    whole = {
        "encoder": streaming_encoder(model) if streaming else offline_encoder(model),
        "decoder": (decoder_graph(model), {"vocab_size": model.vocab_size, "context_size": model.decoder.context_size}),
        "joiner": (joiner_graph(model), {"joiner_dim": width}),
    }
    difference = {
        "encoder": lambda graph: check.encoder_difference(model, graph, streaming),
        "decoder": lambda graph: check.decoder_difference(model, graph),
        "joiner": lambda graph: check.joiner_difference(model, graph),
    }
    parts = []
    for name, (graph, metadata) in whole.items():
        found = difference[name](graph)
        if not found <= LARGEST_DIFFERENCE:
            raise UserError(
                f"{name}.onnx differs from PyTorch by {found:.2g}, at most {LARGEST_DIFFERENCE} is allowed: not exported"
            )
        if int8:
            graph = quantise(graph)
            found = difference[name](graph)
        parts.append(Part(name, finish(graph, metadata), found))
    return parts


def tokens_text(model: TODMModel) -> str:
    """tokens.txt: symbol and id a line. ESPnet's space symbol becomes sentencepiece's mark, which the client writes as a space."""
    symbols = ("\u2581" if token == model.sym_space else token for token in model.token_list)
    return "".join(f"{symbol} {index}\n" for index, symbol in enumerate(symbols))


def bpe_vocab_text(bpemodel: Path) -> str:
    """bpe.vocab: piece and log probability a line, by which the client splits hotwords."""
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(bpemodel))
    return "".join(f"{pieces.id_to_piece(i)}\t{pieces.get_score(i):g}\n" for i in range(pieces.get_piece_size()))


def write_texts(folder: Path, model: TODMModel, bpemodel: Path | None, readme_text: Callable[[bool], str]) -> None:
    """Write what lies beside the graphs. Args: readme_text: of whether hotwords can be used."""
    (folder / "tokens.txt").write_text(tokens_text(model), encoding="utf-8")
    if bpemodel is not None:
        (folder / BPE_VOCAB).write_text(bpe_vocab_text(bpemodel), encoding="utf-8")
    (folder / "README.md").write_text(readme_text(bpemodel is not None), encoding="utf-8")
    (folder / SUMS).write_text(sums_text(folder))


def export(
    model: TODMModel,
    out: Path,
    int8: bool = False,
    streaming: bool = False,
    inputs: Iterable[Path] = (),
    bpemodel: Path | None = None,
) -> dict:
    """Write the folder that sherpa-onnx reads: three graphs, tokens.txt, README.md, SHA256SUMS; with a tokenizer bpe.vocab too.

    Args:
        model: one size, in evaluation mode.
        out: folder, replaced whole if it was exported before.
        int8: quantised, in ``*.int8.onnx``.
        streaming: for the client's OnlineRecognizer.
        inputs: model directory, which `out` must not hold.
        bpemodel: the sentencepiece model, for hotwords.

    Returns:
        part -> {file, bytes, difference}.

    Raises:
        UserError: see `export_parts`, and `check_place` for `out`.
    """
    out = check_place(Path(out), MADE_OF, inputs)
    parts = export_parts(model, int8, streaming)
    names = {part.name: f"{part.name}{'.int8' if int8 else ''}.onnx" for part in parts}

    def write(folder: Path) -> None:
        folder.mkdir()
        for part in parts:
            (folder / names[part.name]).write_bytes(part.graph.SerializeToString())
        write_texts(folder, model, bpemodel, lambda hotwords: readme(names, streaming, int8, hotwords=hotwords))

    write_whole(out, write, MADE_OF, inputs)
    return {
        part.name: {"file": names[part.name], "bytes": part.graph.ByteSize(), "difference": part.difference}
        for part in parts
    }
