"""From a trained model to the start of a training on other data: its tokens, tokenizer, statistics, architecture and weights.

A supernet is taken as it is, or one subnet of it, to be trained alone. A model of one size is grown: it becomes the max net of a supernet,
which its weights still are in the beginning. Symbols that the new transcripts need may be added to the tokens.
"""

import argparse
import copy
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from espnet2.tasks.asr import encoder_choices

from espnet_plugin.asr.inference.extract import extracted_state, narrow
from espnet_plugin.asr.inference.loading import TrainedModel, load_model, model_dir_files
from espnet_plugin.asr.model_dir import beside
from espnet_plugin.asr.training.task import TODMTask
from espnet_plugin.common.text import recorded
from espnet_plugin.common.tokens import END, UNKNOWN, extend_bpe
from espnet_plugin.encoder.interface import ElasticEncoder
from espnet_plugin.errors import UserError
from espnet_plugin.supernet.space import SearchSpace
from espnet_plugin.supernet.subnet import Subnet

# Of a training configuration: how the model is trained ...
HOW = (
    *("optim", "optim_conf", "scheduler", "scheduler_conf", "specaug", "specaug_conf", "grad_clip", "grad_clip_type"),
    *(
        "accum_grad",
        "batch_type",
        "batch_size",
        "batch_bins",
        "num_workers",
        "seed",
        "log_interval",
        "keep_nbest_models",
    ),
    *(
        "best_model_criterion",
        "num_att_plot",
        "use_matplotlib",
        "use_amp",
        "max_bad_updates",
        "val_scheduler_criterion",
    ),
    *("preprocessor_conf", "bandwidth_augment", "speech_volume_normalize"),
    *("noise_scp", "noise_apply_prob", "noise_db_range", "short_noise_thres", "rir_scp", "rir_apply_prob"),
)
# ... and what it is, each with its options.
WHAT = (
    *("frontend", "normalize", "preencoder", "encoder", "postencoder", "decoder", "ctc", "joint_net", "model", "init"),
    *("token_type", "token_list", "bpemodel", "non_linguistic_symbols"),
)
# ... options of those that matter in training only.
IN_TRAINING = {"encoder": ("dropout", "adaptive_dropout"), "model": ("sampling_conf", "distill_conf")}
GROWN = dict(transducer_conf=dict(rnnt_type="modified", warmup_steps=100), sampling_conf={}, distill_conf={})
# Our choice; docs/data.md has what it brings on a small model. Other values were not measured.
RATE, WARMUP, EPOCHS = 0.2, 20, 10
TOO_MANY = 0.1  # share of transcripts with unknown symbols above which a training makes no sense


@dataclass(frozen=True)
class Start:
    """Where a training on other data begins.

    Args:
        conf: configuration, for a YAML file; ``token_list`` and the names of files beside it are those of the start.
        state: weights by name.
        added: tokens that the model did not have.
        unknown: transcripts of the new data with symbols that are no tokens.
        grown: whether a model of one size became a supernet.
    """

    conf: dict
    state: dict[str, torch.Tensor]
    added: tuple[str, ...]
    unknown: int
    grown: bool


def elastic_class(plain: str) -> type[ElasticEncoder]:
    """The supernet of a plain encoder.

    Raises:
        UserError: there is none.
    """
    for value in encoder_choices.classes.values():
        if issubclass(value, ElasticEncoder) and value.plain_class.name == plain:
            return value
    raise UserError(f"--init_from: encoder '{plain}' has no supernet that it could become")


def grow(trained: TrainedModel) -> argparse.Namespace:
    """Configuration of a supernet whose max net is a model of one size; its weights have the same names.

    Raises:
        UserError: the encoder cannot be grown.
    """
    conf = copy.deepcopy(trained.conf)
    elastic = elastic_class(conf.encoder)
    conf.encoder, conf.encoder_conf = elastic.name, elastic.grown_conf(conf.encoder_conf)
    conf.model_conf = {**conf.model_conf, **copy.deepcopy(GROWN)}
    return conf


def alone(trained: TrainedModel, choose: Callable[[SearchSpace], Subnet]) -> TrainedModel:
    """A supernet whose only subnet is one of another supernet's, with that one's weights.

    Args:
        choose: gives the subnet.

    Raises:
        UserError: the model has one size, has no such subnet, or the subnet's layers differ in width.
    """
    model, conf = trained.model, copy.deepcopy(trained.conf)
    if model.search_space is None:
        raise UserError("--init_subnet: the model of --init_from has one size, it must be a supernet")
    subnet, encoder = choose(model.search_space), model.encoder
    conf.encoder_conf = encoder.grown_conf(encoder.extracted_conf(subnet))
    largest = {key: [values[-1]] for key, values in conf.encoder_conf["search_space"].items()}
    conf.encoder_conf = conf.encoder_conf | {"search_space": largest}
    narrow(conf, model, subnet)
    conf.init_param = []
    small = TODMTask.build_model(conf)
    if small.encoder.num_parameters(small.search_space.max) != encoder.num_parameters(subnet):
        raise UserError(f"--init_subnet: the layers of '{subnet}' differ in width, so it is no supernet of one size")
    small.load_state_dict(extracted_state(model, subnet, small))
    return TrainedModel(small, conf)


def of_tokens(value: torch.Tensor, old: Sequence[str], new: Sequence[str]) -> torch.Tensor:
    """Rows of tokens in a new list's order. A token that is new begins as the mean of the symbols' rows: as likely as an average one.

    Args:
        value: (V, ...).
    """
    place = {token: row for row, token in enumerate(old)}
    symbols = [row for token, row in place.items() if not (token.startswith("<") and token.endswith(">"))]
    mean = value[symbols].mean(dim=0)
    return torch.stack([value[place[token]] if token in place else mean for token in new])


def padded(value: torch.Tensor, fresh: torch.Tensor) -> torch.Tensor:
    """A tensor as the leading block of a larger one that computes the same: what is new has fresh outputs, and zeros for its inputs."""
    grown = fresh.clone()
    if grown.dim() > 1:
        grown[:, value.shape[1] :] = 0
    grown[tuple(map(slice, value.shape))] = value
    return grown


def transplant(
    old: dict[str, torch.Tensor], fresh: dict[str, torch.Tensor], tokens: tuple[Sequence[str], Sequence[str]]
) -> dict[str, torch.Tensor]:
    """A new model's state from an old one's.

    Args:
        old: state of the old model; fresh: of the new one as it was built, for what the old one has not.
        tokens: lists of the old and of the new model.

    Raises:
        UserError: a tensor fits in no way.
    """
    state = {}
    for name, value in fresh.items():
        source = old.get(name, value)
        if name.startswith("encoder."):
            if all(small <= large for small, large in zip(source.shape, value.shape)):
                source = padded(source, value)
        elif (
            source.shape != value.shape
            and source.shape[:1] == (len(tokens[0]),)
            and source.shape[1:] == value.shape[1:]
        ):
            source = of_tokens(source, *tokens)
        if source.shape != value.shape:
            raise UserError(f"--init_from: '{name}' is {list(source.shape)}, must be {list(value.shape)}")
        state[name] = source
    return state


def extended(trained: TrainedModel, texts: Sequence[str], bpemodel: Path) -> tuple[list[str], list[str]]:
    """Token list with the characters of texts that no token has, and those; a sentencepiece model with them is written to `bpemodel`."""
    tokens, text_conf = list(trained.model.token_list), recorded(vars(trained.conf))
    characters: set[str] = set()
    for text in texts:
        plain = trained.normalise(text)
        characters.update(*(text_conf.pattern.split(plain)[::2] if text_conf and text_conf.pattern else [plain]))
    added = sorted(characters - {*tokens, " "})
    if added and trained.conf.token_type == "bpe":
        bpemodel.write_bytes(extend_bpe(trained.conf.bpemodel, added))
    at = tokens.index(END) if END in tokens else len(tokens)
    return [*tokens[:at], *added, *tokens[at:]], added


def unknown_texts(trained: TrainedModel, tokens: Sequence[str], texts: Sequence[str]) -> list[str]:
    """Transcripts with a symbol that is no token."""
    known, tokenizer = set(tokens) - {UNKNOWN}, trained.tokenizer
    return [text for text in texts if not known.issuperset(tokenizer.text2tokens(text))]


def training_conf(conf: argparse.Namespace, given: dict | None) -> dict:
    """Configuration of a training: what the model is; and how to train it, as given, or as it was trained but more gently.

    Tables of noises and rooms that the model was trained with and that are not here are left out, with a note.
    """
    own = vars(conf)
    parts = {key: own[key] for key in (*WHAT, *(f"{part}_conf" for part in WHAT)) if key in own}
    if given is not None:
        for part, names in IN_TRAINING.items():
            options = given.get(f"{part}_conf") or {}
            if given.get(part) == own.get(part):
                parts[f"{part}_conf"] = parts[f"{part}_conf"] | {
                    name: options[name] for name in names if name in options
                }
        return given | parts
    rest = copy.deepcopy({key: own[key] for key in HOW if key in own})
    if "lr" in rest.get("optim_conf", {}):
        rest["optim_conf"]["lr"] = round(RATE * rest["optim_conf"]["lr"], 9)
    for key in ("warmup_batches", "warmup_steps"):
        if key in (rest.get("scheduler_conf") or {}):
            rest["scheduler_conf"][key] = min(WARMUP, rest["scheduler_conf"][key])
    if rest.get("scheduler_conf"):
        rest["scheduler_conf"].pop("batches_per_epoch", None)  # of the former data
    for key in ("noise_scp", "rir_scp"):
        if rest.get(key) and not Path(rest[key]).is_file():
            gone = rest.pop(key)
            print(f"note: {key}: '{gone}', of the model's own training, is not here and left out", file=sys.stderr)
    return rest | {"max_epoch": EPOCHS} | parts


def start_from(
    model_dir: Path,
    out: Path,
    texts: Sequence[str],
    extend: bool = False,
    given: dict | None = None,
    subnet: Callable[[SearchSpace], Subnet] | None = None,
) -> Start:
    """Prepare a training on other data.

    Args:
        model_dir: a supernet's training directory, or a model of one size.
        out: folder, which exists, for bpe.model, statistics and symbols.
        texts: transcripts of the new training data.
        extend: add the characters that the tokens lack.
        given: training configuration whose architecture the model's replaces, all but `IN_TRAINING`; None: how the model was trained
            itself, more gently.
        subnet: gives the one of a supernet that is trained, alone; None: all of it.

    Raises:
        UserError: no model, or no such subnet; one that cannot be grown; or too many transcripts hold what is no token.
    """
    trained = load_model(*model_dir_files(model_dir))
    if subnet is not None:
        trained = alone(trained, subnet)
    growing = trained.model.search_space is None
    conf = grow(trained) if growing else copy.deepcopy(trained.conf)
    for section, key, name in beside(vars(conf)):
        shutil.copyfile(section[key], out / name)
        section[key] = str((out / name).absolute())
    before = list(trained.model.token_list)
    tokens, added = extended(trained, texts, out / "bpe.model") if extend else (before, [])
    conf.token_list = tokens
    unknown = unknown_texts(trained._replace(conf=conf), tokens, list(map(trained.normalise, texts)))
    if len(unknown) > TOO_MANY * len(texts):
        raise UserError(
            f"--init_from: {len(unknown)} of {len(texts)} transcripts hold symbols that the tokens of '{model_dir}' lack, as "
            f"'{unknown[0][:40]}': write them as the model does (--text_case), or add the symbols with --extend_tokens true"
        )
    conf.init_param = []
    fresh = TODMTask.build_model(conf).state_dict()
    old = dict(trained.model.state_dict())
    if growing:
        old.pop("num_updates")  # the simple loss is new, and warms up
    state = transplant(old, fresh, (before, tokens))
    return Start(training_conf(conf, given), state, tuple(added), len(unknown), growing)
