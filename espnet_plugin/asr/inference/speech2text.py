"""Our beam search inside ESPnet's Speech2Text, for models that emit at most one symbol a frame."""

from collections.abc import Callable

import torch
from espnet2.asr.transducer.beam_search_transducer import Hypothesis

from espnet_plugin.asr.inference.search import check_one_symbol
from espnet_plugin.errors import UserError
from espnet_plugin.transducer.beam import beam_search


class OneSymbolSearch:
    """What Speech2Text calls in the place of ESPnet's BeamSearchTransducer, whose searches put several symbols on a frame.

    Args:
        decoder, joint_network, beam_size, token_list: as for ESPnet's.
        lm: one of ESPnet's language models, or None; lm_weight: of its log probabilities.
        transducer_conf: ``search_type`` and nothing else, since the rest are options of ESPnet's searches; nbest: hypotheses given.

    Raises:
        UserError: another option.
    """

    def __init__(
        self, decoder, joint_network, beam_size, lm, lm_weight, token_list, nbest: int | None = None, **transducer_conf
    ):
        check_one_symbol(transducer_conf)
        if lm is not None and getattr(lm, "batch_score", None) is None:
            raise UserError(f"lm: {type(lm).__name__} scores no batches, must be seq_rnn or transformer")
        from espnet_plugin.asr.inference.language_models import NeuralLM

        silent = tuple(index for index, token in enumerate(token_list) if token == "<unk>")
        models = [] if lm is None else [(NeuralLM(lm, sos=len(token_list) - 1), lm_weight)]
        self.parts = (decoder, joint_network, beam_size, decoder.blank_id, silent)
        self.models, self.nbest, self.blank_id = models, nbest, decoder.blank_id

    def __call__(self, encoder_out: torch.Tensor) -> list[Hypothesis]:
        """Args: encoder_out (T, D). Returns: hypotheses, best first, as ESPnet writes them: blank, then the symbols."""
        lengths = torch.tensor([len(encoder_out)], device=encoder_out.device)
        (found,) = beam_search(encoder_out[None], lengths, *self.parts, models=self.models)
        return [
            Hypothesis(score=one.score, yseq=[self.blank_id, *one.tokens], dec_state=None)
            for one in found[: self.nbest]
        ]


def chooser(espnets: type) -> Callable:
    """What builds the search that goes with a joiner: ours, or ESPnet's class."""

    def build(
        decoder, joint_network, beam_size, *args, multi_blank_durations=None, multi_blank_indices=None, **options
    ):
        if beam_size > 1 and getattr(joint_network, "one_symbol_a_frame", False):
            return OneSymbolSearch(decoder, joint_network, beam_size, *args, **options)
        blanks = dict(multi_blank_durations=multi_blank_durations or [], multi_blank_indices=multi_blank_indices or [])
        return espnets(decoder, joint_network, beam_size, *args, **blanks, **options)

    return build
