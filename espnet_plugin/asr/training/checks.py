"""Checks of a training's options, files and parts, which come before anything is built or written."""

import argparse
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from inspect import signature
from pathlib import Path
from typing import Any

import espnet2.tasks.asr as espnet_asr
import torch
from espnet2.layers.augmentation import effects_dict
from espnet2.tasks.abs_task import optim_classes, scheduler_classes
from espnet2.train.preprocessor import CommonPreprocessor
from espnet2.utils.nested_dict_action import NestedDictAction
from espnet2.utils.types import (
    float_or_none,
    humanfriendly_parse_size_or_none,
    int_or_none,
    str2bool,
    str_or_none,
)
from humanfriendly import parse_size

from espnet_plugin.asr.statistics import check_statistics
from espnet_plugin.asr.training.cut_batches import check_sources, cut_source
from espnet_plugin.asr.training.data_files import check_data
from espnet_plugin.asr.training.ranges import OPTIONS, POSITIVE, PREPROCESSOR, of_part
from espnet_plugin.common.bounds import shown
from espnet_plugin.common.compose import read_yaml
from espnet_plugin.common.conf import PARTS, check_keys, need_kind
from espnet_plugin.common.files import need_file
from espnet_plugin.common.rate import hertz
from espnet_plugin.common.tokens import check_bpemodel, check_tokens, read_tokens
from espnet_plugin.errors import UserError
from espnet_plugin.transducer.loss import TransducerConf

# What argparse calls on a text of the command line -> types of the same option in a YAML file.
KINDS = {
    int: (int,),
    float: (float,),
    str2bool: (bool,),
    int_or_none: (int, type(None)),
    float_or_none: (float, type(None)),
    parse_size: (float,),
    humanfriendly_parse_size_or_none: (float, type(None)),
    str: (str,),
    str_or_none: (str, type(None)),
}
MANY_KINDS = {"token_list", "bpemodel", "non_linguistic_symbols"}  # ESPnet takes lists in place of files
FEATURES = (
    80  # of a frame, where neither frontend_conf nor --input_size tells: the default of ESPnet's frontend and of ours
)
# What must stay as it was when a run goes on: what weights and the optimizer's state belong to.
KEPT = (
    "input_size",
    "frontend",
    "normalize",
    "preencoder",
    "encoder",
    "decoder",
    "joint_net",
    "model",
    "token_list",
    "optim",
    "exclude_weight_decay",
    "scheduler",
)
KEPT_CONF = ("frontend", "normalize", "preencoder", "encoder", "decoder", "joint_net")
KEPT_LOSS = ("loss", "rnnt_type")
KEPT_OPTIM = ("amsgrad", "centered", "clipping_update_period", "size_update_period")
# Options that change samples of audio, and would change dumped features as if they were samples.
WAVES = ("bandwidth_augment", "noise_scp", "rir_scp", "speech_volume_normalize")


def check_options(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Values of a configuration file, which ESPnet takes as they are, as the command line's are checked.

    Raises:
        UserError: a value of another type, none of the choices or out of its range; more GPUs than there are.
    """
    for action in parser._actions:
        value = getattr(args, action.dest, None)
        if value == action.default or (value is None and action.dest == "frontend" and args.input_size):
            continue
        kinds = (dict,) if isinstance(action, NestedDictAction) else KINDS.get(action.type, ())
        kinds = () if action.dest in MANY_KINDS else kinds
        listed = bool(action.nargs) or isinstance(action.default, list)
        several = listed and isinstance(value, list | tuple)
        if listed and not several and isinstance(value, str | dict):  # a text is a list of letters to ESPnet
            raise UserError(f"--{action.dest}: {shown(value)} must be a list")
        items: Any = value if several else [value]
        for item in items:
            if kinds:
                need_kind(f"--{action.dest}", item, kinds)
            if action.choices is not None and item not in action.choices:
                allowed = ", ".join("null" if choice is None else str(choice) for choice in action.choices)
                raise UserError(f"--{action.dest}: {shown(item)} is not one of {allowed}")
    for key, bounds in OPTIONS.items():
        bounds.check(f"--{key}", getattr(args, key))
    gpus = torch.cuda.device_count()
    if args.ngpu > gpus:
        raise UserError(f"--ngpu: {args.ngpu} must be at most {gpus}, the GPUs that PyTorch finds here")


def check_criteria(parser: argparse.ArgumentParser, args: argparse.Namespace, reported: dict[str, set[str]]) -> None:
    """Refuse criteria by which no epoch could ever be judged, since training does not report them.

    Args:
        reported: phase -> keys.

    Raises:
        UserError: naming the criterion, and what is reported.
    """
    for key in ("best_model_criterion", "early_stopping_criterion", "val_scheduler_criterion"):
        value = getattr(args, key)
        if value == parser.get_default(key):
            continue
        criteria = value if key == "best_model_criterion" else [value]
        size = 2 if key == "val_scheduler_criterion" else 3
        for one in criteria:
            fits = (
                isinstance(one, list | tuple)
                and len(one) == size
                and one[0] in reported
                and one[-1] in (one[1], "min", "max")
            )
            if not fits:
                raise UserError(
                    f"--{key}: {shown(one)} must be train or valid, a figure such as loss{', and min or max' * (size - 2)}"
                )
            if one[1] not in reported[one[0]]:
                raise UserError(
                    f"--{key}: {shown(one)}: {one[0]} reports no {one[1]}, only {', '.join(sorted(reported[one[0]]))}"
                )


def of_waves(args: argparse.Namespace) -> str | None:
    """The first option that changes samples of audio, None where none does."""
    asked = {f"--{key}": getattr(args, key, None) for key in WAVES}
    asked["preprocessor_conf.data_aug_effects"] = (args.preprocessor_conf or {}).get("data_aug_effects")
    return next((key for key, value in asked.items() if value), None)


def check_files(args: argparse.Namespace) -> None:
    """
    Raises:
        UserError: a file that is missing or holds something else.
    """
    for key in ("train_data_path_and_name_and_type", "valid_data_path_and_name_and_type"):
        for entry in getattr(args, key):
            if not (
                isinstance(entry, list | tuple) and len(entry) == 3 and all(isinstance(part, str) for part in entry)
            ):
                raise UserError(f"--{key}: {shown(entry)} must be a path, a name and a type")
            need_file(f"--{key}:", entry[0], may_be_folder=True)
            if entry[2] == "kaldi_ark" and (asked := of_waves(args)):
                raise UserError(f"{asked}: needs audio, '{entry[0]}' holds features")
    check_sources(args)
    for key in ("token_list", "bpemodel", "non_linguistic_symbols"):
        if isinstance(getattr(args, key), str):
            need_file(f"--{key}:", getattr(args, key))
    tokens = args.token_list
    if isinstance(tokens, str):
        tokens = read_tokens(tokens)
    elif isinstance(tokens, list | tuple):
        check_tokens("--token_list", tokens)
    elif tokens is not None:
        raise UserError(f"--token_list: {shown(tokens)} must be the name of a file, or a list")
    if args.token_type == "bpe" and isinstance(args.bpemodel, str) and tokens:
        check_bpemodel(tokens, args.bpemodel)  # ESPnet reads it with the first utterance only
    for start in args.init_param or []:
        check_start(start, tokens)
    if args.normalize == "global_mvn" and isinstance((stats := args.normalize_conf.get("stats_file")), str):
        check_statistics(stats, features_of(args))
    if not any(cut_source(getattr(args, f"{phase}_data_path_and_name_and_type")) for phase in ("train", "valid")):
        check_data(args, None if args.frontend is None else hertz(args.frontend_conf.get("fs", 16000)))
    if args.resume:
        check_resume(args, tokens)


def check_given(args: argparse.Namespace) -> None:
    """Raise a `UserError` for what a training needs and was not given."""
    data = () if args.dry_run else ("train_data_path_and_name_and_type", "valid_data_path_and_name_and_type")
    for key in (*args.required, *data):
        if not getattr(args, key):
            raise UserError(f"--{key}: is missing, a training needs it")


def features_of(args: argparse.Namespace) -> int:
    """Features a frame."""
    return args.input_size or (args.frontend_conf or {}).get("n_mels", FEATURES)


def check_start(start: str, tokens: Sequence[str] | None) -> None:
    """Refuse weights that are not there, and those of other tokens, whose rows would be taken for those of the new ones.

    Args:
        start: of ``--init_param``: file, and what is taken from it, as ESPnet has it (``FILE:FROM:TO:NOT``).
        tokens: of the training.

    Raises:
        UserError: the configuration beside the file has other tokens, and all weights are taken.
    """
    file, source, _, left_out = [*str(start).split(":"), "", "", ""][:4]
    need_file("--init_param:", file)
    config = Path(file).parent / "config.yaml"
    if source or "decoder" in left_out or tokens is None or not config.is_file():
        return
    own = read_yaml(config).get("token_list")
    if isinstance(own, list) and own != list(tokens):
        apart = len(set(own) ^ set(tokens))
        what = f"{apart} tokens are in one list only" if apart else "they are the same in another order"
        raise UserError(
            f"--init_param: '{file}' was trained with another token list than --token_list, {what}: give that and its bpe.model, or adapt "
            f"with 'run.sh --init_from {config.parent}', or take a part such as '{file}:encoder:encoder'"
        )


def check_resume(args: argparse.Namespace, tokens: Sequence[str] | None) -> None:
    """Refuse to go on with a run that cannot go on, before its configuration is written over.

    Raises:
        UserError: its checkpoint is cut off, or is of another model; naming the key and both values.
    """
    folder = Path(args.output_dir or ".")
    checkpoint, config = folder / "checkpoint.pth", folder / "config.yaml"
    if not checkpoint.exists():
        return
    # A checkpoint is a zip archive, whose directory comes last: a run killed while it saved left one without.
    if not zipfile.is_zipfile(checkpoint):
        raise UserError(
            f"--resume: '{checkpoint}' is incomplete, the run was killed while it was written; remove it to begin again, "
            "from the weights of the last epoch with --init_param if you like"
        )
    if config.is_file() and config.stat().st_size:  # it is empty after a kill while it was written, see `whole_config`
        before, now = (shape_of(values) for values in (read_yaml(config), vars(args) | {"token_list": tokens}))
        for key in sorted(before.keys() | now.keys()):
            if before.get(key) != now.get(key):
                old, new = (shown(found.get(key)) for found in (before, now))
                raise UserError(
                    f"--resume: '{folder}' was trained with {key} {old}, now it is {new}: name another --output_dir"
                )


def shape_of(conf: dict) -> dict[str, Any]:
    """What weights and the optimizer's state of a training belong to, key -> value: with defaults, and without rates of dropout."""
    conf = {"normalize": espnet_asr.normalize_choices.default, "exclude_weight_decay": False} | conf
    found: dict[str, Any] = {key: conf[key] for key in KEPT if key in conf and not isinstance(conf[key], tuple)}
    if isinstance(conf.get("token_list"), list | tuple):
        found["token_list"] = list(conf["token_list"])
    for part in KEPT_CONF:
        table = getattr(espnet_asr, f"{part}_choices", None)
        chosen = conf.get(part)
        defaults = {} if chosen is None or table is None else defaults_of(table.get_class(chosen))
        values = defaults | (conf.get(f"{part}_conf") or {})
        # The statistics themselves are among the weights.
        shape = {key: as_plain(value) for key, value in values.items() if "dropout" not in key and key != "stats_file"}
        found |= {f"{part}_conf.{key}": value for key, value in shape.items()}
    model, optim = conf.get("model_conf") or {}, conf.get("optim_conf") or {}
    if (joiner := model.get("joint_space_size")) is not None:
        found["model_conf.joint_space_size"] = joiner
    loss = vars(TransducerConf) | (model.get("transducer_conf") or {})
    found |= {f"model_conf.transducer_conf.{key}": loss[key] for key in KEPT_LOSS}
    chosen = optim_classes.get(conf.get("optim"))
    values = optim if chosen is None else defaults_of(chosen) | optim
    found |= {f"optim_conf.{key}": values[key] for key in KEPT_OPTIM if key in values}
    found["names in optim_conf.lr_scales"] = list(optim.get("lr_scales") or {})
    if conf["exclude_weight_decay"]:
        found["exclude_weight_decay_conf"] = as_plain(conf.get("exclude_weight_decay_conf") or {})
    return found


def defaults_of(cls: type) -> dict[str, Any]:
    """Arguments of a constructor that have defaults."""
    parameters = signature(cls).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}


def as_plain(value: Any) -> Any:
    """A value as YAML gives it back: lists in place of tuples."""
    if isinstance(value, dict):
        return {key: as_plain(inner) for key, inner in value.items()}
    return [as_plain(inner) for inner in value] if isinstance(value, list | tuple) else value


def check_parts(args: argparse.Namespace) -> None:
    """
    Raises:
        UserError: an unknown key, or a value that is not allowed, of a part of the model.
    """
    for part in PARTS:
        chosen = getattr(args, part, None)
        if chosen is not None:
            cls, conf = getattr(espnet_asr, f"{part}_choices").get_class(chosen), getattr(args, f"{part}_conf")
            check_keys(part, cls, conf, of_part(part, features_of(args)))


def check_steps(args: argparse.Namespace) -> None:
    """As `check_parts`, of optimizer and schedule."""
    for part, table in (("optim", optim_classes), ("scheduler", scheduler_classes)):
        chosen = getattr(args, part)
        if chosen is not None:
            check_keys(part, table[chosen], getattr(args, f"{part}_conf"), of_part(part, features_of(args)))


def check_preprocessor(conf: dict | None) -> None:
    """As `check_parts`, of ESPnet's preprocessor and its effects on audio."""
    if not conf:
        return
    check_keys("preprocessor", CommonPreprocessor, {"train": True} | conf, PREPROCESSOR)
    for effect in conf.get("data_aug_effects") or []:
        key = "preprocessor_conf.data_aug_effects"
        if not (isinstance(effect, list | tuple) and len(effect) in (2, 3)):
            raise UserError(f"{key}: {shown(effect)} must be a weight, the name of an effect and a dictionary")
        weight, name, *more = effect
        need_kind(key, weight, (float,))
        POSITIVE.check(key, weight)
        if not isinstance(name, str):
            continue  # a list of effects, of which ESPnet draws
        if name not in effects_dict:
            raise UserError(f"{key}: {shown(name)} is not one of {', '.join(effects_dict)}")
        allowed = list(signature(effects_dict[name]).parameters)[2:]
        for option in more[0] if more and isinstance(more[0], dict) else ():
            if option not in allowed:
                raise UserError(f"{key}.{name}.{option}: unknown key, allowed are {', '.join(allowed)}")


@contextmanager
def told_by_file(path: Path | str | None, conf: dict, args: argparse.Namespace | None = None) -> Iterator[None]:
    """Name the configuration file in a sentence on a key that stands in it.

    Args:
        path: of the file, None: there is none; conf: its content.
        args: what is used, which the command line may have changed; None: that is not known yet.
    """
    try:
        yield
    except UserError as error:
        text = str(error).removeprefix("--")
        name = text.replace(":", ".").partition(".")[0]
        outer = next((key for key, value in conf.items() if isinstance(value, dict) and name in value), None)
        key = name if name in conf else outer
        if path is None or key is None or not text.startswith((f"{name}:", f"{name}.")):
            raise
        if str(conf[key]) not in text if args is None else getattr(args, key, None) != conf[key]:
            raise
        raise UserError(f"configuration '{path}': {'' if key == name else f'{key}.'}{text}") from error
