"""LibriSpeech: its parts, download, and layout of folders."""

import sys
from pathlib import Path

from espnet_plugin.recipe.corpus import Preparation
from espnet_plugin.recipe.launch import show_lines


def kaldi_directories(job: Preparation, corpus: Path, sets: list[str], complete: bool = False) -> None:
    """Read a corpus in LibriSpeech's layout into Kaldi directories, for `Corpus.prepare`.

    Args:
        corpus: folder of the parts.
        sets: PART, or NAME=PART+PART.
        complete: refuse a part with fewer utterances than LibriSpeech's.
    """
    command = [
        sys.executable,
        "-m",
        "espnet_plugin.recipe.librispeech.prepare",
        "--corpus",
        str(corpus),
        "--sets",
        *sets,
    ]
    command += ["--out", str(job.data), "--nj", str(job.nj), *(["--complete"] if complete else [])]
    show_lines(job.run("data", command), " utterances, ")
