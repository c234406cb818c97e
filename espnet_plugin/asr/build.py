"""A model from its configuration, without ESPnet's task where that can be: the task imports every encoder of ESPnet, for seconds."""

import argparse
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

from espnet2.asr.ctc import CTC

from espnet_plugin.asr.statistics import check_statistics
from espnet_plugin.asr.training.model import TODMModel
from espnet_plugin.common.conf import check_keys
from espnet_plugin.errors import UserError
from espnet_plugin.registry import our_class

NORMALIZE = {"global_mvn": "espnet2.layers.global_mvn.GlobalMVN"}  # ESPnet's own, light ones


@contextmanager
def building(what: str, args: argparse.Namespace) -> Iterator[None]:
    """Tell what goes wrong before training, where a configuration is at fault more often than the program, in a sentence.

    Raises:
        UserError: naming the configuration; the traceback is in the log with ``--log_level DEBUG``.
    """
    try:
        yield
    except (UserError, OSError):
        raise
    except AttributeError as error:
        if error.obj is args:  # told by who knows the file
            raise
        raise failed(what, args, error) from error
    except Exception as error:  # of any library that takes part
        raise failed(what, args, error) from error


def failed(what: str, args: argparse.Namespace, error: Exception) -> UserError:
    logging.debug(f"building the {what} failed", exc_info=True)
    text = " ".join(str(error).split()) or type(error).__name__
    config = f"configuration '{args.config}'" if getattr(args, "config", None) else "configuration"
    return UserError(f"{config}: the {what} cannot be built: {text}")


def classes_of(args: argparse.Namespace) -> dict[str, type] | None:
    """Classes of a model's parts, None where one of them is known to ESPnet's task alone."""
    if args.input_size is not None or not isinstance(args.token_list, list | tuple) or args.init is not None:
        return None
    if args.preencoder is not None or args.postencoder is not None:
        return None
    found: dict[str, type | None] = {
        part: our_class(f"{part}_choices", getattr(args, part)) for part in ("frontend", "encoder", "decoder")
    }
    if args.normalize is not None:
        module, _, name = NORMALIZE.get(args.normalize, "").rpartition(".")
        found["normalize"] = getattr(import_module(module), name) if module else None
    classes = {part: value for part, value in found.items() if value is not None}
    return classes if len(classes) == len(found) else None


def build_model(args: argparse.Namespace) -> TODMModel:
    """A model with fresh weights, for use and not for training: it has no SpecAugment, which acts in training alone.

    Args:
        args: a training configuration, as ESPnet stores it.

    Raises:
        AttributeError: a key is missing.
        UserError: an unknown key or a value that is not allowed.
    """
    classes = classes_of(args)
    if classes is None:
        from espnet_plugin.asr.training.task import TODMTask

        try:
            return TODMTask.build_model(args)
        except ValueError as error:  # ESPnet's list of all names that a part may have
            key = str(error).split(" must be one of ")[0].lstrip("-")
            if not hasattr(args, key):
                raise
            raise UserError(f"{key}: {getattr(args, key)!r} is no class that ESPnet or a plugin has") from error
    for part, cls in (classes | {"model": TODMModel}).items():
        check_keys(part, cls, getattr(args, f"{part}_conf"))
    if args.normalize == "global_mvn":
        check_statistics(args.normalize_conf["stats_file"])
    with building("model", args):
        frontend = classes["frontend"](**args.frontend_conf)
        encoder = classes["encoder"](input_size=frontend.output_size(), **args.encoder_conf)
        sizes = dict(vocab_size=len(args.token_list), encoder_output_size=encoder.output_size())
        return TODMModel(
            vocab_size=len(args.token_list),
            token_list=list(args.token_list),
            frontend=frontend,
            specaug=None,
            normalize=classes["normalize"](**args.normalize_conf) if "normalize" in classes else None,
            preencoder=None,
            encoder=encoder,
            postencoder=None,
            decoder=classes["decoder"](**sizes, **args.decoder_conf),
            ctc=CTC(odim=len(args.token_list), encoder_output_size=encoder.output_size(), **args.ctc_conf),
            joint_network=None,
            **args.model_conf,
        )
