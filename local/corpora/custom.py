"""The user's own data: Kaldi directories."""

from dataclasses import dataclass
from pathlib import Path

from espnet_plugin.errors import UserError
from espnet_plugin.recipe import corpus
from espnet_plugin.recipe.options import option


@dataclass(frozen=True)
class Corpus(corpus.Corpus):
    """Kaldi directories DIR/train, DIR/valid, DIR/test, each with wav.scp and text"""

    data_dir: str = option("", "DIR", "folder that holds a Kaldi directory for each set")

    def check(self) -> None:
        if not self.data_dir:
            raise UserError("--corpus custom needs --data_dir, a folder that holds a Kaldi directory for each set")

    def inputs(self) -> dict:
        return {"data_dir": self.data_dir}

    def source(self, data: Path) -> Path:
        return Path(self.data_dir)

    def prepare(self, job: corpus.Preparation) -> None:
        for name in job.sets:
            for file in ("wav.scp", "text"):
                path = Path(self.data_dir) / name / file
                if not path.is_file():
                    raise UserError(f"--data_dir: '{path}' does not exist")
