"""What the recipe needs to know of its configurations, and refusals of values that would otherwise end a run only after training."""

import contextlib
import io
import zlib
from dataclasses import dataclass
from pathlib import Path

from espnet_plugin.common.compose import compose
from espnet_plugin.common.files import need_file
from espnet_plugin.common.rate import hertz
from espnet_plugin.errors import UserError
from espnet_plugin.recipe.named_sizes import named, read_name
from espnet_plugin.supernet.configured import search_space
from espnet_plugin.supernet.dimensions import FFN

# Keys of ESPnet that change how training is run and reported, not what comes out of it.
HARMLESS = frozenset(
    """num_workers log_interval log_level keep_nbest_models num_att_plot use_tensorboard use_matplotlib create_graph_in_tensorboard
    use_wandb wandb_project wandb_id wandb_entity wandb_name""".split()
)
FILE_KEYS = ("_file", "_config")  # ends of the keys of a decoding configuration that name files
PARTS = ("encoder", "decoder", "model", "optim", "scheduler")
# Keys that lengths and statistics of the features do not depend on: of the configuration, and of --train_args, where more are understood.
LATER = frozenset("grad_clip max_epoch batch_bins num_iters_per_epoch seed".split()) | {
    part + end for part in PARTS for end in ("", "_conf")
}
LATER_ARGUMENTS = (
    LATER
    | HARMLESS
    | frozenset(
        "init_param freeze_param ignore_init_mismatch resume patience accum_grad use_amp max_bad_updates bandwidth_augment".split()
    )
)


def part(conf: dict, key: str) -> dict:
    """A dictionary of the configuration, empty where it is left out.

    Raises:
        UserError: it is something else.
    """
    found = conf.get(key) or {}
    if not isinstance(found, dict):
        raise UserError(f"{key}: {found!r} must be a dictionary")
    return found


def streams(conf: dict) -> bool:
    """Whether the configuration has models of forward direction."""
    encoder = part(conf, "encoder_conf")
    directions = part(encoder, "search_space").get("directions")
    return "forward" in directions if isinstance(directions, list) else not encoder.get("bidirectional", True)


def check_sizes(conf: dict, names: tuple[str, ...]) -> None:
    """Raise a `UserError` for a name that is none of a size, or of one that the search space lacks."""
    for name in names:
        read_name(name)
    encoder = part(conf, "encoder_conf")
    layers, search = encoder.get("num_layers"), part(encoder, "search_space")
    if names and isinstance(layers, int) and "ffn_dims" in search:
        widths = {key: search[key] for key in ("depths", "ffn_dims") if key in search}
        space = search_space(layers, widths, [FFN], {})
        for name in names:
            named(space, name)


def check_speeds(texts: tuple[str, ...]) -> None:
    """Raise a `UserError` for a factor that is no number from 0.5 to 2.0."""
    for text in texts:
        try:
            right = 0.5 <= float(text) <= 2
        except ValueError:
            right = False
        if not right:
            raise UserError(f"--speed_perturb_factors: '{text}' must be a number from 0.5 to 2.0")


def check_decoding(path: Path, streaming: bool, modified: bool | None) -> None:
    """Check a decoding configuration, which takes seconds.

    Args:
        modified: the model puts one symbol on a frame at most; None: not known yet.

    Raises:
        UserError: the file is none, names a file that is not there, or asks for a search that does not fit the model or `streaming`.
    """
    with contextlib.redirect_stderr(io.StringIO()):  # ESPnet tells there what optional parts it lacks
        from espnet_plugin.asr.inference.decode import check_streamed, read_conf
        from espnet_plugin.asr.inference.search import takes_one_symbol
    conf = read_conf(path)
    try:
        if streaming:
            check_streamed(conf)
        if conf.beam_size > 1 and modified is not None:
            takes_one_symbol(conf, modified)
        for key, file in (vars(conf) | dict(zip(("lm_train_config", "lm_file"), conf.lm_files or ()))).items():
            if key.endswith(FILE_KEYS) and file:
                need_file(f"{key}:", file)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def number_of(values: object) -> int:
    """A number that stands for values; the same for a configuration with other comments."""
    return zlib.crc32(repr(values).encode())


def by_key(words: list[str]) -> dict[str, list[str]]:
    """Options of a command as name -> values: ``--a 1 --b 2 3 --c=4``; words before an option under ''."""
    found: dict[str, list[str]] = {}
    key = ""
    for word in words:
        if word.startswith("--"):
            key, equals, value = word[2:].partition("=")
            found.setdefault(key, []).extend([value] if equals else [])
        else:
            found.setdefault(key, []).append(word)
    return found


@dataclass(frozen=True)
class Configuration:
    """A training configuration and the further arguments of a run.

    Args:
        path: of the YAML file, which may have bases.
        conf: all of it in one piece.
        arguments: ``--train_args``, name -> values.
    """

    path: Path
    conf: dict
    arguments: dict[str, list[str]]

    @classmethod
    def read(cls, path: Path, train_words: list[str], sizes: tuple[str, ...]) -> "Configuration":
        """From a file, checked.

        Raises:
            UserError: naming the file and the key; or a size that the search space lacks.
        """
        found = cls(path, compose(path), by_key(train_words))
        try:
            found.fs, found.streams  # noqa: B018 (they are computed, and refuse)
            check_sizes(found.conf, sizes)
        except UserError as error:
            where = "" if str(error).startswith("--") else f"configuration '{path}': "
            raise UserError(f"{where}{error}") from error
        return found

    @property
    def fs(self) -> int:
        """Sampling rate, Hz."""
        return hertz(part(self.conf, "frontend_conf").get("fs", 16000))

    @property
    def streams(self) -> bool:
        """Whether there are models that stream."""
        return streams(self.conf)

    @property
    def modified(self) -> bool | None:
        """Whether models put one symbol on a frame at most; None where ``--train_args`` may say something else."""
        if "model_conf" in self.arguments:
            return None
        return part(part(self.conf, "model_conf"), "transducer_conf").get("rnnt_type") == "modified"

    @property
    def shaping(self) -> dict:
        """The keys that shape the weights."""
        return {key: value for key, value in self.conf.items() if key not in HARMLESS}

    @property
    def shaping_arguments(self) -> dict[str, str]:
        """Those of ``--train_args`` that do, with blanks between several values."""
        return {key: " ".join(values) for key, values in self.arguments.items() if key not in HARMLESS}

    @property
    def features(self) -> dict:
        """The keys that lengths and statistics of the features can depend on."""
        return {key: value for key, value in self.conf.items() if key not in LATER}

    @property
    def features_number(self) -> int:
        return number_of(self.features)

    @property
    def feature_words(self) -> list[str]:
        """The arguments that lengths and statistics of the features can depend on."""
        kept = {key: values for key, values in self.arguments.items() if key not in LATER_ARGUMENTS}
        return [word for key, values in kept.items() for word in (f"--{key}", *values)]

    @property
    def frontend(self) -> dict:
        return {key: self.conf.get(key) for key in ("frontend", "frontend_conf")}
