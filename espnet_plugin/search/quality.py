"""How good subnets are on a development set: a cheap loss on a few utterances, and the error rate on all.

Shapes: B batch, T encoder frames, U symbols.
"""

import math
import sys
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from espnet_plugin.asr.inference.data import batches
from espnet_plugin.asr.inference.extract import space_of
from espnet_plugin.asr.inference.heldout import symbol_ids
from espnet_plugin.asr.inference.loading import TrainedModel
from espnet_plugin.asr.inference.recognise import pad_short
from espnet_plugin.audio.utterances import whole_recordings
from espnet_plugin.common.tables import read_transcripts
from espnet_plugin.common.text import normalised
from espnet_plugin.common.word_errors import count, units
from espnet_plugin.encoder.interface import Stem
from espnet_plugin.errors import UserError
from espnet_plugin.supernet.subnet import Subnet
from espnet_plugin.transducer.elastic import at_subnet
from espnet_plugin.transducer.greedy import greedy_search


@dataclass(frozen=True)
class ProxyBatch:
    """Utterances of the cheap loss.

    Args:
        stem: of the encoder.
        labels: (B, U); lengths: (B,) symbols.
        ranges: (B, T, R) prune ranges of the max net, None with the full loss.
    """

    stem: Stem
    labels: torch.Tensor
    lengths: torch.Tensor
    ranges: torch.Tensor | None


MOST_LOST = (
    0.1  # share of utterances without transcript or audio that is told; beyond it the tables do not belong together
)
MOST_UNKNOWN = 0.5  # share of transcripts with letters that the model does not know, likewise


def left_out(told: str, lost: Sequence[str], of: int, most: float) -> None:
    """Tell what cannot be used of a development set.

    Raises:
        UserError: it is more than a share of the whole.
    """
    if lost:
        said = f"{len(lost)} of {of} {told}, as '{min(lost)}'"
        if len(lost) > most * of:
            raise UserError(f"--data: {said}")
        print(f"note: {said}", file=sys.stderr)


def check_pairs(directory: Path, wavs: Mapping[str, str], texts: Mapping[str, str]) -> None:
    """Whether audio and transcripts belong together. Raises: see `left_out`."""
    for told, lost, of in (
        (f"utterances of '{directory}/wav.scp' have no transcript in text", wavs.keys() - texts.keys(), wavs),
        (f"transcripts of '{directory}/text' have no audio in wav.scp", texts.keys() - wavs.keys(), texts),
    ):
        left_out(told, sorted(lost), len(of), MOST_LOST)


class DevelopmentSet:
    """Loss and error rate of subnets; what does not depend on the subnet is computed once.

    Args:
        trained: supernet.
        directories: Kaldi directories with wav.scp and text.
        proxy_share: audio of the utterances of the cheap loss over that of all, see `proxy_batches`.
        metric: error rate of words (``wer``) or characters (``cer``).

    Raises:
        UserError: many utterances without a transcript or audio, many transcripts with letters that the model does not know, no word in
            any, or no utterance that the cheap loss can use.
    """

    @torch.no_grad()
    def __init__(self, trained: TrainedModel, directories: list[Path], proxy_share: float = 0.08, metric: str = "wer"):
        self.trained, self.model, self.fs, self.metric = trained, trained.model, trained.fs, metric
        texts: dict[str, str] = {}
        self.wavs: dict[str, str] = {}
        for directory in directories:
            text = normalised(read_transcripts(directory / "text"), vars(trained.conf), directory.name)
            texts |= {f"{directory}:{key}": words for key, words in text.items()}
            wavs = whole_recordings(directory)
            check_pairs(directory, wavs, text)
            self.wavs |= {f"{directory}:{key}": path for key, path in wavs.items() if key in text}
        self.texts = {key: texts[key] for key in self.wavs}
        self.references = {key: units(words, metric) for key, words in self.texts.items()}
        given = ", ".join(map(str, directories))
        if self.references and not any(self.references.values()):
            raise UserError(f"--data: {given} has no transcript with a word")
        self.stems: list[tuple[tuple[str, ...], Stem]] = []
        seconds: dict[str, float] = {}
        self.heard: dict[str, int] = {}  # checksum of the audio
        for batch in batches(self.wavs, self.fs):
            self.stems.append((batch.keys, self.stem(batch)))
            seconds |= zip(batch.keys, (batch.lengths / self.fs).tolist())
            waves = zip(batch.speech, batch.lengths)
            self.heard |= zip(batch.keys, (zlib.crc32(wave[:length].numpy().tobytes()) for wave, length in waves))
        if not self.stems:
            raise UserError(f"--data: {given} has no utterance with a transcript")
        self.proxy_seconds = proxy_share * sum(seconds.values())
        self.proxy_keys, self.proxy = self.proxy_batches(seconds)
        if not self.proxy:
            raise UserError(
                f"--data: {given} has no utterance with a finite loss, each has more symbols than encoder frames or the model is broken"
            )

    def stem(self, batch) -> Stem:
        return self.model.encoder.stem(*self.model.features(*pad_short(self.model, batch, self.fs)))

    def key(self, measure: str) -> str:
        """What a value of a measure depends on, as a checksum: weights, transcripts, audio, utterances of the cheap loss."""
        total = 0
        for name, value in sorted(self.model.state_dict().items()):
            total = zlib.crc32(value.cpu().contiguous().numpy().tobytes(), zlib.crc32(name.encode(), total))
        about = [sorted(self.texts.items()), sorted(self.heard.items()), [sorted(keys) for keys, _ in self.stems]]
        about += [self.proxy_keys] if measure == "loss" else []
        about += [measure] if measure == "cer" else []
        return f"{zlib.crc32(repr(about).encode(), total):08x}"

    def symbol_ids(self) -> dict[str, torch.Tensor]:
        """Utterance -> (U,) symbols, of those with a transcript."""
        return symbol_ids(self.trained, self.texts)

    def with_labels(self, stem: Stem, keys: Sequence[str], ids: dict[str, torch.Tensor]) -> ProxyBatch:
        """Utterances with their symbols and the max net's prune ranges."""
        labels = [ids[key] for key in keys]
        lengths = torch.tensor([len(label) for label in labels])
        part = ProxyBatch(stem, torch.nn.utils.rnn.pad_sequence(labels, batch_first=True), lengths, None)
        return replace(part, ranges=self.lattice(part, space_of(self.model).max).ranges)

    def hardness(self, seconds: dict[str, float], ids: dict[str, torch.Tensor]) -> dict[str, float]:
        """Utterance -> the min net's loss for a second of audio, of those that the loss has a path for."""
        found: dict[str, float] = {}
        for there, stem in self.stems:
            rows = [row for row, key in enumerate(there) if key in ids]
            if rows:
                keys = [there[row] for row in rows]
                part = self.with_labels(stem.select(rows), keys, ids)
                cost, fits = self.costs(part, space_of(self.model).min)
                found |= {key: float(c) / seconds[key] for key, c, fit in zip(keys, cost, fits) if fit}
        return found

    def proxy_batches(self, seconds: dict[str, float]) -> tuple[list[str], list[ProxyBatch]]:
        """The utterances that the min net finds hardest, up to the share, at least one.

        On easy ones all subnets do alike, so that their loss tells little of which one errs less.
        """
        ids = self.symbol_ids()
        unknown = [
            key for key, symbols in ids.items() if bool(torch.isin(symbols, torch.tensor(self.model.silent)).any())
        ]
        left_out("transcripts have letters that the model does not know", unknown, len(ids), MOST_UNKNOWN)
        hardness = self.hardness(seconds, ids)
        drawn, total = {}, 0.0
        for key in sorted(hardness, key=lambda key: (-hardness[key], key)):
            if not total or total + seconds[key] <= self.proxy_seconds:
                drawn[key] = self.wavs[key]
                total += seconds[key]
        parts = [self.with_labels(self.stem(batch), batch.keys, ids) for batch in batches(drawn, self.fs)]
        return sorted(drawn), parts

    def lattice(self, part: ProxyBatch, subnet: Subnet):
        model = self.model
        decoder, joiner = at_subnet(model.decoder, model.joint_network, subnet)
        targets = model.criterion.targets(part.labels, part.lengths, decoder, joiner)
        return model.criterion(model.encoder.run(part.stem, subnet), part.stem.lengths, targets, joiner, part.ranges)

    def costs(self, part: ProxyBatch, subnet: Subnet) -> tuple[torch.Tensor, torch.Tensor]:
        """Loss of each utterance (nats), and whether it has a path: (B,), (B,)."""
        cost = self.lattice(part, subnet).cost
        return cost, part.stem.lengths >= part.lengths if self.model.criterion.conf.modified else cost.isfinite()

    @torch.no_grad()
    def loss(self, subnet: Subnet) -> float:
        """Transducer loss on the chosen utterances, nats a symbol, on the cells that the max net's ranges allow.

        Utterances that the loss has no path for (``rnnt_type: modified`` with more symbols than frames) are left out.
        Infinite where a loss is no number.
        """
        total, symbols, conf = 0.0, 0.0, self.model.criterion.conf
        for part in self.proxy:
            cost, fits = self.costs(part, subnet)
            if not bool(cost[fits].isfinite().all()) or (not conf.modified and not bool(fits.all())):
                return math.inf  # all have a path by the ranges of the max net, see `hardness`
            total += float(cost[fits].sum())
            symbols += float(part.lengths[fits].sum())
        return total / max(symbols, 1.0)

    @torch.no_grad()
    def error_rate(self, subnet: Subnet) -> float:
        """Greedy error rate on all utterances, %."""
        model, pairs = self.model, []
        for keys, stem in self.stems:
            encoder_out = model.encoder.run(stem, subnet)
            decoder, joiner = at_subnet(model.decoder, model.joint_network, subnet)
            found = greedy_search(encoder_out, stem.lengths, decoder, joiner, model.blank_id, silent=model.silent)
            said = (units(" ".join(model.words(ids)), self.metric) for ids in found)
            pairs += [(self.references[key], words) for key, words in zip(keys, said)]
        return count(pairs).rate

    def measure(self, name: str, subnet: Subnet) -> float:
        """The cheap loss (``loss``), or the error rate for any other name."""
        return self.loss(subnet) if name == "loss" else self.error_rate(subnet)
