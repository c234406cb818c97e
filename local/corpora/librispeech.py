"""LibriSpeech, from the folder that db.sh names."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from espnet_plugin.errors import UserError
from espnet_plugin.recipe import corpus
from espnet_plugin.recipe.librispeech import kaldi_directories
from espnet_plugin.recipe.options import option

SUMS = {"train-960": "train-clean-100+train-clean-360+train-other-500"}


@dataclass(frozen=True)
class Corpus(corpus.Corpus):
    """960 or 100 hours of read English, from the path in db.sh"""

    full_libri: bool = option(True, "false", "train on the 100 hours of train-clean-100, not on all 960")
    download: bool = option(
        False, "true", "download what is not there into the folder that db.sh names, checked and resumable"
    )
    complete: bool = option(True, "false", "take a cut-down corpus, too")

    # dev-clean and dev-other are tables' columns, too; the model is chosen on dev-clean alone.
    defaults: ClassVar[dict] = {
        "nbpe": 500,
        "asr_config": "conf/paper/supernet.yaml",
        "train_set": "train-960",
        "valid_set": "dev-clean",
        "test_sets": ("dev-clean", "dev-other", "test-clean", "test-other"),
        "speed_perturb_factors": ("0.9", "1.0", "1.1"),
    }

    def own_defaults(self) -> dict:
        return self.defaults if self.full_libri else self.defaults | {"train_set": "train-clean-100"}

    @property
    def hours(self) -> float:
        return 960.9 if self.full_libri else 100.6

    @property
    def folder(self) -> str:
        return os.environ.get("LIBRISPEECH", "downloads")

    def inputs(self) -> dict:
        return {"LIBRISPEECH": self.folder}

    def checks(self) -> dict:
        return {"complete": self.complete}

    def prepare(self, job: corpus.Preparation) -> None:
        there, sets = Path(self.folder) / "LibriSpeech", [SUMS.get(name, name) for name in job.sets]
        if self.download:
            from espnet_plugin.recipe.librispeech import download

            parts = dict.fromkeys(part for text in sets for part in text.split("+"))
            url = os.environ.get("LIBRISPEECH_URL", download.URL)
            download.main(["--out", self.folder, "--url", url, "--parts", *parts])
        if not there.is_dir():
            raise UserError(f"LIBRISPEECH in db.sh: '{there}' does not exist, --download true fetches it")
        named = [f"{name}={SUMS[name]}" if name in SUMS else name for name in job.sets]
        kaldi_directories(job, there, named, complete=self.complete)
