"""From audio to words with a model, in batches."""

import inspect
import logging

import torch

from espnet_plugin.asr.inference.data import AudioBatch
from espnet_plugin.asr.inference.loading import TrainedModel
from espnet_plugin.asr.inference.streaming import check_streaming
from espnet_plugin.asr.inference.words import Recognised, frame_seconds, recognised
from espnet_plugin.asr.training.model import TODMModel
from espnet_plugin.common.conf import need_kind
from espnet_plugin.encoder.interface import Encoder
from espnet_plugin.errors import UserError
from espnet_plugin.frontend.kaldi_fbank import FRAME_SHIFT
from espnet_plugin.transducer.greedy import greedy_hypotheses, greedy_search
from espnet_plugin.transducer.hypothesis import Hypothesis


def shortest_audio(encoder: Encoder) -> float:
    """Audio that gives an encoder frame, s."""
    return (encoder.shortest + 1) * FRAME_SHIFT


def pad_short(encoder: Encoder, batch: AudioBatch, fs: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Lengthen utterances that are too short for an encoder with silence, so that each has an answer."""
    lengths = batch.lengths.clamp(min=int(shortest_audio(encoder) * fs))
    return torch.nn.functional.pad(batch.speech, (0, max(0, int(lengths.max()) - batch.speech.shape[1]))), lengths


@torch.no_grad()
def greedy(model: TODMModel, batch: AudioBatch, fs: int) -> dict[str, str]:
    """Greedy search with at most one symbol a frame, as sherpa-onnx does. Returns: utterance id -> words."""
    encoder_out, lengths = model.encode(*pad_short(model.encoder, batch, fs))
    found = greedy_search(encoder_out, lengths, model.decoder, model.joint_network, model.blank_id)
    return {key: " ".join(model.words(ids)) for key, ids in zip(batch.keys, found)}


class Recogniser:
    """A model with a search, from audio to answers with words and times.

    Args:
        trained: see `loading.load_model`.
    """

    def __init__(self, trained: TrainedModel):
        self.model, self.fs = trained.model, trained.fs
        self.seconds = frame_seconds(self.model, self.fs)

    @property
    def times(self) -> bool:
        """Whether answers have times, so that those to windows can be joined."""
        return True

    @property
    def streams(self) -> bool:
        """Whether the model hears the past only and the search goes on from chunk to chunk, so that no window is needed."""
        try:
            check_streaming(self.model)
        except UserError:
            return False
        return True

    @torch.no_grad()
    def __call__(self, batch: AudioBatch) -> dict[str, list[Recognised]]:
        """Returns: utterance id -> answers, best first, at least one."""
        encoder_out, lengths = self.model.encode(*pad_short(self.model.encoder, batch, self.fs))
        return {
            key: [recognised(self.model, hypothesis, self.seconds) for hypothesis in found]
            for key, found in zip(batch.keys, self.search(encoder_out, lengths))
        }

    def search(self, encoder_out: torch.Tensor, lengths: torch.Tensor) -> list[list[Hypothesis]]:
        """Args: encoder_out (B, T, D); lengths (B,) frames. Returns: hypotheses of each, best first."""
        model = self.model
        found = greedy_hypotheses(encoder_out, lengths, model.decoder, model.joint_network, model.blank_id)
        return [[hypothesis] for hypothesis in found]


SEARCHES = ("default", "tsd", "alsd", "nsc", "maes")
GIVEN = (
    "lm_weight",
    "multi_blank_durations",
    "multi_blank_indices",
)  # by Speech2Text itself, beside what has no default


def check_beam(conf: dict) -> None:
    """Refuse options of ESPnet's BeamSearchTransducer that it does not take; their types are those of its defaults.

    Raises:
        UserError: naming the key and what is allowed.
    """
    if not conf:
        return
    from espnet2.asr.transducer.beam_search_transducer import BeamSearchTransducer  # takes seconds to import

    parameters = inspect.signature(BeamSearchTransducer).parameters.values()
    defaults = {p.name: p.default for p in parameters if p.default not in (p.empty, None) and p.name not in GIVEN}
    for key, value in conf.items():
        if key not in defaults:
            raise UserError(f"transducer_conf.{key}: unknown key, allowed are {', '.join(defaults)}")
        if key == "search_type" and value not in SEARCHES:
            raise UserError(f"transducer_conf.search_type: {value!r} is not one of {list(SEARCHES)}")
        kind = type(defaults[key])
        need_kind(f"transducer_conf.{key}", value, (kind,))
        least = key in ("max_sym_exp", "u_max", "nstep", "nbest")
        if kind in (int, float) and value < least:
            raise UserError(f"transducer_conf.{key}: {value} must be at least {int(least)}")


class BeamSearch(Recogniser):
    """ESPnet's own Speech2Text on a model directory; its answers have no times.

    Args:
        trained: the model.
        train_config, model_file: files.
        beam_size: hypotheses kept; transducer_conf: further options of ESPnet's BeamSearchTransducer.

    Raises:
        UserError: options that do not go with the model's vocabulary.
    """

    times = streams = False

    def __init__(self, trained: TrainedModel, train_config, model_file, beam_size: int, transducer_conf: dict):
        from espnet2.bin.asr_inference import Speech2Text  # takes seconds to import

        super().__init__(trained)
        logging.getLogger().setLevel(logging.WARNING)
        options = dict(bpemodel=trained.conf.bpemodel, beam_size=beam_size, transducer_conf=transducer_conf)
        try:
            self.speech2text = Speech2Text(str(train_config), str(model_file), **options)
        except AssertionError as error:
            raise UserError(f"beam_size: {beam_size} with transducer_conf {transducer_conf}: {error}") from error

    def __call__(self, batch: AudioBatch) -> dict[str, list[Recognised]]:
        speech, lengths = pad_short(self.model.encoder, batch, self.fs)
        found = (self.speech2text(wave[:length])[0] for wave, length in zip(speech, lengths))
        return {
            key: [Recognised(text, (), Hypothesis(tuple(ids), (), (), float(hypothesis.score)))]
            for key, (text, _, ids, hypothesis) in zip(batch.keys, found)
        }
