"""From audio to words with a model, in batches."""

from weakref import WeakKeyDictionary

import torch

from espnet_plugin.asr.inference.data import AudioBatch
from espnet_plugin.asr.inference.loading import TrainedModel
from espnet_plugin.asr.inference.search import SearchConf, search_of
from espnet_plugin.asr.inference.streaming import check_streaming
from espnet_plugin.asr.inference.words import Recognised, fewest_samples, frame_seconds, recognised
from espnet_plugin.asr.training.model import TODMModel
from espnet_plugin.encoder.interface import Encoder
from espnet_plugin.errors import UserError
from espnet_plugin.frontend.kaldi_fbank import FRAME_SHIFT
from espnet_plugin.transducer.greedy import greedy_search

least_samples: WeakKeyDictionary[TODMModel, int] = WeakKeyDictionary()  # that give an encoder frame, see `pad_short`


def shortest_audio(encoder: Encoder) -> float:
    """Audio that gives an encoder frame behind features of 10 ms, s."""
    return (encoder.shortest + 1) * FRAME_SHIFT


def pad_short(model: TODMModel, batch: AudioBatch, fs: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Lengthen utterances that are too short for a model with silence, so that each has an answer."""
    if model not in least_samples:
        least_samples[model] = fewest_samples(model, fs, model.encoder.shortest)
    lengths = batch.lengths.clamp(min=least_samples[model])
    return torch.nn.functional.pad(batch.speech, (0, max(0, int(lengths.max()) - batch.speech.shape[1]))), lengths


@torch.no_grad()
def greedy(model: TODMModel, batch: AudioBatch, fs: int) -> dict[str, str]:
    """Greedy search with at most one symbol a frame, as sherpa-onnx does. Returns: utterance id -> words."""
    encoder_out, lengths = model.encode(*pad_short(model, batch, fs))
    found = greedy_search(encoder_out, lengths, model.decoder, model.joint_network, model.blank_id, silent=model.silent)
    return {key: " ".join(model.words(ids)) for key, ids in zip(batch.keys, found)}


class Recogniser:
    """A model with a search, from audio to answers with words and times.

    Args:
        trained: see `loading.load_model`.
        conf: greedy search by default.

    Raises:
        UserError: see `search_of`.
    """

    def __init__(self, trained: TrainedModel, conf: SearchConf = SearchConf()):  # noqa: B008 (frozen)
        self.model, self.fs = trained.model, trained.fs
        self.seconds = frame_seconds(self.model, self.fs)
        self.conf, self.search = conf, search_of(trained, conf)

    @property
    def streams(self) -> bool:
        """Whether the model hears the past only and the search goes on from chunk to chunk, so that no window is needed."""
        if self.conf.beam_size > 1:
            return False
        try:
            check_streaming(self.model)
        except UserError:
            return False
        return True

    @torch.no_grad()
    def __call__(self, batch: AudioBatch) -> dict[str, list[Recognised]]:
        """Returns: utterance id -> answers, best first, at least one."""
        encoder_out, lengths = self.model.encode(*pad_short(self.model, batch, self.fs))
        return {
            key: [recognised(self.model, hypothesis, self.seconds) for hypothesis in found]
            for key, found in zip(batch.keys, self.search(encoder_out, lengths))
        }
