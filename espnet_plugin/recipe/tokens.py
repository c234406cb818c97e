"""Where a run's tokens come from: sentencepiece units or characters of its training set, or a model that is adapted."""

from dataclasses import dataclass
from pathlib import Path

from espnet_plugin.common.compose import read_yaml
from espnet_plugin.common.files import read_json
from espnet_plugin.common.text import TextConf, recorded
from espnet_plugin.errors import UserError
from espnet_plugin.recipe.layout import Dump
from espnet_plugin.recipe.options import Options
from espnet_plugin.recipe.record import cksum, sum_of
from espnet_plugin.recipe.transcripts import RECORD

OPTIONS = {"form": "text_form", "case": "text_case", "removed": "remove_symbols"}  # of `TextConf`, by other names there


@dataclass(frozen=True)
class Tokens:
    """Tokens of the training set.

    Args:
        folder: with tokens.txt and what belongs to it.
        asked: what was asked for, label -> value.
        text: normalisation of the transcripts.
        train_text: where the formatted training set says what its normalisation was.
    """

    folder: Path
    asked: dict
    text: TextConf
    train_text: Path

    @property
    def facts(self) -> dict:
        """What a training depends on, label -> value."""
        return {"bpe.model": sum_of(self.folder / "bpe.model"), "text_conf": self.other_text}

    @property
    def text_conf(self) -> dict | None:
        """Normalisation that the training set had, None where it says nothing, as one that was formatted before there was any."""
        return read_json(self.train_text)

    @property
    def other_text(self) -> dict | None:
        """The same, None also for the default one, so that a model which was trained before is not trained again for it."""
        return None if self.text_conf == TextConf().as_dict() else self.text_conf

    @property
    def config(self) -> Path | None:
        """Training configuration that comes with the tokens, None for that of the run."""
        return None

    def program(self, text: Path) -> tuple[str, list[str]]:
        """What makes the folder: program of the recipe and its options. Args: text: of the training set."""
        words = ["--token_type", "bpe", "--nbpe", str(self.asked["nbpe"])]
        return "tokenizer", ["--text", str(text), *words, "--out", str(self.folder)]

    def task_words(self) -> list[str]:
        """Options of training."""
        words = ["--token_type", "bpe", "--token_list", str(self.folder / "tokens.txt")]
        return [*words, "--bpemodel", str(self.folder / "bpe.model")]

    def start_words(self, stats: Path) -> list[str]:
        """Options of training on what it begins with. Args: stats: of stage 4."""
        return ["--normalize", "global_mvn", "--normalize_conf", f"stats_file={stats}/train/feats_stats.npz"]


@dataclass(frozen=True)
class Characters(Tokens):
    """Characters of the training set."""

    @property
    def facts(self) -> dict:
        return {"tokens.txt": sum_of(self.folder / "tokens.txt"), "text_conf": self.other_text}

    def program(self, text: Path) -> tuple[str, list[str]]:
        return "tokenizer", ["--text", str(text), "--token_type", "char", "--out", str(self.folder)]

    def task_words(self) -> list[str]:
        words = ["--token_type", "char", "--token_list", str(self.folder / "tokens.txt")]
        return [*words, "--non_linguistic_symbols", str(self.folder / "symbols.txt")]


@dataclass(frozen=True)
class OfModel(Tokens):
    """Those of a model that is adapted, together with all else that it gives.

    Args:
        model_dir: its; given: how to train, if given.
        own_text: the normalisation that its configuration has.
    """

    model_dir: Path
    given: Path | None
    own_text: TextConf | None

    @property
    def facts(self) -> dict:
        start = sum_of(*(self.folder / name for name in ("tokens.txt", "init.pth", "train.yaml")))
        return {"start": start, "text_conf": self.text_conf}

    @property
    def text_conf(self) -> dict | None:
        """None for the model's own, which is in its configuration."""
        own = self.own_text
        return None if own is None or own.as_dict() == self.text.as_dict() else super().text_conf

    @property
    def config(self) -> Path:
        return self.folder / "train.yaml"

    def program(self, text: Path) -> tuple[str, list[str]]:
        words = ["--model_dir", str(self.model_dir), "--text", str(text), "--out", str(self.folder)]
        words += ["--extend_tokens", str(self.asked["extend_tokens"]).lower()]
        words += ["--subnet", self.asked["init_subnet"]] if "init_subnet" in self.asked else []
        return "adapt", [*words, "--config", str(self.given)] if self.given else words

    def task_words(self) -> list[str]:
        return ["--token_list", str(self.folder / "tokens.txt")]

    def start_words(self, stats: Path) -> list[str]:
        return ["--init_param", str(self.folder / "init.pth")]


def source(options: Options, dump: Dump, given: Path | None = None) -> Tokens:
    """Of a run.

    Args:
        given: training configuration that was named together with --init_from.
    """
    train_text = dump.raw(options.train_set) / RECORD
    if not options.init_from:
        text = options.text_conf
        if options.token_type == "char":
            return Characters(dump.tokens("char"), {"token_type": "char"}, text, train_text)
        return Tokens(dump.tokens(f"bpe_unigram{options.nbpe}"), {"nbpe": options.nbpe}, text, train_text)
    model_dir = Path(options.init_from)
    config = model_dir / "config.yaml"
    weights = next(
        (path for name in ("model.pth", "averaged.pth", "valid.loss.ave.pth") if (path := model_dir / name).is_file()),
        config,
    )
    asked = {"init_from": sum_of(config, weights), "extend_tokens": options.extend_tokens}
    asked |= {"init_subnet": options.init_subnet} if options.init_subnet else {}
    asked |= {"asr_config": sum_of(given)} if given else {}
    number = cksum(repr(asked).encode())
    own = recorded(read_yaml(config))
    text = adapted(own, options.text_conf)
    return OfModel(dump.tokens(f"from_{number}"), asked, text, train_text, model_dir, given, own)


def adapted(own: TextConf | None, asked: TextConf) -> TextConf:
    """Normalisation of the transcripts that a model is adapted to: its own, and what is asked for where that leaves the text as it is.

    Raises:
        UserError: what is asked for is not what the model has.
    """
    if own is None:
        return asked
    values, usual = own.as_dict(), TextConf().as_dict()
    for key, value in asked.as_dict().items():
        if value == usual[key]:
            continue
        if values[key] not in (value, usual[key]):
            raise UserError(
                f"--{OPTIONS.get(key, key)}: {value!r} must be {values[key]!r}, as the model of --init_from has it"
            )
        values[key] = value
    return TextConf(**values)
