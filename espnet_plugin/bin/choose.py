"""Verb ``choose``: the best subnet within limits, or a ladder of sizes, by the error rate on a development set."""

import argparse
import math
import shlex
import sys
from pathlib import Path
from typing import Any

import torch

from espnet_plugin.asr.inference.decode import DecodeConf, DecodeJob, decode_set
from espnet_plugin.asr.inference.extract import MADE_OF, space_of, write_model_dir
from espnet_plugin.asr.inference.loading import load_model
from espnet_plugin.bin.cuts import kaldi_directory
from espnet_plugin.bin.cuts import name_of as name_of_data
from espnet_plugin.bin.supernet_files import add_supernet, settle
from espnet_plugin.common.bounds import Bounds, Checked
from espnet_plugin.common.files import check_places, need_file, write_json
from espnet_plugin.common.processes import PROCESSES
from espnet_plugin.common.tables import read_transcripts
from espnet_plugin.common.text import normalised
from espnet_plugin.common.word_errors import METRICS, count, units
from espnet_plugin.errors import UserError
from espnet_plugin.search.cache import EvaluationCache
from espnet_plugin.search.choice import SEARCHES, Found, Plan, choose_sizes, choose_within
from espnet_plugin.search.costs import NAMES, UNITS, Costs, Limits, quantity, weight_bytes
from espnet_plugin.search.explore import Budget
from espnet_plugin.search.latency import LatencyTable
from espnet_plugin.search.quality import DevelopmentSet
from espnet_plugin.search.workers import Workers
from espnet_plugin.supernet.dimensions import DIRECTIONS
from espnet_plugin.supernet.space import SearchSpace
from espnet_plugin.supernet.subnet import Subnet

SIZES = Bounds(2, 1000, why="the max and the min net, and a folder for each size")


def name_of(params: int, largest: int, smallest: int) -> str:
    """``max``, ``min``, or the share of the max net in percent as in ``p71``."""
    return {largest: "max", smallest: "min"}.get(params) or f"p{round(100 * params / largest)}"


def named_sizes(
    subnets: list[Subnet], space: SearchSpace, costs: Costs, found: Found, metric: str = "wer"
) -> list[dict]:
    """Entries of sizes.json, as the subnets come: name (each another), subnet, params, dev_wer or dev_cer (%)."""
    largest, smallest = (int(costs.of(end)["params"]) for end in (space.max, space.min))
    sizes = []
    for subnet in subnets:
        params = int(costs.of(subnet)["params"])
        size: dict[str, Any] = {"name": name_of(params, largest, smallest), "subnet": str(subnet), "params": params}
        sizes.append(size | {f"dev_{metric}": round(found.rates[subnet], 3)})
    names = [size["name"] for size in sizes]
    for i, size in enumerate(sizes):
        if names.count(size["name"]) > 1:  # numbered, since text forms may be longer than names of folders can be
            size["name"] += f"-{names[: i + 1].count(names[i])}"
    return sizes


def search_facts(found: Found, costs: Costs, plan: Plan, args: argparse.Namespace) -> dict:
    """Content of search.json: every evaluated subnet with its costs, and which ones are the front."""
    finite = [subnet for subnet, loss in found.loss.items() if math.isfinite(loss)]
    on_front = set(found.front(lambda subnet: costs.of(subnet)[plan.by]))
    points = []
    for subnet in sorted(finite, key=lambda subnet: costs.of(subnet)[plan.by]):
        point: dict[str, Any] = {"subnet": str(subnet), **costs.of(subnet)}
        if costs.model.encoder.has("products"):
            point["size_int8"] = weight_bytes(costs.model, subnet, point["params"], int8=True)
        point |= {"loss": round(found.loss[subnet], 5), "front": subnet in on_front}
        points.append(point | ({plan.metric: round(found.rates[subnet], 3)} if subnet in found.rates else {}))
    return {
        "train_config": str((args.icefall_checkpoint or args.train_config).absolute()),
        "model_file": str((args.icefall_checkpoint or args.model_file).absolute()),
        "data": [str(path) for path in args.data],
        "search": plan.kind,
        "metric": plan.metric,
        "by": plan.by,
        "seed": plan.seed,
        "evaluations": len(found.loss),
        "decoded": len(found.rates),
        "rank_correlation": None if found.correlation is None else round(found.correlation, 4),
        "device": costs.table and costs.table.device,
        "points": points,
    }


def told(kind: str, value: float) -> str:
    """A cost for people, as ``1,282,244 parameters``."""
    if kind == "latency":
        return f"{1e3 * value:.4g} ms latency"
    if kind == "size":
        return f"{value / 1e6:.4g} MB of weights"
    return f"{value:,.0f} {NAMES[kind]}"


def parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="espnet-todm choose",
        description="Choose subnets on a development set: the best one within limits, or without limits a ladder of sizes.",
    )
    add_supernet(parser)
    parser.add_argument(
        "--data",
        type=Path,
        action="append",
        required=True,
        help="development data: directory, or lhotse's cuts.jsonl.gz (repeatable)",
    )
    parser.add_argument(
        "--metric",
        choices=METRICS,
        default="wer",
        help="error rate of words or, for text without spaces, of characters (default: wer)",
    )
    parser.add_argument("--direction", choices=DIRECTIONS, help="subnets of this direction only: forward for streaming")
    limits = parser.add_argument_group("limits")
    for kind, example in (
        ("params", "10M"),
        ("macs", "200M (a second of audio)"),
        ("size", "12MB"),
        ("latency", "80ms"),
    ):
        limits.add_argument(f"--max-{kind}", f"--max_{kind}", dest=f"max_{kind}", metavar="N", help=f"as {example}")
    limits.add_argument("--int8", action="store_true", help="sizes are those of int8 weights")
    limits.add_argument("--device", type=Path, help="table of 'espnet-todm latency', for --max-latency")
    limits.add_argument(
        "--threads", type=int, action=Checked, bounds=Bounds(1), help="threads on that device (default: 1)"
    )
    ladder = parser.add_argument_group("ladder of sizes")
    ladder.add_argument(
        "--num_sizes", type=int, action=Checked, bounds=SIZES, help="max and min net included (default: 5)"
    )
    ladder.add_argument("--out", type=Path, help="JSON file to write; needed without limits")
    search = parser.add_argument_group("search")
    search.add_argument(
        "--search", choices=SEARCHES, default="evolution", help="how subnets are proposed (default: evolution)"
    )
    search.add_argument(
        "--by", choices=list(UNITS), help="cost that the loss is traded against (default: the limit, or params)"
    )
    search.add_argument(
        "--evaluations",
        type=int,
        default=96,
        action=Checked,
        bounds=Bounds(1),
        help="subnets whose cheap loss is computed (default: 96)",
    )
    search.add_argument(
        "--seconds",
        type=float,
        action=Checked,
        bounds=Bounds(above=0),
        help="begin no further generation of subnets after so many seconds",
    )
    search.add_argument(
        "--num_candidates",
        type=int,
        default=6,
        action=Checked,
        bounds=Bounds(1, 1000),
        help="subnets decoded for each choice (default: 6)",
    )
    search.add_argument("--seed", type=int, default=0, action=Checked, bounds=Bounds(0, 2**32 - 1))
    search.add_argument("--nj", type=int, default=1, action=Checked, bounds=PROCESSES, help="processes (default: 1)")
    search.add_argument("--cache", type=Path, help="file of evaluated subnets (default: search.jsonl beside --out)")
    after = parser.add_argument_group("with the best subnet within limits")
    after.add_argument("--extract", type=Path, metavar="DIR", help="write it as a model directory")
    after.add_argument(
        "--decode", type=Path, nargs="+", default=[], metavar="DATA", help="decode data directories with that"
    )
    args = parser.parse_args(argv)
    limited = [kind for kind in UNITS if getattr(args, f"max_{kind}") is not None]
    check_needs(args, limited)
    args.num_sizes, args.threads = args.num_sizes or 5, args.threads or 1
    if not limited and args.out is None:
        raise UserError("--out: is needed for a ladder of sizes; or set a limit such as --max-params 10M")
    if not limited and args.extract:
        raise UserError(
            "--extract: needs a limit such as --max-params 10M; 'espnet-todm extract --sizes' is for a ladder"
        )
    if args.decode and args.extract is None:
        raise UserError("--decode: needs --extract, the model directory to decode with")
    args.by = args.by or next(iter(limited), "params")
    if "latency" in (*limited, args.by) and args.device is None:
        raise UserError("--device: is needed for a latency, a table that 'espnet-todm latency' has made on the device")
    return args


def check_needs(args: argparse.Namespace, limited: list[str]) -> None:
    """Options that would do nothing without another one, or against one.

    Raises:
        UserError: naming both.
    """
    for option, given, needs, there in (
        ("--int8", args.int8, "--max-size or --by size", "size" in (*limited, args.by)),
        ("--threads", args.threads is not None, "--device", args.device is not None),
        ("--num_sizes", args.num_sizes is not None, "a ladder of sizes, which has no limits", not limited),
    ):
        if given and not there:
            raise UserError(f"{option}: needs {needs}")


def check_files(args: argparse.Namespace) -> None:
    """Whether outputs replace neither each other nor an input, and the inputs are there.

    Raises:
        UserError: naming the option.
    """
    for option, folders in (("--data", args.data), ("--decode", args.decode)):
        names = [name_of_data(folder) for folder in folders]
        for folder, name in zip(folders, names):
            if names.count(name) > 1:
                raise UserError(f"{option}: '{folder}': two data sets are called '{name}', must have different names")
    for data in args.decode:
        need_file("--decode:", data / "wav.scp")
    inputs = [args.train_config, args.model_file, args.icefall_checkpoint, args.tokens, args.bpemodel, args.device]
    inputs += [data / name for data in (*args.data, *args.decode) for name in ("wav.scp", "text")]
    outputs = {"--out": args.out, "--cache": args.cache}
    if args.out is not None:
        outputs |= {"the search's search.json": args.out.parent / "search.json"}
        outputs |= {"--cache": args.cache or args.out.parent / "search.jsonl"}
    check_places(outputs | {"--extract": args.extract}, inputs, {"--extract": MADE_OF})


def explain(subnet: Subnet, found: Found, costs: Costs, plan: Plan, space: SearchSpace, given: dict[str, str]) -> None:
    """Print a choice and why."""
    own = costs.of(subnet)
    print(f"best subnet within {', '.join(f'--max-{kind} {text}' for kind, text in given.items())}: {subnet}")
    print(f"  {', '.join(told(kind, value) for kind, value in own.items())}")
    print(
        f"  {plan.metric.upper()} {found.rates[subnet]:.2f} % on the development set, cheap loss {found.loss[subnet]:.4f} nats a symbol"
    )
    print(
        f"why: of {len(found.loss)} subnets within the limits that the search ({plan.kind}) went through, the "
        f"{len(found.rates)} with the lowest cheap loss were decoded, and this one has the lowest {plan.metric.upper()}:"
    )
    for other in sorted(found.rates, key=lambda other: (found.rates[other], found.loss[other])):
        cost = told(plan.by, costs.of(other)[plan.by])
        print(f"  {plan.metric.upper()} {found.rates[other]:6.2f} %  loss {found.loss[other]:.4f}  {cost}  {other}")
    if space.max in found.loss:
        print("the max net itself is within the limits")


def refuse(space: SearchSpace, costs: Costs, limits: Limits, given: dict[str, str], args: argparse.Namespace) -> None:
    """Tell the nearest possible where no subnet is within one of the limits.

    The min net need not be the cheapest one: on a device, narrow layers may take longer. See `SearchSpace.even` for what is looked at.

    Raises:
        UserError: then.
    """
    even = {subnet: costs.of(subnet) for subnet in space.even()} if limits.most else {}
    if all(min(found[kind] for found in even.values()) <= most for kind, most in limits.most.items()):
        return
    nearest = min(
        even, key=lambda subnet: (max(limits.shares(even[subnet]).values()), even[subnet]["params"], str(subnet))
    )
    own = even[nearest]
    print(f"nearest possible: {nearest}")
    print(f"  {', '.join(told(kind, value) for kind, value in own.items())}")
    files = ("train_config", "model_file") if args.icefall_checkpoint is None else ("icefall_checkpoint", "tokens")
    command = ["espnet-todm", "extract", *(part for name in files for part in (f"--{name}", getattr(args, name)))]
    print(f"  {shlex.join(map(str, [*command, '--subnet', nearest, '--out', 'DIR']))}")
    reasons = ", ".join(f"--max-{kind} {given[kind]} (it has {told(kind, own[kind])})" for kind in limits.excess(own))
    raise UserError(f"no subnet is within the limits: the nearest one is beyond {reasons}")


def decoded_rates(model_dir: Path, directories: list[Path], conf: argparse.Namespace, metric: str) -> None:
    """Decode data directories and print their error rates, where they have transcripts. Args: conf: of the model."""
    for data in directories:
        out = model_dir / "decode" / data.name
        print(decode_set(DecodeJob(0, model_dir, data, out, DecodeConf(), streaming=False)).said)
        if (data / "text").is_file():
            found = read_transcripts(out / "text")
            texts = normalised(read_transcripts(data / "text"), vars(conf), data.name)
            pairs = ((units(words, metric), units(found.get(key, ""), metric)) for key, words in texts.items())
            print(f"{data.name}: {metric.upper()} {count(pairs).rate:.2f} %")


def main(argv: list[str]) -> None:
    args = parse(argv)
    check_files(args)
    given = {kind: getattr(args, f"max_{kind}") for kind in UNITS if getattr(args, f"max_{kind}") is not None}
    limits = Limits({kind: quantity(kind, text) for kind, text in given.items()})
    plan = Plan(
        Budget(args.evaluations, args.seconds), args.search, args.by, args.num_candidates, args.seed, args.metric
    )
    table = LatencyTable.read(args.device) if args.device else None
    if args.nj > 1:
        torch.set_num_threads(1)  # before torch computes: a fork must find no other threads
    folder = settle(args)  # noqa: F841 (kept for as long as its files are read)
    trained = load_model(args.train_config, args.model_file)
    model = trained.model
    space, costs = space_of(model, args.direction), Costs(model, args.int8, table, args.threads)
    print(f"search space: {space}")
    if args.num_sizes > space.size > 1:
        raise UserError(f"--num_sizes: {args.num_sizes} must be at most {space.size}, the subnets of the search space")
    refuse(space, costs, limits, given, args)
    data = DevelopmentSet(trained, [kaldi_directory(path, whole=True) for path in args.data], metric=args.metric)
    beside = args.out and args.out.parent / "search.jsonl"
    keys = {measure: data.key(measure) for measure in ("loss", args.metric)}
    cache = EvaluationCache(args.cache or beside, keys, space_of(model).parse)
    with Workers(data.measure, cache, args.nj, {"loss": args.evaluations}) as workers:
        if given:
            best, found = choose_within(space, costs, plan, workers, limits)
            chosen = [best]
        else:
            chosen, found = choose_sizes(space, costs, plan, workers, args.num_sizes)
    sizes = named_sizes(chosen, space, costs, found, args.metric)
    if args.out is not None:
        facts = search_facts(found, costs, plan, args)
        write_json(args.out.parent / "search.json", facts)
        write_json(args.out, {"sizes": sizes}, indent=2)
    if not given and len(sizes) < args.num_sizes:
        few = f"warning: --num_sizes {args.num_sizes}: only {len(sizes)} different sizes were found"
        print(f"{few}, more --evaluations than {args.evaluations} may find more", file=sys.stderr)
    if given:
        explain(best, found, costs, plan, space, given)
    else:
        for size in sizes:
            counted = f"{size['name']:>8}  {size['params']:>12,} parameters"
            print(f"{counted}  dev {args.metric.upper()} {size[f'dev_{args.metric}']:6.2f} %  {size['subnet']}")
    print(
        f"{len(found.loss)} subnets by their cheap loss, {len(found.rates)} decoded"
        + (f"; rank correlation {found.correlation:.2f}" if found.correlation is not None else "")
    )
    if args.extract is not None:
        facts = write_model_dir(trained, best, args.extract)
        print(f"{args.extract}: subnet {facts['subnet']}, {facts['params']:,} parameters")
        decoded_rates(args.extract, args.decode, trained.conf, args.metric)
