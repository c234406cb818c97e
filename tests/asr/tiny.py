"""A model of a few hundred weights, batches of noise for it, and the training loop on them."""

import argparse
import copy
from pathlib import Path

import numpy as np
import torch
from espnet2.train.distributed_utils import DistributedOption
from espnet2.train.reporter import SubReporter

from espnet_plugin.asr.training.cost import CostRecord
from espnet_plugin.asr.training.task import TODMTask
from espnet_plugin.asr.training.trainer import TODMTrainer, TODMTrainerOptions

TOKENS = ["<blank>", "<unk>", "\u2581A", "B", "C", "\u2581D", "<sos/eos>"]
CONF = dict(
    token_list=TOKENS,
    token_type="bpe",
    bpemodel=None,
    input_size=None,
    frontend="kaldi_fbank",
    frontend_conf={},
    specaug=None,
    specaug_conf={},
    normalize=None,
    normalize_conf={},
    preencoder=None,
    postencoder=None,
    encoder="mhssm_supernet",
    encoder_conf=dict(
        d_model=8,
        num_heads=4,
        num_modes=2,
        num_layers=3,
        dropout=0.0,
        search_space=dict(depths=[1, 2, 3], ffn_dims=[4, 8, 16]),
    ),
    decoder="stateless",
    decoder_conf=dict(embed_dim=8),
    ctc_conf={},
    joint_net_conf=None,
    model="todm",
    model_conf=dict(joint_space_size=8, transducer_conf=dict(prune_range=3, warmup_steps=4)),
    init=None,
    init_param=[],
)
CONFORMER = dict(
    encoder="conformer_supernet",
    encoder_conf=dict(
        output_size=8,
        attention_heads=2,
        num_blocks=2,
        linear_units=8,
        dropout_rate=0.0,
        positional_dropout_rate=0.0,
        cnn_module_kernel=3,
        search_space=dict(depths=[1, 2], ffn_dims=[4, 8]),
    ),
)


def arguments(**changes) -> argparse.Namespace:
    return argparse.Namespace(**copy.deepcopy(CONF | changes))


def model_conf(**changes) -> dict:
    return {**copy.deepcopy(CONF["model_conf"]), **changes}


def build(seed=0, **changes):
    torch.manual_seed(seed)
    return TODMTask.build_model(arguments(**changes))


def global_mvn(stats: Path, count: int, sum: float, sum_square: float) -> dict:
    """Write statistics of 80 features alike; what a configuration says to normalise with them."""
    np.savez(stats, count=count, sum=np.full(80, sum), sum_square=np.full(80, sum_square))
    return dict(normalize="global_mvn", normalize_conf=dict(stats_file=str(stats)))


def batch(seed=0):
    generator = torch.Generator().manual_seed(seed)
    speech = 0.1 * torch.randn(3, 8000, generator=generator)
    text = torch.tensor([[2, 3, 4], [5, 3, -1], [2, -1, -1]])
    return speech, torch.tensor([8000, 6000, 3000]), text, torch.tensor([3, 2, 1])


def options(**changes) -> TODMTrainerOptions:
    """Options of the training loop as ESPnet's defaults have them."""
    defaults = vars(TODMTask.get_parser().parse_args(["--output_dir", "unused"])) | {"distributed": False, "ngpu": 0}
    built = TODMTrainer.build_options(argparse.Namespace(**defaults | changes))
    built.cost = CostRecord(None, workers=1, gpu=False, resume=False)
    return built


def named(values: tuple, name: str = "u") -> tuple[list[str], dict[str, torch.Tensor]]:
    """A batch as ESPnet's iterators give it: ids and arguments."""
    keys = ("speech", "speech_lengths", "text", "text_lengths")
    return [f"{name}{i}" for i in range(len(values[0]))], dict(zip(keys, values))


def train_epoch(model, batches, optimizer=None, scheduler=None, epoch=1, kept=None, **changes) -> SubReporter:
    """One epoch of the training loop on a list of `named` batches, with `options` of the changes or, for several epochs, those kept."""
    reporter = SubReporter("train", epoch, 0)
    optimizer = optimizer or torch.optim.SGD(model.parameters(), lr=0.1)
    TODMTrainer.train_one_epoch(
        model=model,
        iterator=batches,
        optimizers=[optimizer],
        schedulers=[scheduler],
        scaler=None,
        reporter=reporter,
        summary_writer=None,
        options=kept or options(**{"grad_clip": 1e9} | changes),
        distributed_option=DistributedOption(),
    )
    return reporter
