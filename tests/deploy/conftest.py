"""Small random models that say many different words."""

import argparse

import numpy as np
import pytest
import torch

from espnet_plugin.asr.training.task import TODMTask

LETTERS = [f"\u2581{letter}" for letter in "ABCDEFGHIJKLM"] + list("NOPQRSTUVWXYZ")
TOKENS = ["<blank>", "<unk>", *LETTERS, "<sos/eos>"]


def arguments(**changes) -> argparse.Namespace:
    conf = dict(token_list=TOKENS, token_type="bpe", bpemodel=None, input_size=None, frontend="kaldi_fbank")
    conf |= dict(frontend_conf={}, specaug=None, specaug_conf={}, normalize=None, normalize_conf={})
    conf |= dict(preencoder=None, postencoder=None, encoder="mhssm", ctc_conf={}, joint_net_conf=None, model="todm")
    conf |= dict(encoder_conf=dict(d_model=16, num_heads=4, num_modes=3, ffn_dims=[32, 8], dt_min=0.01, dt_max=0.8))
    conf |= dict(decoder="stateless", decoder_conf=dict(embed_dim=12), init=None, init_param=[])
    conf |= dict(model_conf=dict(joint_space_size=20, transducer_conf=dict(loss="full")))
    return argparse.Namespace(**conf | changes)


@pytest.fixture(scope="session")
def stats_file(tmp_path_factory):
    """Statistics like those of log-mel features of audio in [-1, 1]."""
    generator = np.random.default_rng(0)
    x = generator.normal(-9, 3, (1000, 80)) + np.linspace(-2, 2, 80)
    path = tmp_path_factory.mktemp("stats") / "feats_stats.npz"
    np.savez(path, count=len(x), sum=x.sum(0), sum_square=(x**2).sum(0))
    return path


@pytest.fixture(scope="session")
def build(stats_file):
    """Model and configuration. Logits are spread out: an untrained joiner would say the same symbol or none for ever."""

    def make(**changes):
        torch.manual_seed(0)
        args = arguments(**dict(normalize="global_mvn", normalize_conf=dict(stats_file=str(stats_file))) | changes)
        model = TODMTask.build_model(args).eval().requires_grad_(False)
        for linear, scale in (("lin_enc", 20), ("lin_dec", 3), ("lin_out", 8)):
            getattr(model.joint_network, linear).weight.mul_(scale)
        model.joint_network.lin_out.bias[0] = 0.0
        model.joint_network.lin_out.bias[1] = -1000.0  # the streaming client passes over <unk>
        return model, args

    return make
