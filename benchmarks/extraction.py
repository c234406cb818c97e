"""Extraction from a supernet of about 100 M parameters: its time, its exactness, and what running a subnet inside the supernet costs.

    python benchmarks/extraction.py [--subnets 2000] [--rounds 15] [--dtype float32 float64] [--threads 1] [--clock cpu]

Exactness: encoder output and joiner logits of random subnets, on the stem of all nets of a step, against the extracted models, on the same
short audio. Time: subnet and extracted model take turns; medians are reported. The last line is one JSON object.
"""

import argparse
import copy
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
import yaml
from tqdm import tqdm

from espnet_plugin.asr.inference.extract import cost, extract, write_model_dir
from espnet_plugin.asr.inference.loading import TrainedModel, load_model
from espnet_plugin.asr.training.task import TODMTask
from espnet_plugin.transducer.elastic import at_subnet

VOCABULARY = 500
FRAMES = 35  # input frames that are compared, 8 encoder frames
SPACE = dict(
    depths=[8, 12, 16],
    ffn_dims=[512, 1024, 2048, 3072],
    heads=[4, 8, 16],
    model_dims=[256, 384, 512, 768],
    prediction_dims=[256, 512],
    joiner_dims=[256, 512],
    directions=["forward", "bidirectional"],
)
SIZES = dict(d_model=768, stem_dim=256, num_heads=16, num_modes=16, num_layers=16)
TINY = dict(d_model=16, stem_dim=8, num_heads=4, num_modes=4, num_layers=3)
TINY_SPACE = dict(SPACE, depths=[1, 3], ffn_dims=[8, 32], heads=[2, 4], model_dims=[8, 16])


def arguments(tiny: bool) -> argparse.Namespace:
    """Configuration of the supernet, as ESPnet stores it."""
    parts = ("frontend", "specaug", "normalize", "preencoder", "encoder", "decoder", "model", "ctc")
    conf = {f"{part}_conf": {} for part in parts}
    conf |= dict(specaug=None, normalize=None, preencoder=None, postencoder=None, init=None, input_size=None)
    conf["encoder_conf"] = dict(TINY, search_space=TINY_SPACE) if tiny else dict(SIZES, search_space=SPACE)
    conf["decoder_conf"] = dict(embed_dim=512)
    conf["model_conf"] = dict(joint_space_size=512)
    return argparse.Namespace(
        token_list=["<blank>", *map(str, range(1, VOCABULARY))],
        token_type="char",
        bpemodel=None,
        frontend="kaldi_fbank",
        encoder="mhssm_supernet",
        decoder="stateless_supernet",
        joint_net_conf=None,
        model="todm",
        init_param=[],
        **conf,
    )


def extract_seconds(model, args: argparse.Namespace, now: Callable) -> dict:
    """From the checkpoint on disk to a model directory, of the middle size, as verb ``extract`` does it."""
    with tempfile.TemporaryDirectory() as folder:
        config, checkpoint = Path(folder, "config.yaml"), Path(folder, "supernet.pth")
        config.write_text(yaml.safe_dump(vars(args)))
        torch.save(model.state_dict(), checkpoint)
        start = now()
        loaded = load_model(config, checkpoint)
        space = model.search_space
        middle = space.uniform(space.depths[len(space.depths) // 2], space.leading.allowed[1])
        write_model_dir(loaded, middle, Path(folder, "size"))
        return {"extract_seconds": round(now() - start, 2)}


@torch.no_grad()
def differences(inside, subnet, alone, x: torch.Tensor, stem) -> float:
    """Largest one of encoder output and joiner logits. Args: inside: supernet; stem: its own of x, of all nets."""
    lengths, tokens = torch.tensor([x.shape[1]]), torch.arange(2, 6)[None]
    decoder, joiner = at_subnet(inside.decoder, inside.joint_network, subnet)
    ours, (theirs, _, _) = inside.encoder.run(stem, subnet), alone.encoder(x, lengths)
    logits = joiner(ours.unsqueeze(2), decoder(tokens).unsqueeze(1))
    others = alone.joint_network(theirs.unsqueeze(2), alone.decoder(tokens).unsqueeze(1))
    return max(float((ours - theirs).abs().max()), float((logits - others).abs().max()))


@torch.no_grad()
def largest_differences(model, args: argparse.Namespace, count: int, dtypes: list[str]) -> dict[str, float]:
    """Over random subnets of the space; every one is extracted once, and compared in each type of numbers."""
    types = [getattr(torch, name) for name in dtypes]
    supernets = {dtype: model if dtype == torch.float32 else copy.deepcopy(model).to(dtype) for dtype in types}
    x = torch.randn(1, FRAMES, 80)
    stems = {dtype: net.encoder.stem(x.to(dtype), torch.tensor([FRAMES])) for dtype, net in supernets.items()}
    largest = dict.fromkeys(types, 0.0)
    for draw in tqdm(range(count), unit="subnet", desc="compared", disable=None):
        subnet = model.search_space.sample(random.Random(draw))
        alone = extract(TrainedModel(model, args), subnet)[0]
        for dtype in sorted(types, key=lambda dtype: dtype.itemsize):  # to wider numbers nothing is lost
            found = differences(supernets[dtype], subnet, alone.to(dtype), x.to(dtype), stems[dtype])
            largest[dtype] = max(largest[dtype], found)
    return {f"extract_max_abs_diff_{name}": largest[getattr(torch, name)] for name in dtypes}


@torch.no_grad()
def time_inside(model, args: argparse.Namespace, rounds: int, now: Callable) -> dict:
    """Encoder of a subnet inside the supernet over the extracted encoder, on 15 s of audio."""
    space = model.search_space
    x, lengths = torch.randn(1, 1500, 80), torch.tensor([1500])
    ratios = {}
    for subnet in (space.max, space.min, *(space.sample(random.Random(seed)) for seed in range(3))):
        alone, taken = extract(TrainedModel(model, args), subnet)[0].encoder, []
        for _ in range(2 + rounds):
            start = now()
            model.encoder(x, lengths, subnet=subnet)
            between = now()
            alone(x, lengths)
            taken.append((between - start) / (now() - between))
        ratios[str(subnet)] = statistics.median(taken[2:])  # after two to warm up
    return {
        "supernet_over_extracted_time": round(statistics.median(ratios.values()), 3),
        "supernet_over_extracted_time_worst": round(max(ratios.values()), 3),
    }


def main(args: argparse.Namespace) -> dict:
    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    now = {"wall": time.perf_counter, "cpu": time.process_time}[args.clock]
    conf = arguments(args.tiny)
    model = TODMTask.build_model(conf).eval()
    figures = {"params": cost(model, model.search_space.max).params, "threads": args.threads, "clock": args.clock}
    figures |= extract_seconds(model, conf, now)
    if args.rounds:
        figures |= time_inside(model, conf, args.rounds, now)
    figures["subnets"] = args.subnets
    start = now()
    if args.subnets:
        figures |= largest_differences(model, conf, args.subnets, args.dtype)
    figures["comparison_seconds"] = round(now() - start, 1)
    figures["extract_max_abs_diff"] = figures.get("extract_max_abs_diff_float32")
    return figures


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--subnets", type=int, default=2000, help="random subnets whose outputs are compared")
    parser.add_argument("--rounds", type=int, default=15, help="timed turns of each of five subnets, 0 for none")
    parser.add_argument("--dtype", nargs="+", default=["float32", "float64"], choices=["float32", "float64"])
    parser.add_argument(
        "--clock", choices=("wall", "cpu"), default="wall", help="cpu: on a busy machine, with one thread"
    )
    parser.add_argument("--tiny", action="store_true", help="a tiny supernet, to try the script")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    print(json.dumps(main(parser.parse_args())))
