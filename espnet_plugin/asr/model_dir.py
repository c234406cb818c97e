"""Files that lie beside a configuration in a model directory: those that the model was trained with."""

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from espnet_plugin.common.files import write_whole
from espnet_plugin.common.tokens import check_bpemodel


def beside(conf: dict) -> Iterator[tuple[dict, str, str]]:
    """Where a training configuration names a file that lies beside it in a model directory: a dictionary, its key, the file's own name."""
    for section, key, name in (
        (conf.get("normalize_conf"), "stats_file", "feats_stats.npz"),
        (conf, "bpemodel", "bpe.model"),
        (conf, "non_linguistic_symbols", "symbols.txt"),
    ):
        if isinstance(section, dict) and section.get(key):
            yield section, key, name


def find_beside(conf: dict, folder: Path) -> None:
    """Let files that lie in `folder` win over the paths in a configuration from there, so that a model directory can be moved.

    Raises:
        UserError: the sentencepiece model does not go with the token list.
    """
    for section, key, name in beside(conf):
        if (folder / name).is_file():
            section[key] = str(folder / name)
    tokens, bpemodel = conf.get("token_list"), conf.get("bpemodel")
    if conf.get("token_type") == "bpe" and isinstance(tokens, list) and bpemodel and Path(bpemodel).is_file():
        check_bpemodel(tokens, bpemodel)


def keep_beside(conf: dict, folder: Path) -> None:
    """Copy what a training uses into its directory."""
    for section, key, name in beside(conf):
        source = Path(section[key])
        if source.resolve() != (folder / name).resolve():
            write_whole(folder / name, partial(shutil.copyfile, source))
