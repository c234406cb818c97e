"""Which search a model is decoded with, and its options."""

import argparse
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any, get_type_hints

import torch

from espnet_plugin.asr.inference.hotwords import read_hotwords
from espnet_plugin.asr.inference.loading import TrainedModel
from espnet_plugin.common.conf import kinds_of, need_kind
from espnet_plugin.errors import UserError
from espnet_plugin.transducer.align import align
from espnet_plugin.transducer.beam import beam_search
from espnet_plugin.transducer.greedy import greedy_hypotheses
from espnet_plugin.transducer.hypothesis import Hypothesis
from espnet_plugin.transducer.shallow_fusion import LanguageModel

Search = Callable[[torch.Tensor, torch.Tensor], list[list[Hypothesis]]]  # encoder output (B, T, D), lengths (B,)

ONE_SYMBOL = "modified"  # our name among ESPnet's: at most one symbol a frame
ESPNETS = ("default", "tsd", "alsd", "nsc", "maes")
GIVEN = ("lm_weight", "multi_blank_durations", "multi_blank_indices", "nbest")  # elsewhere, beside what has no default


def check_transducer_conf(conf: dict) -> None:
    """Refuse options of ESPnet's BeamSearchTransducer that it does not take; their types are those of its defaults.

    Raises:
        UserError: naming the key and what is allowed.
    """
    if not conf:
        return
    from espnet2.asr.transducer.beam_search_transducer import BeamSearchTransducer  # takes seconds to import

    parameters = inspect.signature(BeamSearchTransducer).parameters.values()
    defaults = {p.name: p.default for p in parameters if p.default not in (p.empty, None) and p.name not in GIVEN}
    for key, value in conf.items():
        if key not in defaults:
            raise UserError(f"transducer_conf.{key}: unknown key, allowed are {', '.join(defaults)}")
        if key == "search_type" and value not in (ONE_SYMBOL, *ESPNETS):
            raise UserError(f"transducer_conf.search_type: {value!r} is not one of {[ONE_SYMBOL, *ESPNETS]}")
        kind = type(defaults[key])
        need_kind(f"transducer_conf.{key}", value, (kind,))
        least = key in ("max_sym_exp", "u_max", "nstep")
        if kind in (int, float) and value < least:
            raise UserError(f"transducer_conf.{key}: {value} must be at least {int(least)}")


def told(default, help: str):
    """A field that is an option of programs too."""
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True)
class SearchConf:
    """How words are searched for. Names are those of `espnet2.bin.asr_inference`.

    Args:
        beam_size: 1 is greedy search as the device does it; more is beam search.
        nbest: answers to an utterance, at most `beam_size`.
        transducer_conf: ``search_type``: ``modified``, at most one symbol a frame, which is the only choice for models of
            ``rnnt_type: modified``; or one of ESPnet's, with its options. ESPnet's ``default`` where a model has the regular lattice.
        hotwords_file: see `read_hotwords`; hotwords_score: bonus a symbol, 0 to 100.
        lm_file, lm_train_config: see `load_lm`, the config.yaml beside lm_file by default; lm_weight: of its log probabilities.
        ngram_file: see `ngram_of`; ngram_weight: likewise.

    Raises:
        UserError: a value that is not allowed, or one without the one it needs.
    """

    beam_size: int = told(1, "hypotheses kept; 1 is greedy search")
    nbest: int = told(1, "answers to an utterance, at most beam_size")
    transducer_conf: dict | None = None
    hotwords_file: str | None = told(None, "phrases to prefer, one a line, with ':2.5' behind for a bonus of its own")
    hotwords_score: float = told(1.5, "bonus a symbol of a hotword")
    lm_train_config: str | None = told(None, "configuration of an ESPnet language model (default: beside lm_file)")
    lm_file: str | None = told(None, "its weights")
    lm_weight: float = told(0.3, "weight of its log probabilities")
    ngram_file: str | None = told(None, "n-gram over tokens or words, ARPA or KenLM's binary")
    ngram_weight: float = told(0.3, "weight of its log probabilities")

    def __post_init__(self):
        if not 1 <= self.beam_size <= 1000:
            raise UserError(f"beam_size: {self.beam_size} must be at least 1, which is greedy search, and at most 1000")
        if not 1 <= self.nbest <= self.beam_size:
            raise UserError(f"nbest: {self.nbest} must be at least 1 and at most beam_size, which is {self.beam_size}")
        for key in ("hotwords_score", "lm_weight", "ngram_weight"):
            if not 0 <= getattr(self, key) <= 100:
                raise UserError(f"{key}: {getattr(self, key)} must be from 0 to 100")
        if self.lm_train_config is not None and self.lm_file is None:
            raise UserError(f"lm_train_config: '{self.lm_train_config}' needs lm_file, the weights")
        check_transducer_conf(self.transducer_conf or {})
        if self.beam_size == 1:
            for key in ("transducer_conf", "hotwords_file", "lm_file", "ngram_file"):
                if getattr(self, key):
                    raise UserError(f"{key}: {getattr(self, key)} needs a beam_size above 1, which is 1")

    @property
    def lm_files(self) -> tuple[Path, Path] | None:
        """Configuration and weights of the neural language model, where there is one."""
        if self.lm_file is None:
            return None
        weights = Path(self.lm_file)
        return Path(self.lm_train_config or weights.with_name("config.yaml")), weights

    @property
    def search_type(self) -> str | None:
        return (self.transducer_conf or {}).get("search_type")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Give a program the options of `SearchConf`."""
    group, types = parser.add_argument_group("search"), get_type_hints(SearchConf)
    for one in fields(SearchConf):
        if "help" in one.metadata:
            kind = next(kind for kind in kinds_of(types[one.name]) if kind is not type(None))
            default = "" if one.default is None else f" (default: {one.default})"
            group.add_argument(
                f"--{one.name}", type=kind, metavar=kind.__name__.upper(), help=one.metadata["help"] + default
            )


def given_options(args: argparse.Namespace) -> dict:
    """Those options of `SearchConf` that were given to a program."""
    return {one.name: value for one in fields(SearchConf) if (value := getattr(args, one.name, None)) is not None}


def check_given(args: argparse.Namespace, conf: SearchConf) -> None:
    """Refuse options of a program that do nothing without another one.

    Raises:
        UserError: naming both.
    """
    for option, needs in (
        ("hotwords_score", "hotwords_file"),
        ("lm_weight", "lm_file"),
        ("ngram_weight", "ngram_file"),
    ):
        if getattr(args, option) is not None and getattr(conf, needs) is None:
            raise UserError(f"--{option}: {getattr(args, option)} needs --{needs}")


def one_symbol_search(trained: TrainedModel, conf: SearchConf) -> Search:
    """Beam search with at most one symbol a frame.

    Raises:
        UserError: a list of hotwords or a language model does not go with the model.
    """
    model = trained.model
    context = None if conf.hotwords_file is None else read_hotwords(conf.hotwords_file, trained, conf.hotwords_score)
    models: list[tuple[LanguageModel, float]] = []
    if conf.lm_files is not None:
        from espnet_plugin.asr.inference.language_models import load_lm  # takes seconds to import

        models.append((load_lm(model, *conf.lm_files), conf.lm_weight))
    if conf.ngram_file is not None:
        from espnet_plugin.asr.inference.language_models import ngram_of

        models.append((ngram_of(conf.ngram_file, model), conf.ngram_weight))
    options: dict[str, Any] = dict(beam_size=conf.beam_size, blank_id=model.blank_id, silent=model.silent)
    options |= dict(context=context, models=models)
    return partial(beam_search, decoder=model.decoder, joint_network=model.joint_network, **options)


def espnets_search(trained: TrainedModel, conf: SearchConf) -> Search:
    """ESPnet's own search, one utterance after the other; times come from the best path that gives its symbols.

    Raises:
        UserError: options that do not go with the model's vocabulary.
    """
    from espnet2.asr.transducer.beam_search_transducer import BeamSearchTransducer

    from espnet_plugin.asr.inference.language_models import load_lm

    model = trained.model
    lm = None if conf.lm_files is None else load_lm(model, *conf.lm_files).lm
    parts = dict(decoder=model.decoder, joint_network=model.joint_network, token_list=model.token_list)
    options = dict(lm=lm, lm_weight=conf.lm_weight, nbest=conf.nbest) | (conf.transducer_conf or {})
    try:
        beam = BeamSearchTransducer(beam_size=conf.beam_size, **parts, **options)
    except (AssertionError, NotImplementedError) as error:
        reason = str(error) or "ESPnet has no such search with this language model"
        raise UserError(f"beam_size: {conf.beam_size} with transducer_conf {conf.transducer_conf}: {reason}") from error

    def search(encoder_out: torch.Tensor, lengths: torch.Tensor) -> list[list[Hypothesis]]:
        answers = []
        for x, length in zip(encoder_out, lengths.tolist()):
            found = [(hyp.yseq[1:], float(hyp.score)) for hyp in beam(x[:length])]
            align_to = partial(align, x[:length], decoder=model.decoder, joint_network=model.joint_network)
            answers.append([align_to(tokens, blank_id=model.blank_id, score=score) for tokens, score in found])
        return answers

    return search


def greedy_of(trained: TrainedModel) -> Search:
    model = trained.model
    parts = (model.decoder, model.joint_network, model.blank_id)
    return lambda encoder_out, lengths: [
        [h] for h in greedy_hypotheses(encoder_out, lengths, *parts, silent=model.silent)
    ]


def search_of(trained: TrainedModel, conf: SearchConf) -> Search:
    """The search that a model is decoded with.

    Returns:
        what finds hypotheses in the encoder's output, best first, `conf.nbest` at most.

    Raises:
        UserError: the model emits one symbol a frame and the search several, or see `one_symbol_search` and `espnets_search`.
    """
    if conf.beam_size == 1:
        return greedy_of(trained)
    one_symbol = takes_one_symbol(conf, trained.model.one_symbol_a_frame)
    search = (one_symbol_search if one_symbol else espnets_search)(trained, conf)
    return lambda encoder_out, lengths: [found[: conf.nbest] for found in search(encoder_out, lengths)]


def takes_one_symbol(conf: SearchConf, modified: bool) -> bool:
    """Whether a beam search puts one symbol on a frame at most. Args: modified: so does the model, by its ``rnnt_type``.

    Raises:
        UserError: the model does and the search does not, or an option that the search has not.
    """
    if modified or conf.search_type == ONE_SYMBOL:
        check_one_symbol(conf.transducer_conf or {})
        return True
    for key in ("hotwords_file", "ngram_file"):
        if getattr(conf, key) is not None:
            raise UserError(f"{key}: ESPnet's search has none, choose transducer_conf: {{search_type: {ONE_SYMBOL}}}")
    return False


def check_one_symbol(transducer_conf: dict) -> None:
    """Raise a `UserError` for options of a search that a model of one symbol a frame cannot be used with."""
    search_type = transducer_conf.get("search_type", ONE_SYMBOL)
    if search_type != ONE_SYMBOL:
        raise UserError(
            f"transducer_conf.search_type: '{search_type}' puts several symbols on a frame, which a model of rnnt_type 'modified' "
            f"never learnt; leave it out or choose '{ONE_SYMBOL}'"
        )
    for key in transducer_conf:
        if key != "search_type":
            raise UserError(f"transducer_conf.{key}: search_type '{ONE_SYMBOL}' has no such option")
