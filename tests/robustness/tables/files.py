"""Files that the verbs read: models, packs, search results, tables of data; damaged, of another kind, or not there."""

import hashlib
import zipfile
from pathlib import Path

import numpy as np
import soundfile
import torch
from cases import (
    Case,
    Change,
    all_of,
    data,
    flipped,
    folder,
    gone,
    json_with,
    replaced,
    text,
    truncated,
    yaml_with,
    yaml_without,
)
from workspace import SUPERNET

EXTRACT = f"extract {SUPERNET} --subnet min --out out"
CHOOSE = f"choose {SUPERNET} --data data --num_sizes 2 --evaluations 2 --num_candidates 1 --out out.json"
LIMITED = f"choose {SUPERNET} --data data --device table.json --max-latency 9s --evaluations 2 --num_candidates 1"
DECODE = "decode --model_dir size --data data --out out"
TRANSCRIBE = "transcribe size data/u0.wav"


def without_options() -> None:
    """A checkpoint that says nothing of the supernet, as one of another recipe."""
    saved = torch.load("icefall/epoch-1.pt", weights_only=False)
    torch.save({key: value for key, value in saved.items() if not key.startswith("todm_")}, "icefall/epoch-1.pt")


ICEFALL = "extract --icefall_checkpoint icefall/trained.pt --tokens icefall/tokens.txt --subnet min --out out"
JOURNAL = ("out", "*/data", "*/unfinished.jsonl")  # what decoding has done so far is kept


def case(kind: str, name: str, command: str, *said: str, make: Change, leaves: tuple[str, ...] = ()) -> Case:
    return Case(kind, name, command, said, make, leaves)


# Every verb that reads weights, and every way in which they are damaged.

READERS = {
    "extract": (EXTRACT, "supernet/averaged.pth"),
    "choose": (CHOOSE, "supernet/averaged.pth"),
    "latency": (f"latency {SUPERNET} --data data --out out.json", "supernet/averaged.pth"),
    "convert": (f"convert {SUPERNET} --out out", "supernet/averaged.pth"),
    "average": ("average --dir supernet --out out.pth", "supernet/2epoch.pth"),
    "transcribe": (TRANSCRIBE, "size/model.pth"),
    "decode": (DECODE, "size/model.pth"),
    "export": ("export size --out out", "size/model.pth"),
    "pack": ("pack size --out out.zip", "size/model.pth"),
    "icefall": (ICEFALL, "icefall/trained.pt"),
}


def other_tensors(path: str) -> Change:
    return lambda: torch.save({"model": {"w": torch.zeros(2)}, "epoch": 3}, path)


def not_finite(path: str, value: float) -> Change:
    def make() -> None:
        saved = torch.load(path)
        state = saved.get("model", saved)
        next(tensor for tensor in state.values() if tensor.is_floating_point()).view(-1)[0] = value
        torch.save(saved, path)

    return make


DAMAGES = {
    "of not-a-number": (lambda path: not_finite(path, float("nan")), "not finite"),
    "infinite": (lambda path: not_finite(path, float("-inf")), "not finite"),
    "cut off": (truncated, ""),
    "empty": (lambda path: data(path, b""), "is empty"),
    "with other bits": (flipped, "damaged"),
    "a text": (lambda path: data(path, b"weights"), "cannot be read"),
    "a folder": (folder, "is a folder"),
    "not there": (gone, ""),
}
REFUSED = [
    case(
        "weights",
        f"{damage}, {verb}",
        command,
        path.split("/")[-2],
        *([word] if word else []),
        make=make(path),
        leaves=JOURNAL,
    )
    for verb, (command, path) in READERS.items()
    for damage, (make, word) in DAMAGES.items()
    if not (verb == "average" and damage == "not there")  # then it is no epoch
]
REFUSED += [
    case(
        "weights", "of a run", EXTRACT, "supernet/averaged.pth", "by name", make=other_tensors("supernet/averaged.pth")
    ),
    case(
        "weights",
        "of another size",
        TRANSCRIBE,
        "size/model.pth",
        "must be",
        make=lambda: Path("supernet/averaged.pth").replace("size/model.pth"),
    ),
    case(
        "weights",
        "without a name",
        EXTRACT,
        "averaged.pth",
        "nothing",
        make=lambda: torch.save({"w": torch.zeros(2)}, "supernet/averaged.pth"),
    ),
]

# Configurations and what lies beside them.

BESIDE = {
    "extract": (EXTRACT, "supernet"),
    "transcribe": (TRANSCRIBE, "size"),
    "export": ("export size --out out", "size"),
    "pack": ("pack size --out out.zip", "size"),
}
REFUSED += [
    case("model", f"{what}, {verb}", command, name, make=make(f"{where}/{name}"))
    for verb, (command, where) in BESIDE.items()
    for what, name, make in (
        ("cut off tokenizer", "bpe.model", truncated),
        ("empty tokenizer", "bpe.model", lambda path: data(path, b"")),
        ("garbage for a tokenizer", "bpe.model", lambda path: data(path, b"\0garbage" * 9)),
        ("cut off statistics", "feats_stats.npz", truncated),
        ("empty statistics", "feats_stats.npz", lambda path: data(path, b"")),
        ("empty configuration", "config.yaml", lambda path: data(path, b"")),
        ("no YAML", "config.yaml", lambda path: data(path, b"a: [")),
        ("a list for a configuration", "config.yaml", lambda path: data(path, b"[1]")),
        ("a folder for a configuration", "config.yaml", folder),
        ("configuration of another model", "config.yaml", lambda path: yaml_with(path, model="espnet")),
        ("configuration without a key", "config.yaml", lambda path: yaml_without(path, "frontend")),
    )
]
CONFIG = "supernet/config.yaml"
REFUSED += [
    case("model", name, EXTRACT, *said, make=yaml_with(CONFIG, **changes))
    for name, changes, said in (
        ("of an unknown encoder", {"encoder": "mhsm"}, ("encoder", "mhsm")),
        ("of an unknown key", {"encoder_conf__colour": 1}, ("encoder_conf.colour",)),
        ("of a width that is a text", {"encoder_conf__d_model": "wide"}, ("encoder_conf.d_model", "'wide'")),
        ("of no layer", {"encoder_conf__num_layers": 0}, ("num_layers", "0")),
        ("of 10^7 joiner units", {"model_conf__joint_space_size": 10**7}, ("joint_space_size", "10000000")),
        ("of one token less", {"token_list": ["<blank>", "<unk>", "A", "<sos/eos>"]}, ("bpe.model", "token")),
        ("whose tokens are a number", {"token_list": 5}, ("token_list",)),
        ("at 1 Hz", {"frontend_conf__fs": 1}, ("fs", "1")),
    )
]


REFUSED += [case("model", "no statistics", EXTRACT, "feats_stats.npz", make=gone("supernet/feats_stats.npz"))]

# Packs.


def pack_with(**members: bytes) -> Change:
    """The pack with other members and sums that hold; a dot in a name is written ``__``."""

    def make() -> None:
        with zipfile.ZipFile("pack.zip") as old:
            found = {name: old.read(name) for name in old.namelist()}
        found |= {name.replace("__", "."): content for name, content in members.items()}
        sums = {
            name: hashlib.sha256(content).hexdigest()
            for name, content in found.items()
            if name not in ("SHA256SUMS", "meta.yaml")
        }
        found["SHA256SUMS"] = "".join(f"{digest}  {name}\n" for name, digest in sums.items()).encode()
        with zipfile.ZipFile("pack.zip", "w") as new:
            for name, content in found.items():
                new.writestr(name, content)

    return make


UNPACK = "unpack pack.zip --out out"
REFUSED += [
    case("pack", "garbage for weights", UNPACK, "pack.zip", "model.pth", make=pack_with(model__pth=b"garbage")),
    case("pack", "empty weights", UNPACK, "pack.zip", "model.pth", make=pack_with(model__pth=b"")),
    case(
        "pack", "garbage for a configuration", UNPACK, "pack.zip", "config.yaml", make=pack_with(config__yaml=b"\0\1")
    ),
    case(
        "pack",
        "another model's configuration",
        UNPACK,
        "pack.zip",
        "'espnet'",
        make=pack_with(config__yaml=b"model: espnet\n"),
    ),
    case("pack", "garbage for a tokenizer", UNPACK, "pack.zip", "bpe.model", make=pack_with(bpe__model=b"garbage")),
    case(
        "pack",
        "garbage for statistics",
        UNPACK,
        "pack.zip",
        "feats_stats.npz",
        make=pack_with(feats_stats__npz=b"garbage"),
    ),
    case("pack", "cut off", UNPACK, "pack.zip", make=truncated("pack.zip")),
    case("pack", "cut off and zipped", "unpack pack.tar.gz --out out", "pack.tar.gz", make=truncated("pack.tar.gz")),
    case("pack", "with other bits", UNPACK, "pack.zip", make=flipped("pack.zip", 0.4, 40)),
    case("pack", "empty", UNPACK, "pack.zip", make=data("pack.zip", b"")),
    case("pack", "a folder", UNPACK, "pack.zip", "is a folder", make=folder("pack.zip")),
    case("pack", "not there", UNPACK, "pack.zip", "does not exist", make=gone("pack.zip")),
    case("pack", "a text", UNPACK, "pack.zip", make=text("pack.zip", "a pack\n")),
]

# What a search has found.


def point(**changes) -> Change:
    return json_with("exp/search.json", lambda found: found["points"][0].update(changes))


def search_with(**changes) -> Change:
    return json_with("exp/search.json", lambda found: found.update(changes))


PAGE = "page --expdir exp"
REFUSED += [
    case("search.json", "not there", PAGE, "exp/search.json", make=gone("exp/search.json")),
    case("search.json", "a folder", PAGE, "exp/search.json", "is a folder", make=folder("exp/search.json")),
    case("search.json", "cut off", PAGE, "exp/search.json", "line", make=truncated("exp/search.json")),
    case("search.json", "empty", PAGE, "exp/search.json", make=data("exp/search.json", b"")),
    case("search.json", "a list", PAGE, "exp/search.json", make=text("exp/search.json", "[]")),
    case("search.json", "lists in lists", PAGE, "exp/search.json", make=text("exp/search.json", "[" * 100_000)),
    case("search.json", "not UTF-8", PAGE, "exp/search.json", make=data("exp/search.json", b'{"a": "\xe9"}')),
    case("search.json", "no points", PAGE, "points", make=search_with(points=[])),
    case("search.json", "points that are a text", PAGE, "points", make=search_with(points="many")),
    case("search.json", "a point that is a number", PAGE, "points[0]", "3", make=search_with(points=[3])),
    case("search.json", "a loss that is a text", PAGE, "points[0].loss", "'low'", make=point(loss="low")),
    case("search.json", "a loss of not-a-number", PAGE, "exp/search.json", "NaN", make=point(loss=float("nan"))),
    case("search.json", "an infinite loss", PAGE, "exp/search.json", "Infinity", make=point(loss=float("inf"))),
    case("search.json", "parameters of 10^400", PAGE, "points[0].params", make=point(params=10**400)),
    case(
        "search.json",
        "parameters of 10^5000",
        PAGE,
        "exp/search.json",
        make=replaced("exp/search.json", '"params": ', f'"params": 1{"0" * 5000}'),
    ),
    case("search.json", "parameters that are a list", PAGE, "points[0].params", "[1]", make=point(params=[1])),
    case("search.json", "no loss", PAGE, "points[0].loss", "None", make=point(loss=None)),
    case("search.json", "a front of 3", PAGE, "points[0].front", "3", make=point(front=3)),
    case("search.json", "a subnet of 3", PAGE, "points[0].subnet", "3", make=point(subnet=3)),
    case("search.json", "an unknown cost", PAGE, "by", "'money'", make=search_with(by="money")),
    case("search.json", "a cost that is a list", PAGE, "by", make=search_with(by=["params"])),
    case("search.json", "a model of 3", PAGE, "model_file", "3", make=search_with(model_file=3)),
    case("sizes.json", "without sizes", PAGE, "sizes.json", make=text("exp/sizes.json", "{}")),
]
SIZES = f"extract {SUPERNET} --sizes exp/sizes.json --out out"
REFUSED += [
    case("sizes.json", name, SIZES, "exp/sizes.json", *said, make=json_with("exp/sizes.json", change))
    for name, change, said in (
        ("an empty list", lambda found: found.update(sizes=[]), ("no size",)),
        ("a text", lambda found: found.update(sizes="max"), ()),
        ("a name that leads out", lambda found: found["sizes"][0].update(name="../x"), ("'../x'",)),
        ("a name that is a number", lambda found: found["sizes"][0].update(name=3), ("3",)),
        ("a name twice", lambda found: found["sizes"][0].update(name="min"), ("'min'", "twice")),
        ("without a subnet", lambda found: found["sizes"][0].pop("subnet"), ("choose",)),
    )
]
REFUSED += [
    case("sizes.json", "not there", SIZES, "exp/sizes.json", make=gone("exp/sizes.json")),
    case("sizes.json", "a folder, to extract", SIZES, "exp/sizes.json", "is a folder", make=folder("exp/sizes.json")),
    case("sizes.json", "no JSON", SIZES, "exp/sizes.json", make=text("exp/sizes.json", "{")),
    case(
        "sizes.json",
        "a subnet that is none",
        SIZES,
        "'large'",
        make=json_with("exp/sizes.json", lambda found: found["sizes"][0].update(subnet="large")),
    ),
]


def added(path: str, line: str) -> Change:
    return lambda: Path(path).write_text(Path(path).read_text() + line)


NAN_LINE = '{"measure": "loss", "key": "0", "subnet": "0x4h2", "value": NaN}\n'
CACHED = f"{CHOOSE} --cache cache.jsonl"
REFUSED += [
    case("cache", "a text", CACHED, "cache.jsonl", make=text("cache.jsonl", "no cache\n")),
    case("cache", "a folder", CACHED, "cache.jsonl", make=folder("cache.jsonl")),
    case(
        "cache",
        "of not-a-number alone",
        CACHED,
        "cache.jsonl",
        make=text("cache.jsonl", '{"measure": "loss", "key": "0", "subnet": "0x4h2", "value": NaN}\n'),
    ),
    case(
        "cache",
        "of negative losses",
        CACHED,
        "cache.jsonl",
        make=text("cache.jsonl", '{"measure": "loss", "key": "0", "subnet": "0x4h2", "value": -1e9}\n'),
    ),
    case(
        "cache",
        "of infinite losses",
        CACHED,
        "cache.jsonl",
        make=text("cache.jsonl", '{"measure": "loss", "key": "0", "subnet": "0x4h2", "value": 1e999}\n'),
    ),
]


def table_with(change) -> Change:
    return json_with("table.json", change)


REFUSED += [
    case("table", "not there", LIMITED, "--device", "table.json", make=gone("table.json")),
    case("table", "a folder", LIMITED, "--device", "table.json", "is a folder", make=folder("table.json")),
    case("table", "cut off", LIMITED, "--device", "table.json", make=truncated("table.json")),
    case("table", "without times", LIMITED, "times", make=table_with(lambda found: found.pop("times"))),
    case("table", "of no threads", LIMITED, "threads", make=table_with(lambda found: found.update(times={}))),
    case("table", "without blocks", LIMITED, "block", make=table_with(lambda found: found.update(times={"1": {}}))),
    case(
        "table",
        "of another supernet",
        LIMITED,
        "num_modes",
        make=table_with(lambda found: found["fixed"].update(num_modes=9)),
    ),
    case(
        "table",
        "of negative times",
        LIMITED,
        "times.1",
        "-1",
        make=table_with(lambda found: found["times"]["1"].update({next(iter(found["times"]["1"])): -1})),
    ),
    case(
        "table",
        "of not-a-number",
        LIMITED,
        "table.json",
        "NaN",
        make=table_with(lambda found: found.update(audio_seconds=float("nan"))),
    ),
    case(
        "table",
        "of another version",
        LIMITED,
        "version",
        "'9'",
        make=table_with(lambda found: found.update(version="9")),
    ),
]

# Data.


def wave(path: str, samples: np.ndarray, rate: int = 16000) -> Change:
    return lambda: soundfile.write(path, samples, rate, subtype="FLOAT")


SCP, TEXT = "data/wav.scp", "data/text"
DATA_VERBS = {"choose": CHOOSE, "decode": DECODE}
REFUSED += [
    case("data", f"{what}, {verb}", command, *said, make=make, leaves=JOURNAL)
    for verb, command in DATA_VERBS.items()
    for what, said, make in (
        ("wav.scp not there", ("data/wav.scp",), gone(SCP)),
        ("wav.scp a folder", ("data/wav.scp", "is a folder"), folder(SCP)),
        ("empty wav.scp", ("data/wav.scp",), text(SCP, "")),
        ("wav.scp of empty lines", ("data/wav.scp",), text(SCP, "\n \n")),
        ("an id twice", ("data/wav.scp", "'u1'"), replaced(SCP, "u2 ", "u1 ")),
        ("a line without a path", ("data/wav.scp", "'u1'"), replaced(SCP, " data/u1.wav", "")),
        ("wav.scp not UTF-8", ("data/wav.scp",), data(SCP, b"u0 caf\xe9.wav\n")),
        ("a control character", ("data/wav.scp", "U+0007"), text(SCP, "u\x07 data/u0.wav\n")),
    )
]
REFUSED += [
    case("data", "segments for choose", CHOOSE, "data/segments", make=text("data/segments", "a u0 0 0.4\n")),
    case("data", "text not there", CHOOSE, "data/text", make=gone(TEXT)),
    case("data", "empty text", CHOOSE, "data", "transcript", make=text(TEXT, "")),
    case("data", "text without words", CHOOSE, "--data", "data", make=text(TEXT, "u0\nu1\nu2\nu3\n")),
    case(
        "data",
        "half of the text missing",
        CHOOSE,
        "2 of 4",
        "transcript",
        "'u2'",
        make=text(TEXT, "u0 A BC D\nu1 AB CD\n"),
    ),
    case(
        "data",
        "half of the audio missing",
        CHOOSE,
        "2 of 4",
        "audio",
        "'u2'",
        make=text(SCP, "u0 data/u0.wav\nu1 data/u1.wav\n"),
    ),
    case("data", "other ids", CHOOSE, "4 of 4", "transcript", make=text(TEXT, "a A\nb B\nc C\nd D\n")),
    case(
        "data",
        "letters that are no tokens",
        CHOOSE,
        "letters",
        "'data:u0'",
        make=text(TEXT, "u0 xyz\nu1 xyz\nu2 xyz\nu3 xyz\n"),
    ),
    case("data", "a text's id twice", CHOOSE, "data/text", "'u0'", make=text(TEXT, "u0 A\nu0 B\n")),
    case("data", "audio not there", CHOOSE, "data/u1.wav", "does not exist", make=gone("data/u1.wav")),
    case("data", "audio that is a text", CHOOSE, "data/u1.wav", make=text("data/u1.wav", "A BC D\n")),
    case("data", "audio that is empty", CHOOSE, "data/u1.wav", make=data("data/u1.wav", b"")),
    case("data", "audio of not-a-number", CHOOSE, "data/u1.wav", make=wave("data/u1.wav", np.full(8000, np.nan))),
    case("data", "silent audio", CHOOSE, "data/u1.wav", "silent", make=wave("data/u1.wav", np.zeros(8000))),
    case(
        "data",
        "segments of another form",
        DECODE,
        "data/segments",
        "a u0",
        make=text("data/segments", "a u0 0\n"),
        leaves=JOURNAL,
    ),
    case(
        "data",
        "manifest not there",
        f"{CHOOSE.replace('--data data', '--data cuts.jsonl')}",
        "cuts.jsonl",
        make=lambda: None,
    ),
    case(
        "data",
        "manifest that is none",
        f"{CHOOSE.replace('--data data', '--data cuts.jsonl')}",
        "cuts.jsonl",
        make=text("cuts.jsonl", "cuts\n"),
    ),
    case(
        "data",
        "a file for a directory",
        f"{CHOOSE.replace('--data data', '--data data/text')}",
        "data/text",
        make=lambda: None,
    ),
]
LATENCY = f"latency {SUPERNET} --data data --out out.json"
REFUSED += [
    case("data", "segments for latency", LATENCY, "data/segments", make=text("data/segments", "a u0 0 0.4\n")),
    case("data", "empty wav.scp, latency", LATENCY, "data/wav.scp", make=text(SCP, "")),
]

# Audio that transcribe is given.
REFUSED += [
    case("audio", name, f"transcribe size {path}", path, make=make)
    for name, path, make in (
        ("not there", "none.wav", lambda: None),
        ("a text", "a.wav", text("a.wav", "words\n")),
        ("empty", "a.wav", data("a.wav", b"")),
        ("silent", "a.wav", wave("a.wav", np.zeros(8000))),
        ("of not-a-number", "a.wav", wave("a.wav", np.full(8000, np.nan))),
        ("infinite", "a.wav", wave("a.wav", np.full(8000, np.inf))),
        ("of huge samples", "a.wav", wave("a.wav", np.linspace(-1e30, 1e30, 8000))),
        ("of no samples", "a.wav", wave("a.wav", np.zeros(0))),
        ("a folder without audio", "exp", lambda: None),
        ("an archive that is not there", "a.ark:7", lambda: None),
    )
]

# How words are searched for.
CONFIGURED = f"{DECODE} --config decode.yaml"
REFUSED += [
    case("decode.yaml", name, CONFIGURED, f"decode.yaml: {key}", make=text("decode.yaml", content))
    for name, content, key in (
        ("an unknown key", "beams: 1\n", "beams"),
        ("a beam of 0", "beam_size: 0\n", "beam_size"),
        ("a beam that is a text", "beam_size: two\n", "beam_size"),
        ("a beam of a million", "beam_size: 1000000\n", "beam_size"),
        ("more answers than hypotheses", "beam_size: 2\nnbest: 3\n", "nbest"),
        ("no batch", "batch_seconds: 0\n", "batch_seconds"),
        ("an infinite batch", "batch_seconds: .inf\n", "batch_seconds"),
        ("no chunk", "chunk_ms: 0\n", "chunk_ms"),
        ("a short window", "window_seconds: 0.1\n", "window_seconds"),
        ("a score of not-a-number", "beam_size: 2\nhotwords_score: .nan\n", "hotwords_score"),
        ("options of a search that is greedy", "transducer_conf: {search_type: maes}\n", "transducer_conf"),
        ("an unknown search", "beam_size: 2\ntransducer_conf: {search_type: luck}\n", "transducer_conf.search_type"),
        ("an unknown option of a search", "beam_size: 2\ntransducer_conf: {luck: 1}\n", "transducer_conf.luck"),
        ("a language model of 3", "beam_size: 2\nlm_file: 3\n", "lm_file"),
    )
]
REFUSED += [
    case("decode.yaml", "not there", CONFIGURED, "decode.yaml", make=gone("decode.yaml")),
    case("decode.yaml", "a folder", CONFIGURED, "decode.yaml", "is a folder", make=folder("decode.yaml")),
    case("decode.yaml", "no YAML", CONFIGURED, "decode.yaml", "line", make=text("decode.yaml", "a: [\n")),
    case(
        "decode.yaml",
        "a key twice",
        CONFIGURED,
        "decode.yaml",
        "beam_size",
        make=text("decode.yaml", "beam_size: 2\nbeam_size: 3\n"),
    ),
]
MODIFIED = text("decode.yaml", "beam_size: 2\ntransducer_conf: {search_type: modified}\n")
HOT = f"{CONFIGURED} --hotwords_file hotwords.txt"
REFUSED += [
    case("hotwords", "not there", HOT, "hotwords.txt", make=all_of(MODIFIED, gone("hotwords.txt"))),
    case("hotwords", "a folder", HOT, "hotwords.txt", make=all_of(MODIFIED, folder("hotwords.txt"))),
    case(
        "hotwords",
        "letters that are no tokens",
        HOT,
        "hotwords.txt",
        "line 1",
        make=all_of(MODIFIED, text("hotwords.txt", "xyz\n")),
    ),
    case(
        "hotwords",
        "a bonus that is no number",
        HOT,
        "hotwords.txt",
        "':much'",
        make=all_of(MODIFIED, text("hotwords.txt", "AB :much\n")),
    ),
    case(
        "hotwords",
        "a bonus of not-a-number",
        HOT,
        "hotwords.txt",
        "nan",
        make=all_of(MODIFIED, text("hotwords.txt", "AB :nan\n")),
    ),
    case("hotwords", "not UTF-8", HOT, "hotwords.txt", make=all_of(MODIFIED, data("hotwords.txt", b"caf\xe9\n"))),
]
REFUSED += [
    case("language model", "not there", f"{TRANSCRIBE} --beam_size 2 --lm_file lm.pth", "lm.pth", make=lambda: None),
    case(
        "language model",
        "the model itself",
        f"{TRANSCRIBE} --beam_size 2 --lm_file size/model.pth",
        "size/model.pth",
        make=lambda: None,
    ),
    case(
        "language model",
        "no n-gram",
        f"{CONFIGURED} --ngram_file lm.arpa",
        "lm.arpa",
        make=all_of(MODIFIED, text("lm.arpa", "n-gram\n")),
    ),
]

# icefall's files.
TOKENS = "icefall/tokens.txt"
REFUSED += [
    case("icefall", "tokens not there", ICEFALL, TOKENS, make=gone(TOKENS)),
    case("icefall", "tokens empty", ICEFALL, TOKENS, make=text(TOKENS, "")),
    case("icefall", "tokens without numbers", ICEFALL, TOKENS, make=text(TOKENS, "<blk>\n")),
    case("icefall", "tokens of another model", ICEFALL, "--tokens", "2", make=text(TOKENS, "<blk> 0\n<unk> 1\n")),
    case("icefall", "tokens without blank", ICEFALL, TOKENS, make=replaced(TOKENS, "<blk>", "<eps>")),
    case(
        "icefall",
        "a checkpoint without options",
        ICEFALL.replace("trained.pt", "epoch-1.pt"),
        "--icefall_checkpoint",
        "was trained without espnet_plugin.icefall",
        make=without_options,
    ),
    case(
        "icefall",
        "ESPnet's checkpoint",
        ICEFALL.replace("icefall/trained.pt", "supernet/averaged.pth"),
        "supernet/averaged.pth",
        make=lambda: None,
    ),
]

# Where outputs would be written.
REFUSED += [
    case("place", name, command, *said, make=make)
    for name, command, said, make in (
        ("a folder for a file", "average --dir supernet --out data", ("data", "is a folder"), lambda: None),
        (
            "a file for a folder",
            "extract " + SUPERNET + " --subnet min --out plan.yaml",
            ("plan.yaml", "is a file"),
            lambda: None,
        ),
        ("beneath a file", "average --dir supernet --out plan.yaml/a.pth", ("plan.yaml", "is a file"), lambda: None),
        (
            "an epoch itself",
            "average --dir supernet --out supernet/1epoch.pth",
            ("supernet/1epoch.pth", "input"),
            lambda: None,
        ),
        (
            "an epoch through a link",
            "average --dir supernet --out link/2epoch.pth",
            ("input",),
            lambda: Path("link").symlink_to("supernet"),
        ),
        (
            "the supernet's folder",
            f"extract {SUPERNET} --subnet min --out supernet",
            ("supernet", "not replaced"),
            lambda: None,
        ),
        ("the current folder", f"extract {SUPERNET} --subnet min --out .", ("current directory",), lambda: None),
        ("the folder above", f"extract {SUPERNET} --subnet min --out ..", ("current directory",), lambda: None),
        ("the root", f"extract {SUPERNET} --subnet min --out /", ("current directory",), lambda: None),
        ("somebody's folder", f"extract {SUPERNET} --subnet min --out data", ("data", "not replaced"), lambda: None),
        (
            "somebody's folder for a kit",
            "latency --train_config supernet/config.yaml --kit data",
            ("data", "not replaced"),
            lambda: None,
        ),
        ("somebody's folder for an export", "export size --out data", ("data", "not replaced"), lambda: None),
        ("somebody's folder to unpack to", "unpack pack.zip --out data", ("data", "not replaced"), lambda: None),
        ("somebody's folder to convert to", f"convert {SUPERNET} --out data", ("data", "not replaced"), lambda: None),
        ("somebody's folder, before a search", f"{LIMITED} --extract data", ("data", "not replaced"), lambda: None),
        (
            "a pack of the pack's model",
            "pack size --out size/model.zip/x.zip",
            ("x.zip", "is a file"),
            text("size/model.zip", "x"),
        ),
        (
            "the configuration of choose",
            f"choose {SUPERNET} --data data --out supernet/config.yaml",
            ("supernet/config.yaml", "input"),
            lambda: None,
        ),
        (
            "the transcripts of choose",
            f"choose {SUPERNET} --data data --out data/text",
            ("data/text", "input"),
            lambda: None,
        ),
        (
            "sizes over the cache",
            f"choose {SUPERNET} --data data --out out.json --cache out.json",
            ("--cache", "out.json"),
            lambda: None,
        ),
        (
            "sizes over search.json",
            f"choose {SUPERNET} --data data --out out/search.json",
            ("search.json",),
            lambda: None,
        ),
        ("a size over the sizes", f"{LIMITED} --out out/s.json --extract out", ("--extract", "out"), lambda: None),
        (
            "the table over the configuration",
            "latency --train_config supernet/config.yaml --out supernet/config.yaml",
            ("input",),
            lambda: None,
        ),
        (
            "the plan over the configuration",
            "plan --config plan.yaml --utilisation 0.3 --out plan.yaml",
            ("plan.yaml", "input"),
            lambda: None,
        ),
        (
            "words over the audio",
            "transcribe size data/u0.wav data2/u0.wav --out out",
            ("out/u0.txt",),
            all_of(text("data2/u0.wav", "x")),
        ),
        ("words in a file", "transcribe size data/u0.wav --out plan.yaml", ("plan.yaml", "is a file"), lambda: None),
        ("decoding into a file", "decode --model_dir size --data data --out plan.yaml", ("plan.yaml",), lambda: None),
        ("a name that is too long", f"average --dir supernet --out {'a' * 300}.pth", ("too long",), lambda: None),
    )
]
REFUSED += [
    case("place", f"no model directory, {verb}", command, "none", make=lambda: None)
    for verb, command in {
        "transcribe": "transcribe none data/u0.wav",
        "decode": "decode --model_dir none --data data",
        "export": "export none --out out",
        "pack": "pack none --out out.zip",
    }.items()
]

ACCEPTED = [
    Case("data", name, command, said, make)
    for name, command, said, make in (
        (
            "Windows' line ends",
            DECODE,
            ("4 utterances",),
            text(SCP, "".join(f"u{i} data/u{i}.wav\r\n" for i in range(4))),
        ),
        (
            "a mark of byte order",
            DECODE,
            ("4 utterances",),
            text(SCP, "\ufeff" + "".join(f"u{i} data/u{i}.wav\n" for i in range(4))),
        ),
        (
            "tabs between columns",
            DECODE,
            ("4 utterances",),
            text(SCP, "".join(f"u{i}\tdata/u{i}.wav\n" for i in range(4))),
        ),
        ("empty lines", DECODE, ("4 utterances",), text(SCP, "\n".join(f"u{i} data/u{i}.wav\n" for i in range(4)))),
        ("ids of other scripts", DECODE, ("1 utterances",), text(SCP, "\u8a9e\u2014\u00e9 data/u0.wav\n")),
        (
            "a path with spaces",
            DECODE,
            ("1 utterances",),
            all_of(lambda: Path("data/u0.wav").replace("data/u 0.wav"), text(SCP, "u0 data/u 0.wav\n")),
        ),
        ("a command for audio", DECODE, ("1 utterances",), text(SCP, "u0 cat data/u0.wav |\n")),
        ("an id of 1,000 letters", DECODE, ("1 utterances",), text(SCP, f"{'u' * 1000} data/u0.wav\n")),
        ("segments", DECODE, ("2 utterances",), text("data/segments", "a u0 0 0.4\nb u0 0.1 -1\n")),
        ("no transcripts to decode", DECODE, ("4 utterances",), gone(TEXT)),
        ("one utterance", CHOOSE, ("max",), all_of(text(SCP, "u0 data/u0.wav\n"), text(TEXT, "u0 A BC D\n"))),
        ("an empty transcript among others", CHOOSE, ("max",), text(TEXT, "u0\nu1 AB CD\nu2 D C B A\nu3 DA BA\n")),
        (
            "a letter that is no token",
            CHOOSE,
            ("1 of 4 transcripts have letters",),
            text(TEXT, "u0 X\nu1 AB CD\nu2 D C B A\nu3 DA BA\n"),
        ),
        ("double spaces in a transcript", CHOOSE, ("max",), replaced(TEXT, "A BC D", "A  BC   D")),
    )
]
ACCEPTED += [
    Case("audio", name, command, said, make)
    for name, command, said, make in (
        ("8 kHz", TRANSCRIBE, ("8000 Hz",), wave("data/u0.wav", 0.1 * np.sin(np.arange(4000)), 8000)),
        ("44.1 kHz", TRANSCRIBE, ("u0.wav",), wave("data/u0.wav", 0.1 * np.sin(np.arange(22050)), 44100)),
        ("two channels", TRANSCRIBE, ("u0.wav",), wave("data/u0.wav", 0.1 * np.sin(np.arange(16000)).reshape(-1, 2))),
        ("beyond full scale", TRANSCRIBE, ("softer",), wave("data/u0.wav", 2 * np.sin(np.arange(8000)))),
        ("shorter than a frame", TRANSCRIBE, ("u0.wav",), wave("data/u0.wav", np.linspace(-0.1, 0.1, 40))),
        (
            "another ending",
            "transcribe size data/audio",
            ("data/audio",),
            lambda: Path("data/u0.wav").replace("data/audio"),
        ),
        ("a folder", "transcribe size data", ("data/u3.wav",), lambda: None),
    )
]
ACCEPTED += [
    Case("cache", "a torn line", f"{CHOOSE} --cache exp/search.jsonl", ("max",), truncated("exp/search.jsonl", 0.9)),
    Case(
        "cache",
        "one bad line",
        f"{CHOOSE} --cache exp/search.jsonl",
        ("1 lines hold no value",),
        added("exp/search.jsonl", NAN_LINE),
    ),
    Case("cache", "empty", f"{CHOOSE} --cache exp/search.jsonl", ("max",), data("exp/search.jsonl", b"")),
    Case(
        "search.json",
        "one point",
        PAGE,
        ("front.html",),
        json_with("exp/search.json", lambda found: found.update(points=found["points"][:1])),
    ),
    Case(
        "search.json",
        "a name like a tag",
        PAGE,
        ("front.html",),
        json_with("exp/search.json", lambda found: found.update(data=["<script>alert(1)</script>"])),
    ),
    Case(
        "model",
        "moved",
        "transcribe moved/size data/u0.wav",
        ("u0.wav",),
        lambda: (Path("moved").mkdir(), Path("size").replace("moved/size")),
    ),
    Case(
        "model", "through a link", "transcribe link data/u0.wav", ("u0.wav",), lambda: Path("link").symlink_to("size")
    ),
    Case("pack", "called twice", "unpack pack.tar.gz --out out", ("complete",), lambda: None),
]
