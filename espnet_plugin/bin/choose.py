"""Verb ``choose``: for a ladder of sizes, the subnet with the lowest word error rate on a development set."""

import argparse
import json
from pathlib import Path

import torch
from kaldialign import edit_distance
from tqdm import tqdm

from espnet_plugin.asr.data import batches, read_table
from espnet_plugin.asr.extract import num_parameters, space_of
from espnet_plugin.asr.files import write_whole
from espnet_plugin.asr.loading import load_model
from espnet_plugin.asr.model import TODMModel
from espnet_plugin.asr.recognise import pad_short, sampling_rate
from espnet_plugin.errors import UserError
from espnet_plugin.supernet.sizes import candidates, ladder
from espnet_plugin.supernet.space import SearchSpace
from espnet_plugin.supernet.subnet import DIRECTIONS, Subnet
from espnet_plugin.transducer.elastic import at_subnet
from espnet_plugin.transducer.greedy import greedy_search


class DevelopmentSet:
    """Word error rate of subnets; what does not depend on the subnet is computed once.

    Args:
        model: supernet.
        fs: sampling rate, Hz.
        directories: Kaldi directories with wav.scp and text.
    """

    @torch.no_grad()
    def __init__(self, model: TODMModel, fs: int, directories: list[Path]):
        self.model = model
        self.references, self.stems = {}, []
        for directory in directories:
            text = read_table(directory / "text")
            self.references |= {f"{directory}:{key}": words.split() for key, words in text.items()}
            wavs = {
                f"{directory}:{key}": path for key, path in read_table(directory / "wav.scp").items() if key in text
            }
            for batch in batches(wavs, fs):
                feats, lengths = model.features(*pad_short(batch, fs))
                self.stems.append((batch.keys, model.encoder.stem(feats, lengths)))
        if not self.stems:
            raise UserError(f"--data: {', '.join(map(str, directories))} has no utterance with a transcript")

    @torch.no_grad()
    def word_error_rate(self, subnet: Subnet) -> float:
        """Greedy word error rate, %."""
        model, errors, words = self.model, 0, 0
        for keys, stem in self.stems:
            encoder_out = model.encoder.run(stem, subnet)
            decoder, joiner = at_subnet(model.decoder, model.joint_network, subnet)
            found = greedy_search(encoder_out, stem.lengths, decoder, joiner, model.blank_id)
            for key, ids in zip(keys, found):
                reference = self.references[key]
                errors += edit_distance(reference, model.words(ids))["total"]
                words += len(reference)
        return 100 * errors / max(words, 1)


def name_of(params: int, largest: int, smallest: int) -> str:
    """``max``, ``min``, or the share of the max net in percent as in ``p71``."""
    return {largest: "max", smallest: "min"}.get(params) or f"p{round(100 * params / largest)}"


def space_in(model: TODMModel, direction: str | None) -> SearchSpace:
    """The search space, or its part of one direction.

    Raises:
        UserError: see `space_of` and `SearchSpace.only`; a space that has no other direction is its own part.
    """
    space = space_of(model)
    only = space.directions or (DIRECTIONS[model.encoder.shape.num_directions - 1],)
    return space if direction is None or only == (direction,) else space.only(direction)


def choose(
    model: TODMModel, data: DevelopmentSet, num_sizes: int, num_candidates: int, direction: str | None = None
) -> list[dict]:
    """Sizes (of one direction, if given), largest first: name, subnet, params, dev_wer (%)."""
    space = space_in(model, direction)

    def params(subnet: Subnet) -> int:
        return num_parameters(model, subnet)

    largest, smallest = params(space.max), params(space.min)
    targets = ladder(smallest, largest, num_sizes)
    groups = [[space.max], *(candidates(space, params, t, num_candidates) for t in targets[1:-1]), [space.min]]
    sizes: dict[Subnet, dict] = {}
    with tqdm(total=sum(map(len, groups)), unit="subnet", disable=None) as bar:
        for group in groups:
            scored = []
            for subnet in group:
                scored.append((data.word_error_rate(subnet), params(subnet), str(subnet), subnet))
                bar.update()
            wer, count, text, subnet = min(scored)
            name = name_of(count, largest, smallest)
            sizes[subnet] = {"name": name, "subnet": text, "params": count, "dev_wer": round(wer, 3)}
    ordered = sorted(sizes.values(), key=lambda size: -size["params"])
    names = [size["name"] for size in ordered]
    for size in ordered:
        if names.count(size["name"]) > 1:
            size["name"] += f"-{size['subnet']}"
    return ordered


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="espnet-todm choose", description="Choose sizes on a development set.")
    parser.add_argument("--train_config", type=Path, required=True, help="config.yaml of the supernet")
    parser.add_argument("--model_file", type=Path, required=True, help="checkpoint of the supernet")
    parser.add_argument(
        "--data", type=Path, action="append", required=True, help="development data directory (repeatable)"
    )
    parser.add_argument("--num_sizes", type=int, default=5, help="sizes, max and min net included (default: 5)")
    parser.add_argument(
        "--num_candidates", type=int, default=6, help="subnets tried for each size in between (default: 6)"
    )
    parser.add_argument("--direction", choices=DIRECTIONS, help="sizes of this direction only: forward for streaming")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    args = parser.parse_args(argv)
    if args.num_sizes < 2:
        raise UserError(f"--num_sizes: {args.num_sizes} must be at least 2, the max and the min net")
    model, train_args = load_model(args.train_config, args.model_file)
    print(f"search space: {space_in(model, args.direction)}")
    data = DevelopmentSet(model, sampling_rate(train_args), args.data)
    sizes = choose(model, data, args.num_sizes, args.num_candidates, args.direction)
    write_whole(args.out, lambda path: path.write_text(json.dumps({"sizes": sizes}, indent=2) + "\n"))
    for size in sizes:
        print(
            f"{size['name']:>8}  {size['params']:>12,} parameters  dev WER {size['dev_wer']:6.2f} %  {size['subnet']}"
        )
