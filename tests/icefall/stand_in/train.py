"""The places of icefall's train.py that docs/icefall.md changes, changed, and what its loop makes of the model's losses."""

import argparse

from decoder import Decoder
from joiner import Joiner

from espnet_plugin import icefall as todm
from espnet_plugin.icefall import AsrModel


def get_params(*given):
    parser = argparse.ArgumentParser()
    for name, default in (("encoder", "16"), ("decoder", 16), ("joiner", 16)):
        parser.add_argument(f"--{name}-dim", type=type(default), default=default)
    todm.add_arguments(parser)
    tiny = "--todm-layers 3 --todm-depths 1,2,3 --todm-ffn-dims 8,16 --todm-num-heads 4 --todm-num-modes 2 --todm-dropout 0"
    params = parser.parse_args([*tiny.split(), *given])
    params.feature_dim, params.vocab_size, params.blank_id, params.context_size = 80, 9, 0, 2
    params.batch_idx_train, params.warm_step, params.simple_loss_scale = 0, 10, 0.5
    params.prune_range, params.am_scale, params.lm_scale, params.subsampling_factor = 3, 0.0, 0.25, 4
    return params


def get_model(params):
    return AsrModel(
        encoder_embed=todm.get_encoder_embed(params),
        encoder=todm.get_encoder_model(params),
        decoder=Decoder(params.vocab_size, params.decoder_dim, params.blank_id, params.context_size),
        joiner=Joiner(int(params.encoder_dim), params.decoder_dim, params.joiner_dim, params.vocab_size),
        encoder_dim=int(params.encoder_dim),
        decoder_dim=params.decoder_dim,
        vocab_size=params.vocab_size,
    )


def compute_loss(params, model, x, x_lens, y):
    simple, pruned, *rest = model(
        x=x,
        x_lens=x_lens,
        y=y,
        prune_range=params.prune_range,
        am_scale=params.am_scale,
        lm_scale=params.lm_scale,
        use_cr_ctc=False,
        use_spec_aug=False,
        spec_augment=None,
        supervision_segments=None,
        time_warp_factor=80,
    )
    assert [loss.numel() for loss in rest] == [0, 0, 0]
    done = min(1.0, params.batch_idx_train / params.warm_step)
    return (1 - done * (1 - params.simple_loss_scale)) * simple + (0.1 + 0.9 * done) * pruned
