"""The corpus of the demonstration: synthetic speech, made here."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from espnet_plugin.common.files import remove
from espnet_plugin.recipe import corpus, mini
from espnet_plugin.recipe.librispeech import kaldi_directories
from espnet_plugin.recipe.locks import alone_in
from espnet_plugin.recipe.record import sum_of

PLACE = Path("downloads/mini")


@dataclass(frozen=True)
class Corpus(corpus.Corpus):
    """commands spoken by espeak-ng, in LibriSpeech's layout, made here"""

    defaults: ClassVar[dict] = {
        "nbpe": 32,
        "average": 4,  # a third of the epochs; docs/results.md
        "train_set": "train-clean-mini",
        "valid_set": "dev-mini",
        "test_sets": ("test-clean", "test-other"),
    }

    def sounds(self) -> dict:
        return {"programs of the mini corpus": sum_of(*sorted(Path(mini.__file__).parent.glob("*.py")))}

    def prepare(self, job: corpus.Preparation) -> None:
        done, made_by = PLACE / ".done", next(iter(self.sounds().values()))
        with alone_in(PLACE.parent):
            if job.redo or not done.is_file() or done.read_text().strip() != made_by:
                from espnet_plugin.recipe.mini import corpus as maker

                remove(PLACE)
                maker.main(["--out", str(PLACE), "--nj", str(job.nj)])
                done.write_text(f"{made_by}\n")
        kaldi_directories(job, PLACE / "LibriSpeech", list(job.sets))
