"""Checkpoints from one world to the other: icefall's as a configuration and weights of this package's ESPnet model, and back.

The outputs are the same; the state of the optimizer stays behind. Shapes: P prediction network, F features.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from inspect import signature
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import torch

from espnet_plugin.common.files import read_text
from espnet_plugin.common.weights import check_finite, read_saved
from espnet_plugin.encoder.mhssm.supernet import MHSSMSupernetEncoder
from espnet_plugin.errors import UserError
from espnet_plugin.icefall.options import CONV_GROUP, add_arguments, names, read_options

BLANK = "<blk>"
# beginnings of names: icefall's AsrModel -> ESPnet's model
NAMES = {
    "encoder.net.": "encoder.",
    "decoder.embedding.": "decoder.embed.",
    "decoder.conv.": "decoder.conv.",
    "joiner.encoder_proj.": "joint_network.lin_enc.",
    "joiner.decoder_proj.": "joint_network.lin_dec.",
    "joiner.output_linear.": "joint_network.lin_out.",
    "simple_am_proj.": "criterion.simple_am.",
    "simple_lm_proj.": "criterion.simple_lm.",
    "num_updates": "num_updates",
}


def renamed(state: Mapping[str, torch.Tensor], names: Mapping[str, str]) -> dict[str, torch.Tensor]:
    """Weights under other names; those that begin with none of them are left out."""
    found = {}
    for name, value in state.items():
        for old, new in names.items():
            if name.startswith(old):
                found[new + name.removeprefix(old)] = value
    return found


def read_checkpoint(path: Path) -> dict:
    """What icefall's ``save_checkpoint`` wrote.

    Raises:
        UserError: see `read_saved` and `check_finite`; none of icefall's, or one that was not trained with a supernet.
    """
    saved = read_saved(path, "--icefall_checkpoint:")
    if not isinstance(saved, dict) or not isinstance(saved.get("model"), dict):
        raise UserError(f"--icefall_checkpoint: '{path}' is not a checkpoint of icefall, which holds 'model'")
    if "todm_layers" not in saved:
        raise UserError(f"--icefall_checkpoint: '{path}' was trained without espnet_plugin.icefall")
    if missing := [name for name in names() if name not in saved]:
        raise UserError(
            f"--icefall_checkpoint: '{path}' lacks the option '{missing[0]}', must hold all that its training was given"
        )
    for key in ("model", "model_avg"):  # data-parallel workers put a word in front
        saved[key] = {name.removeprefix("module."): value for name, value in (saved.get(key) or {}).items()}
        check_finite(saved[key], path, "--icefall_checkpoint:")
    return saved


def averaged(start: dict, end: dict) -> dict[str, torch.Tensor]:
    """Mean of the weights between two checkpoints, from their running means ``model_avg``, as icefall's decoding averages.

    Raises:
        UserError: a checkpoint without a running mean, or they are in the wrong order or of two trainings.
    """
    first, last = (int(saved.get("batch_idx_train", 0)) for saved in (start, end))
    before, after = ({name: x.shape for name, x in saved["model_avg"].items()} for saved in (start, end))
    if not after or before != after or not first < last:
        raise UserError(
            "--icefall_average_from: must be an earlier checkpoint of the same training, both with icefall's model_avg"
        )
    weight = last / (last - first)

    def mean(name: str, value: torch.Tensor) -> torch.Tensor:
        if not value.is_floating_point():
            return value
        return (weight * value.double() + (1 - weight) * start["model_avg"][name].double()).to(value.dtype)

    return {name: mean(name, value) for name, value in end["model_avg"].items()}


def read_tokens(path: Path) -> list[str]:
    """Symbols of icefall's tokens.txt in the order of their numbers; disambiguation symbols (#0 ...) are left out.

    Raises:
        UserError: no such file, a line of another form, a number left out, or blank is not the first.
    """
    if not Path(path).is_file():
        raise UserError(f"--tokens: '{path}' does not exist")
    table = {}
    for line in read_text(Path(path)).splitlines():
        row = line.split()
        if len(row) != 2 or not row[1].isdigit():
            raise UserError(f"--tokens: {path}: line '{line}' must be a symbol and its number")
        table[int(row[1])] = row[0]
    tokens = [table.get(i) for i in range(len(table))]
    while tokens and tokens[-1] is not None and tokens[-1].startswith("#") and tokens[-1][1:].isdigit():
        tokens.pop()
    if None in tokens or tokens[:1] != [BLANK]:
        raise UserError(f"--tokens: {path}: must number symbols from 0 on, {BLANK} first")
    return cast(list[str], tokens)


def to_espnet(
    saved: dict, state: Mapping[str, torch.Tensor], tokens: list[str], bpemodel: Path | None
) -> tuple[dict, dict]:
    """Configuration and weights of the ESPnet model that computes the same.

    Args:
        saved: from `read_checkpoint`, which holds icefall's options.
        state: weights, of the checkpoint or averaged.
        tokens: see `read_tokens`.
        bpemodel: sentencepiece model; without one the model cannot make symbols of transcripts.

    Raises:
        UserError: the vocabulary has another size, or an option is missing or not allowed.
    """
    params = SimpleNamespace(**saved)
    try:
        options = read_options(params)
    except AttributeError as error:
        if error.obj is not params:
            raise
        raise UserError(
            f"--icefall_checkpoint: holds no option '{error.name}', must be what training in icefall saved"
        ) from error
    vocab_size = len(state["joiner.output_linear.bias"])
    if vocab_size != len(tokens):
        raise UserError(f"--tokens: {len(tokens)} symbols, but the checkpoint was trained with {vocab_size}")
    group = state["decoder.conv.weight"].shape[1]
    conf = dict(
        token_list=tokens,
        token_type="bpe",
        bpemodel=None if bpemodel is None else str(bpemodel),
        input_size=None,
        frontend="kaldi_fbank",  # what lhotse's Fbank computes: audio in [-1, 1], no normalisation
        frontend_conf={"fs": 16000, "n_mels": int(getattr(params, "feature_dim", 80))},
        encoder="mhssm_supernet",
        encoder_conf=options.encoder,
        decoder="stateless_supernet",
        decoder_conf=dict(embed_dim=int(params.decoder_dim), context_size=int(params.context_size), conv_group=group),
        model="todm",
        model_conf=dict(
            joint_space_size=int(params.joiner_dim),
            sym_blank=BLANK,
            transducer_conf=dict(prune_range=int(getattr(params, "prune_range", 5))),
            sampling_conf=asdict(options.sampling),
            distill_conf=asdict(options.distill) | {"alpha": plain(options.distill.alpha)},
        ),
        joint_net_conf=None,
        ctc_conf={},
        init=None,
        init_param=[],
    )
    parts = ("specaug", "normalize", "preencoder", "postencoder")
    conf |= {part: None for part in parts} | {f"{part}_conf": {} for part in parts}
    return conf, renamed(state, NAMES)


def plain(alpha: float | Sequence[float]) -> float | list[float]:
    """One number or two as YAML has them."""
    return alpha if isinstance(alpha, int | float) else list(alpha)


def training_conf(saved: dict, workers: int) -> dict:
    """How icefall trained, in ESPnet's keys: batches, epochs, precision.

    Args:
        saved: from `read_checkpoint`.
        workers: on which ``--max-duration`` seconds of audio each are in a batch.

    Raises:
        UserError: the checkpoint does not say, as one of `to_icefall`.
    """
    for key in ("max_duration", "num_epochs"):
        if not isinstance(saved.get(key), int | float) or saved[key] <= 0:
            raise UserError(f"--icefall_checkpoint: says no {key}, must be one that icefall's train.py wrote")
    samples = int(saved["max_duration"] * workers * 16000)
    amp = bool(saved.get("use_fp16")) or bool(saved.get("use_bf16"))
    return dict(
        batch_type="numel",
        batch_bins=samples,
        max_epoch=int(saved["num_epochs"]),
        use_amp=amp,
        optim="scaledadam",
        optim_conf=dict(lr=float(saved.get("base_lr", 0.045))),
    )


def grouped(conv: torch.Tensor) -> torch.Tensor:
    """The weight of a convolution over groups of fewer channels as one over icefall's.

    Args:
        conv: (P, G, context), G a divisor of icefall's group.

    Returns:
        (P, 4, context), zero where channels did not meet.
    """
    width, size, context = conv.shape
    wide = conv.new_zeros(width, CONV_GROUP, context)
    for channel in range(width):
        first = channel % CONV_GROUP // size * size
        wide[channel, first : first + size] = conv[channel]
    return wide


def to_icefall(
    state: Mapping[str, torch.Tensor], mean: torch.Tensor | None = None, std: torch.Tensor | None = None
) -> dict[str, torch.Tensor]:
    """Weights of the recipe's AsrModel that computes the same.

    Args:
        state: of the ESPnet model.
        mean, std: (F,) normalisation of its features, which goes into the first convolution, since icefall has none.

    Raises:
        UserError: a part that icefall has no like of.
    """
    own = renamed(state, {new: old for old, new in NAMES.items()})
    left = sorted(set(state) - set(renamed(own, NAMES)) - {name for name in state if name.startswith("normalize.")})
    conv = own.get("decoder.conv.weight")
    if left or conv is None or "simple_am_proj.weight" not in own:
        what = f"'{left[0]}'" if left else "no stateless decoder or no simple loss"
        raise UserError(
            f"the model has {what}, icefall's recipe takes mhssm_supernet, stateless_supernet and loss: pruned"
        )
    if conv.shape[2] == 1 or conv.shape[0] % CONV_GROUP or CONV_GROUP % conv.shape[1]:
        raise UserError(
            f"decoder_conf: icefall takes a context of at least 2 symbols and a width that {CONV_GROUP} divides, not {list(conv.shape)}"
        )
    own["decoder.conv.weight"] = grouped(conv)
    if mean is not None:
        assert std is not None  # they come together
        name = "encoder.net.time_reduction.conv1"
        weight = own[f"{name}.weight"].double() / std.double().unsqueeze(-1)
        shift = (weight * mean.double().unsqueeze(-1)).sum((1, 2))
        own[f"{name}.weight"] = weight.float()
        own[f"{name}.bias"] = (own[f"{name}.bias"].double() - shift).float()
    return own


def as_params(options: Mapping[str, str]) -> dict:
    """What icefall's parser makes of options from `icefall_options`, with the supernet's other ones at their defaults."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--encoder-dim")
    for name in ("decoder-dim", "joiner-dim", "context-size"):
        parser.add_argument(f"--{name}", type=int)
    add_arguments(parser)
    return vars(parser.parse_args([word for pair in options.items() for word in pair]))


def icefall_options(conf: Mapping) -> dict[str, str]:
    """icefall's options for a model of this configuration.

    Args:
        conf: the training configuration.

    Raises:
        UserError: the encoder has sizes that no option gives.
    """
    encoder = dict(conf["encoder_conf"])
    space = encoder.get("search_space") or signature(MHSSMSupernetEncoder).parameters["search_space"].default
    known = {"d_model", "num_heads", "num_modes", "num_layers", "search_space", "expand", "bidirectional", "dropout"}
    start = {"dt_min", "dt_max", "ssm_init", "adaptive_dropout"}  # of training only
    odd = sorted({key for key, value in encoder.items() if value is not None} - known - start)
    if odd or "drop_order" in space:
        raise UserError(
            f"encoder_conf.{(odd or ['search_space.drop_order'])[0]}: icefall's options have nothing for it"
        )
    given = {
        "encoder-dim": encoder.get("d_model", 256),
        "decoder-dim": conf["decoder_conf"].get("embed_dim", 256),
        "joiner-dim": conf["model_conf"].get("joint_space_size", 256),
        "context-size": conf["decoder_conf"].get("context_size", 2),
        "todm-layers": encoder.get("num_layers", 6),
        "todm-num-heads": encoder.get("num_heads", 8),
        "todm-num-modes": encoder.get("num_modes", 16),
        "todm-expand": encoder.get("expand", 2),
        "todm-dropout": encoder.get("dropout", 0.1),
        "todm-directions": "bidirectional" if encoder.get("bidirectional", True) else "forward",
    }
    names = {key: f"todm-{key.replace('_', '-')}" for key in space}
    given |= {names[key]: ",".join(map(str, values)) for key, values in space.items()}
    return {f"--{key}": str(value) for key, value in given.items()}
