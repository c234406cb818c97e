"""From audio to words with a model, in batches."""

import argparse
import logging

import torch

from espnet_plugin.asr.data import AudioBatch
from espnet_plugin.asr.model import TODMModel
from espnet_plugin.encoder.mhssm import TimeReduction
from espnet_plugin.frontend.kaldi_fbank import FRAME_SHIFT, hertz
from espnet_plugin.transducer.greedy import greedy_search


def sampling_rate(args: argparse.Namespace) -> int:
    """Sampling rate (Hz) that a model was trained for."""
    return hertz((args.frontend_conf or {}).get("fs", 16000))


def pad_short(batch: AudioBatch, fs: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Lengthen utterances that are too short for time reduction with silence, so that each has an answer."""
    least = int((TimeReduction.receptive_field + 1) * FRAME_SHIFT * fs)
    lengths = batch.lengths.clamp(min=least)
    return torch.nn.functional.pad(batch.speech, (0, max(0, int(lengths.max()) - batch.speech.shape[1]))), lengths


@torch.no_grad()
def greedy(model: TODMModel, batch: AudioBatch, fs: int) -> dict[str, str]:
    """Greedy search with at most one symbol a frame, as sherpa-onnx does. Returns: utterance id -> words."""
    encoder_out, lengths = model.encode(*pad_short(batch, fs))
    found = greedy_search(encoder_out, lengths, model.decoder, model.joint_network, model.blank_id)
    return {key: " ".join(model.words(ids)) for key, ids in zip(batch.keys, found)}


class BeamSearch:
    """ESPnet's own Speech2Text on a model directory.

    Args:
        train_config, model_file, bpemodel: files.
        beam_size: hypotheses kept; transducer_conf: further options of ESPnet's BeamSearchTransducer.
    """

    def __init__(self, train_config, model_file, bpemodel, beam_size: int, transducer_conf: dict):
        from espnet2.bin.asr_inference import Speech2Text  # takes seconds to import

        logging.getLogger().setLevel(logging.WARNING)
        self.speech2text = Speech2Text(
            str(train_config), str(model_file), bpemodel=bpemodel, beam_size=beam_size, transducer_conf=transducer_conf
        )

    def __call__(self, batch: AudioBatch, fs: int) -> dict[str, str]:
        speech, lengths = pad_short(batch, fs)
        found = (self.speech2text(wave[:length])[0] for wave, length in zip(speech, lengths))
        return {key: text for key, (text, *_) in zip(batch.keys, found)}
