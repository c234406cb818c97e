"""The transducer loss on held-out speech: what tells systems apart whose word error rates are too close.

It is computed on the full lattice, whatever a model was trained with, so that systems with other prune ranges or weights can be compared.
"""

from dataclasses import replace

import torch
from espnet2.text.token_id_converter import TokenIDConverter

from espnet_plugin.asr.inference.data import AudioBatch
from espnet_plugin.asr.inference.loading import TrainedModel
from espnet_plugin.asr.inference.recognise import pad_short
from espnet_plugin.supernet.subnet import Subnet
from espnet_plugin.transducer.elastic import at_subnet
from espnet_plugin.transducer.loss import TransducerCriterion

LATTICE_MB = 256  # logits that exist at once


def symbol_ids(trained: TrainedModel, texts: dict[str, str]) -> dict[str, torch.Tensor]:
    """Utterance -> (U,) symbols of its transcript; utterances with an empty transcript are left out."""
    tokenizer = trained.tokenizer
    converter = TokenIDConverter(trained.model.token_list)
    ids = {key: converter.tokens2ids(tokenizer.text2tokens(words)) for key, words in texts.items() if words}
    return {key: torch.tensor(symbols) for key, symbols in ids.items()}


class HeldOutLoss:
    """Negative log-likelihood of transcripts, summed over all alignments of the full lattice.

    The lattice is the one that the model was trained on, regular or modified (`TransducerConf.rnnt_type`). What only training has
    (`fast_emit`, `delay_penalty`) is left out.

    Args:
        trained: a supernet or a model of one size.
    """

    def __init__(self, trained: TrainedModel):
        self.model, self.fs = trained.model, trained.fs
        model = self.model
        conf = replace(model.criterion.conf, loss="full", fast_emit=0.0, delay_penalty=0.0, max_lattice_mb=LATTICE_MB)
        widths = model.encoder.output_size(), model.decoder.dunits
        self.criterion = TransducerCriterion(conf, *widths, model.vocab_size, model.blank_id)

    @torch.no_grad()
    def __call__(
        self, batch: AudioBatch, ids: dict[str, torch.Tensor], subnet: Subnet | None = None
    ) -> dict[str, float]:
        """Loss of each utterance.

        Args:
            batch: audio.
            ids: symbols of each utterance; see `symbol_ids`.
            subnet: of a supernet; None for the max net, or for a model of one size.

        Returns:
            utterance -> nats; without utterances that have no symbols, or no path because they have more symbols than encoder frames
            (``rnnt_type: modified``).
        """
        model = self.model
        rows = [row for row, key in enumerate(batch.keys) if key in ids]
        if not rows:
            return {}
        encoder_out, frames = (x[rows] for x in model.encode(*pad_short(model, batch, self.fs), subnet))
        keys = [batch.keys[row] for row in rows]
        labels = torch.nn.utils.rnn.pad_sequence([ids[key] for key in keys], batch_first=True)
        lengths = torch.tensor([len(ids[key]) for key in keys])
        decoder, joiner = at_subnet(model.decoder, model.joint_network, subnet)
        targets = self.criterion.targets(labels, lengths, decoder, joiner)
        costs = self.criterion(encoder_out, frames, targets, joiner).cost
        fits = frames >= lengths if self.criterion.conf.modified else torch.ones_like(frames, dtype=torch.bool)
        return {key: float(cost) for key, cost, fit in zip(keys, costs, fits) if fit}
