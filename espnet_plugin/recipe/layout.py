"""Where things are: the folders and files of an experiment (``--expdir``) and of its data (``--dumpdir``)."""

from dataclasses import dataclass
from pathlib import Path

from espnet_plugin.recipe.record import marker_of


@dataclass(frozen=True)
class Experiment:
    """An ``--expdir``. Args: root: the folder."""

    root: Path

    @property
    def supernet(self) -> Path:
        return self.root / "supernet"

    @property
    def config(self) -> Path:
        """What the supernet was trained with, as ESPnet has written it."""
        return self.supernet / "config.yaml"

    @property
    def averaged(self) -> Path:
        return self.supernet / "averaged.pth"

    @property
    def cost(self) -> Path:
        return self.supernet / "cost.json"

    @property
    def trained(self) -> Path:
        """Marker that training has ended well; the record of what it was made from."""
        return marker_of(self.supernet, "training")

    @property
    def sizes_json(self) -> Path:
        return self.root / "sizes.json"

    @property
    def search(self) -> Path:
        return self.root / "search.json"

    @property
    def sizes(self) -> Path:
        return self.root / "sizes"

    def size(self, name: str) -> Path:
        """Model directory of a size."""
        return self.sizes / name

    def decoded(self, size: str, test_set: str) -> Path:
        """Folder with ``text`` and ``latency.json``."""
        return self.size(size) / "decode" / test_set

    def score(self, size: str, test_set: str) -> Path:
        """Folder with ``score.json`` and the trn files."""
        return self.size(size) / "score" / test_set

    def facts(self, size: str) -> Path:
        return self.size(size) / "subnet.json"

    def device(self, size: str) -> Path:
        """What the exported size costs."""
        return self.size(size) / "device.json"

    @property
    def results(self) -> Path:
        return self.root / "RESULTS.md"

    @property
    def composed(self) -> Path:
        """The configuration of this run in one piece."""
        return self.root / ".config.yaml"

    @property
    def train_config(self) -> Path:
        """That of the model which is there."""
        return self.root / "train.yaml"

    @property
    def log(self) -> Path:
        return self.root / "log"

    @property
    def lock(self) -> Path:
        return self.root / ".run.lock"


@dataclass(frozen=True)
class Dump:
    """A ``--dumpdir``. Args: root: the folder."""

    root: Path

    @property
    def make_lock(self) -> Path:
        """Held by a run that makes something here."""
        return self.root / ".make.lock"

    @property
    def read_lock(self) -> Path:
        """Held by runs that read what is here, or by one that makes it anew."""
        return self.root / ".read.lock"

    @property
    def data(self) -> Path:
        """Kaldi directories as the corpus gives them."""
        return self.root / "data"

    def raw(self, name: str) -> Path:
        """A formatted set: audio, text, lengths."""
        return self.root / "raw" / name

    def cuts(self, name: str) -> Path:
        """lhotse's manifest of a formatted set."""
        return self.root / "cuts" / f"{name}.jsonl.gz"

    def features(self, name: str) -> Path:
        return self.root / "fbank" / name

    def tokens(self, kind: str) -> Path:
        """A token list and what belongs to it. Args: kind: as ``bpe_unigram100``."""
        return self.root / "token_list" / kind

    def stats(self, train_set: str, kind: str, number: int) -> Path:
        """Args: kind: of the tokens."""
        return self.root / "stats" / f"{train_set}-{kind.replace('bpe_unigram', 'bpe')}-{number}"
