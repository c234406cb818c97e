"""The options of a supernet in an icefall recipe: from the command line to values."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from espnet_plugin.errors import UserError
from espnet_plugin.supernet.dimensions import DIRECTIONS
from espnet_plugin.supernet.sandwich import SubnetSampling
from espnet_plugin.supernet.space import SearchSpace
from espnet_plugin.transducer.backend import BACKENDS
from espnet_plugin.transducer.distill import FORMS, DistillConf

CONV_GROUP = 4  # channels of a group of the convolution in icefall's prediction network


def numbers(kind: Callable[[str], Any]) -> Callable[[str], list]:
    """A reader of comma separated numbers, as icefall writes lists; an empty text is an empty list."""

    def read(text: str) -> list:
        return [kind(part) for part in text.split(",") if part.strip()]

    read.__name__ = f"list of {kind.__name__}s"
    return read


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the supernet's options; ``--encoder-dim``, ``--decoder-dim`` and ``--joiner-dim`` stay icefall's and hold the largest widths."""
    group = parser.add_argument_group("supernet")
    add = group.add_argument
    add("--subnet", default="max", help="size that decode and export use: max, min, or a text such as 0-3x512_5x256")
    add("--todm-layers", type=int, default=12, help="layers of the max net (default: 12)")
    add(
        "--todm-depths",
        type=numbers(int),
        default="",
        help="numbers of layers, as 6,8,12 (default: that of the max net)",
    )
    add(
        "--todm-ffn-dims",
        type=numbers(int),
        default="512,1024,2048",
        help="feed-forward widths (default: 512,1024,2048)",
    )
    add("--todm-num-heads", type=int, default=8, help="state space heads of the max net, even (default: 8)")
    add("--todm-heads", type=numbers(int), default="", help="numbers of heads a layer may have (default: all)")
    add("--todm-model-dims", type=numbers(int), default="", help="encoder widths (default: --encoder-dim alone)")
    add(
        "--todm-prediction-dims", type=numbers(int), default="", help="widths of the prediction network, multiples of 4"
    )
    add("--todm-joiner-dims", type=numbers(int), default="", help="widths of the joiner (default: --joiner-dim alone)")
    add(
        "--todm-directions",
        default="bidirectional",
        help="bidirectional, forward (streaming), or forward,bidirectional",
    )
    add("--todm-num-modes", type=int, default=16, help="modes of a head (default: 16)")
    add("--todm-expand", type=int, default=2, help="channels of all heads over the encoder's width (default: 2)")
    add("--todm-dropout", type=float, default=0.1, help="at full width; narrow nets have less (default: 0.1)")
    add("--todm-dynamics-lr-scale", type=float, default=1.0, help="rate of the heads' dynamics over the base rate")
    add("--todm-num-random", type=int, default=2, help="random nets a step beside max and min (default: 2)")
    add("--todm-seed", type=int, default=0, help="of the choice of subnets")
    add("--todm-student-share", type=float, default=1.0, help="share of a batch that nets after the max net see")
    add("--todm-others-weight", type=float, default=2.0, help="of all losses after the max net's; 0: each as that")
    add(
        "--todm-distill-weight",
        type=float,
        default=0.2,
        help="of the divergence from the max net; 0: none (default: 0.2)",
    )
    add(
        "--todm-distill-alpha",
        type=numbers(float),
        default="-1,1",
        help="one value, or two: the larger divergence counts",
    )
    add("--todm-distill-form", choices=FORMS, default=FORMS[0], help=f"(default: {FORMS[0]})")
    add("--todm-backend", choices=BACKENDS, default="auto", help="who runs the lattice (default: auto)")


@dataclass(frozen=True)
class Options:
    """What the model needs of the command line.

    Args:
        encoder: configuration of `MHSSMSupernetEncoder`.
        subnet: name or text form of the size that decodes.
        sampling, distill: see their classes.
        backend: see `TransducerConf`.
        dynamics_lr_scale: icefall's ``lr_scale`` of the dynamics of the state space heads.
    """

    encoder: dict
    subnet: str
    sampling: SubnetSampling
    distill: DistillConf
    backend: str
    dynamics_lr_scale: float


def names() -> list[str]:
    """What of icefall's ``params`` makes the model: attributes of a checkpoint, too."""
    parser = argparse.ArgumentParser(add_help=False)
    add_arguments(parser)
    return [*vars(parser.parse_args([])), "encoder_dim", "decoder_dim", "joiner_dim", "context_size"]


def width(params, name: str) -> int:
    """One of icefall's widths; the encoder's may be a list in zipformer, here it must be one number.

    Raises:
        UserError: it is not.
    """
    text = str(getattr(params, name))
    if not text.isdigit() or int(text) < 1:
        raise UserError(f"--{name.replace('_', '-')}: '{text}' must be one number for a supernet, such as 256")
    return int(text)


def read_options(params) -> Options:
    """Options from icefall's ``params``.

    Raises:
        UserError: naming the option and what is allowed.
    """
    if not hasattr(params, "todm_layers"):
        raise UserError(
            "params: has no supernet options, call espnet_plugin.icefall.add_arguments in add_model_arguments"
        )
    directions = params.todm_directions.split(",")
    if not set(directions) <= set(DIRECTIONS):
        raise UserError(f"--todm-directions: '{params.todm_directions}' must be of {', '.join(DIRECTIONS)}")
    if any(value % CONV_GROUP for value in params.todm_prediction_dims):
        raise UserError(f"--todm-prediction-dims: {params.todm_prediction_dims} must be multiples of {CONV_GROUP}")
    if not params.todm_dynamics_lr_scale > 0:
        raise UserError(f"--todm-dynamics-lr-scale: {params.todm_dynamics_lr_scale} must be above 0")
    space = {key: getattr(params, f"todm_{key}") for key in ("depths", "ffn_dims", "heads", "model_dims")}
    space |= {f"{part}_dims": getattr(params, f"todm_{part}_dims") for part in ("prediction", "joiner")}
    if len(directions) > 1:
        space["directions"] = directions
    encoder = dict(
        d_model=width(params, "encoder_dim"),
        num_heads=params.todm_num_heads,
        num_modes=params.todm_num_modes,
        num_layers=params.todm_layers,
        expand=params.todm_expand,
        bidirectional="bidirectional" in directions,
        dropout=params.todm_dropout,
        search_space={key: values for key, values in space.items() if values},
    )
    alpha = params.todm_distill_alpha
    return Options(
        encoder=encoder,
        subnet=params.subnet,
        sampling=SubnetSampling(
            num_random=params.todm_num_random,
            seed=params.todm_seed,
            student_share=params.todm_student_share,
            others_weight=params.todm_others_weight or None,
        ),
        distill=DistillConf(
            weight=params.todm_distill_weight,
            alpha=alpha[0] if len(alpha) == 1 else tuple(alpha),
            form=params.todm_distill_form,
        ),
        backend=params.todm_backend,
        dynamics_lr_scale=params.todm_dynamics_lr_scale,
    )


def whole_space(space: SearchSpace, params) -> SearchSpace:
    """An encoder's search space with the widths of prediction network and joiner, which are icefall's where the space names none.

    Raises:
        UserError: the largest is another than icefall's.
    """
    sizes = {"prediction": width(params, "decoder_dim"), "joiner": width(params, "joiner_dim")}
    for name, option in (("prediction", "--decoder-dim"), ("joiner", "--joiner-dim")):
        if space.varies(name) and space[name][-1] != sizes[name]:
            raise UserError(f"--todm-{name}-dims: the largest of {list(space[name])} must be {option}, {sizes[name]}")
    return space.completed(**sizes)
