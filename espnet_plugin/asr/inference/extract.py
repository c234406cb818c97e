"""Cut one subnet out of a supernet as a stand-alone ESPnet model."""

import argparse
import copy
import shutil
from collections.abc import Iterable
from pathlib import Path

import torch
import yaml

from espnet_plugin.asr.build import build_model
from espnet_plugin.asr.inference.loading import TrainedModel, WithoutInit
from espnet_plugin.asr.model_dir import beside
from espnet_plugin.asr.training.model import TODMModel
from espnet_plugin.common.files import check_place, write_json, write_whole
from espnet_plugin.errors import UserError
from espnet_plugin.supernet.cost import Cost
from espnet_plugin.supernet.slices import leading
from espnet_plugin.supernet.space import SearchSpace
from espnet_plugin.supernet.subnet import Subnet
from espnet_plugin.transducer.cost import joiner_cost, recurrent_cost, stateless_cost
from espnet_plugin.transducer.elastic import ElasticJointNetwork, ElasticStatelessDecoder
from espnet_plugin.transducer.prediction import StatelessDecoder

MADE_OF = ("config.yaml", "model.pth", "subnet.json")  # of a size, never of a training directory
TRAINING_ONLY = ("criterion.",)  # projections of the simple loss: no use after training


def space_of(model: TODMModel, direction: str | None = None) -> SearchSpace:
    """Search space of a supernet, or its part of one direction.

    Raises:
        UserError: the model has one fixed size; or see `SearchSpace.only`, but a space that has no other direction is its own part.
    """
    space = model.search_space
    if space is None:
        raise UserError("this model has one fixed size, so there is no subnet to choose in it")
    if direction is None or ("direction" in space and space["direction"] == (direction,)):
        return space
    return space.only(direction)


def cost(model: TODMModel, subnet: Subnet) -> Cost:
    """Of the stand-alone model of a subnet, without building it; see the encoder for what is counted."""
    counted = ("encoder.", "decoder.", "joint_network.", *TRAINING_ONLY)
    rest = sum(p.numel() for name, p in model.named_parameters() if not name.startswith(counted))
    decoder, joiner, rate = model.decoder, model.joint_network, model.encoder.frame_rate
    if isinstance(decoder, StatelessDecoder):
        prediction = stateless_cost(
            model.vocab_size, subnet["prediction"], decoder.context_size, rate, decoder.conv.weight.shape[1]
        )
    else:
        prediction = recurrent_cost(decoder, rate)
    widths = (subnet["d_model"], subnet["prediction"], subnet["joiner"])
    joined = joiner_cost(model.vocab_size, *widths, joiner.lin_dec.bias is not None, rate)
    return model.encoder.cost(subnet) + prediction + joined + Cost(rest, 0)


def num_parameters(model: TODMModel, subnet: Subnet) -> int:
    """Parameters of the stand-alone model of a subnet, without building it."""
    return cost(model, subnet).params


def narrow(conf: argparse.Namespace, model: TODMModel, subnet: Subnet) -> None:
    """Give a supernet's configuration a subnet's widths of prediction network and joiner."""
    if isinstance(model.joint_network, ElasticJointNetwork):
        conf.model_conf = {**conf.model_conf, "joint_space_size": subnet["joiner"]}
    if isinstance(model.decoder, ElasticStatelessDecoder):
        conf.decoder_conf = {**conf.decoder_conf, "embed_dim": subnet["prediction"]}


def extracted_state(model: TODMModel, subnet: Subnet, alone: TODMModel) -> dict[str, torch.Tensor]:
    """Weights of a supernet's subnet, by the names and in the shapes of a model of that size alone; tensors are copies."""
    whole = model.state_dict()
    state = {
        name: leading(whole[name], value.shape)
        for name, value in alone.state_dict().items()
        if not name.startswith("encoder.")
    }
    return state | {f"encoder.{name}": value for name, value in model.encoder.extracted_state(subnet).items()}


def extract(trained: TrainedModel, subnet: Subnet) -> TrainedModel:
    """Stand-alone model of a supernet's subnet, made of ordinary layers.

    The loss is set to ``full``, which needs no weights of its own, so what is left are the weights that decode.

    Raises:
        UserError: the subnet is not in the search space.
    """
    model = trained.model
    space_of(model).check(subnet)
    args = copy.deepcopy(trained.conf)
    args.encoder, args.encoder_conf = model.encoder.plain_class.name, model.encoder.extracted_conf(subnet)
    transducer = {"loss": "full", "rnnt_type": model.criterion.conf.rnnt_type}  # the lattice that it was trained on
    args.model_conf = {**args.model_conf, "transducer_conf": transducer, "sampling_conf": {}, "distill_conf": {}}
    narrow(args, model, subnet)
    if isinstance(model.decoder, ElasticStatelessDecoder):
        args.decoder = "stateless"
    args.init_param, args.specaug, args.specaug_conf = [], None, {}
    with WithoutInit():
        alone = build_model(args)
    alone.load_state_dict(extracted_state(model, subnet, alone), assign=True)
    return TrainedModel(alone.eval(), args)


def write_model_dir(trained: TrainedModel, subnet: Subnet, out: Path, inputs: Iterable[Path] = ()) -> dict:
    """Write the model directory of a subnet: config.yaml, model.pth, subnet.json, statistics and sentencepiece model.

    Paths in config.yaml are absolute, for ESPnet's own programs; ours find the files beside it wherever it is moved.

    Args:
        inputs: files of the supernet, which `out` must not hold.

    Returns:
        the content of subnet.json: subnet (text form), params, share of the max net's parameters, multiply-adds for a second of audio.

    Raises:
        UserError: the subnet is not in the search space, or `out` is something else than a size (see `check_place`).
    """
    model = trained.model
    alone, args = extract(trained, subnet)
    out = check_place(Path(out), MADE_OF, inputs)
    size, largest = cost(model, subnet), cost(model, space_of(model).max)
    share = round(size.params / largest.params, 4)
    facts = {"subnet": str(subnet), "params": size.params, "share": share, "macs_per_second": size.macs}

    def write(folder: Path) -> None:
        folder.mkdir()
        for conf, key, name in beside(vars(args)):
            shutil.copy(conf[key], folder / name)
            conf[key] = str(out / name)
        torch.save(alone.state_dict(), folder / "model.pth")
        (folder / "config.yaml").write_text(yaml.safe_dump(vars(args), sort_keys=False), encoding="utf-8")
        write_json(folder / "subnet.json", facts, indent=None)

    write_whole(out, write, MADE_OF, inputs)
    return facts
