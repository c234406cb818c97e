"""Options of the recipe. Each is declared once: a field of a dataclass with its default, the shape of its value, and what it is.

The corpora in ``local/corpora`` declare options of their own in the same way. ``--help``, the checks and the refusals are made of these
declarations.
"""

import dataclasses
import os
import re
import shlex
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_type_hints

from espnet_plugin.common.bounds import Bounds
from espnet_plugin.common.files import is_plain_name
from espnet_plugin.common.text import CASES, FORMS, PUNCTUATION, TextConf
from espnet_plugin.common.tokens import TOKEN_TYPES
from espnet_plugin.common.word_errors import METRICS
from espnet_plugin.errors import UserError

COUNT = Bounds(1)
STAGES = Bounds(1, 12)
PROCESSES = Bounds(1, 1024, why="processes of one machine")
GPUS = Bounds(0, 64, why="GPUs of one machine")
PIECES = Bounds(1, 100_000, why="no language needs more")


def option(
    default,
    shape: str,
    about: str,
    bounds: Bounds = COUNT,
    choices: tuple[str, ...] = (),
    per_corpus: bool = False,
):
    """A field that is an option.

    Its type says what it takes: ``int`` a number within `bounds`, ``bool`` true or false, ``tuple`` words, ``str`` any text.

    Args:
        shape: of the value, for ``--help``, as in ``NAME``.
        about: what it is, for ``--help``.
        choices: the texts that are allowed; none for any.
        per_corpus: the corpus has a default of its own for it.
    """
    facts = dict(shape=shape, about=about, bounds=bounds, choices=choices, per_corpus=per_corpus)
    return dataclasses.field(default=default, metadata=facts)


def cores() -> int:
    """Processors that this process may use, or as many threads as OMP_NUM_THREADS allows; as coreutils' nproc has it."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return int(wanted) if re.fullmatch("[1-9][0-9]*", wanted) else len(os.sched_getaffinity(0))


@dataclass(frozen=True)
class Options:
    """What ``run.sh`` takes with every corpus."""

    stage: int = option(1, "N", "first stage, by number or name", STAGES)
    stop_stage: int = option(12, "N", "last stage, by number or name", STAGES)
    corpus: str = option("mini", "NAME", "one of the corpora above")
    train_set: str = option("train", "NAME", "set to train on", per_corpus=True)
    valid_set: str = option("valid", "NAME", "development set, on which sizes are chosen", per_corpus=True)
    test_sets: tuple[str, ...] = option(("test",), '"NAME ..."', "sets to decode and score", per_corpus=True)
    nj: int = option(cores(), "N", "processes for data and decoding", PROCESSES)
    ngpu: int = option(0, "N", "GPUs of a node for training; cmd.sh says how jobs reach them", GPUS)
    num_nodes: int = option(1, "N", "nodes for training", Bounds(1, 10_000, why="no cluster has more"))
    dry_run: bool = option(False, "true", "print what training would cost on such GPUs, and do nothing")
    gpu: str = option("a100", "NAME", "kind of GPU for --dry_run: a100, h100, ...")
    utilisation: str = option(
        "", "N", "share of its matrix rate that training reaches, for --dry_run (that of a step measured here)"
    )
    speed_perturb_factors: tuple[str, ...] = option(
        ("1.0",), '"N ..."', "the training set at each of these speeds", per_corpus=True
    )
    feats_type: str = option(
        "raw",
        "NAME",
        "what training reads: raw (audio) or fbank (features dumped in stage 2, for fast disks and slow CPUs)",
        choices=("raw", "fbank"),
    )
    data_backend: str = option(
        "kaldi",
        "NAME",
        "how training reads: kaldi (tables in memory) or lhotse (a stream of cuts, for data of any size)",
        choices=("kaldi", "lhotse"),
    )
    train_cuts: str = option(
        "",
        "PATH",
        "with --data_backend lhotse: train on this manifest of lhotse's cuts, or folder in its Shar format, in place of the corpus",
    )
    bandwidth_augment: bool = option(
        False, "true", "train on utterances as they sound at 8 kHz too, for a model that is to hear telephones"
    )
    text_form: str = option("nfc", "NAME", "Unicode normalisation form of transcripts", choices=FORMS)
    text_case: str = option("keep", "NAME", "letters of transcripts", choices=CASES)
    punctuation: str = option("keep", "NAME", "punctuation in transcripts", choices=PUNCTUATION)
    symbols: tuple[str, ...] = option((), '"NAME ..."', "non-linguistic symbols that are one token each, as <noise>")
    remove_symbols: tuple[str, ...] = option(
        (), '"NAME ..."', "non-linguistic symbols that are taken out of transcripts"
    )
    token_type: str = option("bpe", "NAME", "sentencepiece units or characters", choices=TOKEN_TYPES)
    nbpe: int = option(100, "N", "sentencepiece units", PIECES, per_corpus=True)
    init_from: str = option(
        "",
        "DIR",
        "adapt a model: tokens, statistics, architecture and weights from its directory; one of a single size is grown",
    )
    init_subnet: str = option(
        "", "NAME", "with --init_from: train this size of the supernet alone, as 3x64 or a subnet of sizes.json"
    )
    extend_tokens: bool = option(False, "true", "with --init_from: add the characters that its tokens lack")
    metric: str = option(
        "wer", "NAME", "error rate that sizes are chosen by: of words or of characters", choices=METRICS
    )
    asr_config: str = option("conf/train_mini.yaml", "FILE", "training configuration", per_corpus=True)
    inference_config: str = option("conf/decode.yaml", "FILE", "decoding configuration")
    train_args: str = option("", '"..."', "further options of espnet-todm train")
    average: int = option(
        8, "N", "checkpoints averaged, the last ones", Bounds(1, 1000, why="epochs of a training"), per_corpus=True
    )
    sizes: tuple[str, ...] = option(
        (),
        '"NAME ..."',
        "sizes of LAYERSxWIDTH, as 12x384 for 12 layers with 384 feed-forward channels, in place of chosen ones",
    )
    num_sizes: int = option(5, "N", "sizes to choose", Bounds(2, 1000, why="each is decoded in full"))
    num_candidates: int = option(
        6, "N", "subnets decoded for each of them", Bounds(1, 1000, why="each is decoded in full")
    )
    expdir: str = option("", "DIR", "models and results (exp/CORPUS)")
    dumpdir: str = option("", "DIR", "data, tokens, statistics (dump/CORPUS)")
    streaming: bool = option(False, "true", "sizes of forward direction, decoded in chunks")
    redo: bool = option(False, "true", "do stages again though their outputs are complete")

    def __post_init__(self):
        if self.stage > self.stop_stage:
            raise UserError(f"--stage '{self.stage}' must not be after --stop_stage '{self.stop_stage}'")

        if self.extend_tokens and not self.init_from:
            raise UserError("--extend_tokens 'true' needs --init_from, the model whose tokens are extended")
        if self.train_cuts and self.data_backend != "lhotse":
            raise UserError(f"--train_cuts '{self.train_cuts}' needs --data_backend lhotse")
        if self.feats_type != "raw" and self.data_backend == "lhotse":
            raise UserError(
                f"--feats_type '{self.feats_type}' must be raw with --data_backend lhotse, which reads audio"
            )
        if self.init_subnet and not self.init_from:
            raise UserError(f"--init_subnet '{self.init_subnet}' needs --init_from, the supernet that it belongs to")
        for name in self.sets:
            if not is_plain_name(name):
                raise UserError(f"set '{name}': must be the name of a folder, not a path")
        self.text_conf  # noqa: B018 (it is computed, and refuses)

    @property
    def text_conf(self) -> TextConf:
        """Normalisation of transcripts. Raises `UserError`, see `TextConf`."""
        return TextConf(self.text_form, self.text_case, self.punctuation, self.symbols, self.remove_symbols)

    @property
    def sets(self) -> tuple[str, ...]:
        """All sets, each once, training set first."""
        return tuple(dict.fromkeys((self.train_set, self.valid_set, *self.test_sets)))

    @property
    def kaldi_sets(self) -> tuple[str, ...]:
        """Those that come from the corpus, as Kaldi directories."""
        return self.sets[1:] if self.train_cuts else self.sets

    @property
    def train_words(self) -> list[str]:
        """``--train_args`` as words of a command, and what other options ask of training.

        Raises:
            UserError: a quote that does not end.
        """
        more = ["--bandwidth_augment", "true"] if self.bandwidth_augment else []
        try:
            return [*shlex.split(self.train_args), *more]
        except ValueError as error:
            raise UserError(f"--train_args '{self.train_args}': a quote does not end") from error


def read_words(words: Sequence[str], known: Sequence[str], program: str) -> dict[str, str]:
    """Names and values of ``--name value ...``; the last of several values counts.

    Raises:
        UserError: an unknown option, one without a value, or a word that is no option.
    """
    given, rest = {}, list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            raise UserError(f"argument '{word}' is not an option, see ./{program} --help")
        if word[2:] not in known:
            raise UserError(f"option '{word}' is unknown, see ./{program} --help")
        if not rest:
            raise UserError(f"option '{word}' needs a value")
        given[word[2:]] = rest.pop(0)
    return given


def converted(cls: type, given: Mapping[str, str]) -> dict:
    """The values that `given` has for fields of a dataclass, each of the field's type; an empty text stands for the default.

    Raises:
        UserError: a value that the option does not take.
    """
    kinds = get_type_hints(cls)
    found: dict[str, object] = {}
    for field in dataclasses.fields(cls):
        text, kind, about = given.get(field.name), kinds[field.name], field.metadata
        if text is None:
            continue
        name = f"--{field.name} '{text}'"
        if kind is bool:
            if text not in ("true", "false"):
                raise UserError(f"{name} must be true or false")
            found[field.name] = text == "true"
        elif kind is int:
            if text == "" and about["per_corpus"]:
                continue
            if not re.fullmatch(r"[0-9]{1,18}", text) or int(text) not in about["bounds"]:
                raise UserError(f"{name} must be a whole number {about['bounds']}")
            found[field.name] = int(text)
        elif text != "":
            if about["choices"] and text not in about["choices"]:
                raise UserError(f"{name} is not one of {', '.join(about['choices'])}")
            words = text.split()
            twice = next((word for word in words if words.count(word) > 1), None)
            if kind is not str and twice is not None:
                raise UserError(f"{name} has '{twice}' twice")
            found[field.name] = text if kind is str else tuple(words)
    return found


def shown(value) -> str:
    """A default as ``--help`` shows it."""
    if isinstance(value, bool):
        return str(value).lower()
    return " ".join(value) if isinstance(value, tuple) else str(value)


def option_lines(cls: type, defaults: Mapping[str, Mapping] | None = None) -> list[str]:
    """Lines of ``--help`` on the options of a dataclass.

    Args:
        defaults: those that each corpus has of its own.
    """
    lines = []
    for field in dataclasses.fields(cls):
        about = field.metadata
        others = {name: values[field.name] for name, values in (defaults or {}).items() if field.name in values}
        default = shown(field.default)
        if others:
            default = ", ".join([*(f"{name}: {shown(value)}" for name, value in others.items()), f"else {default}"])
        end = f" ({default})" if default else ""
        left = f"  --{field.name} {about['shape']}"
        left = f"{left:<27}" if len(left) < 27 else f"{left} "
        lines += textwrap.wrap(f"{about['about']}{end}", 118, initial_indent=left, subsequent_indent=" " * 27)
    return lines


def quoted(words: list[str]) -> str:
    """A command as it can be typed."""
    return " ".join(re.sub(r"([^A-Za-z0-9@%_+=:,./~-])", r"\\\1", word) if word else "''" for word in words)
