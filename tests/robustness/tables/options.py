"""Options of the verbs but train and compose: out of range, without the one they need, or against each other."""

from cases import Case, all_of, text, yaml_with
from workspace import SUPERNET

CHOOSE = f"choose {SUPERNET} --data data"
LATENCY = "latency --train_config supernet/config.yaml"
PLAN = "plan --config plan.yaml --utilisation 0.3"
AUDIO = "data/u0.wav"


def option(name: str, command: str, *said: str, **more) -> Case:
    return Case("option", name, command, said, **more)


REFUSED = [
    option("average no epoch", "average --dir supernet --last 0 --out a.pth", "--last", "0", "at least 1"),
    option("average a word", "average --dir supernet --last all --out a.pth", "--last", "'all'"),
    option("average without an output", "average --dir supernet", "--out"),
    option("average without epochs", "average --dir size --out a.pth", "--dir", "'size'"),
    option("a ladder of one size", f"{CHOOSE} --num_sizes 1 --out s.json", "--num_sizes", "1", "from 2"),
    option(
        "a ladder of too many sizes",
        f"{CHOOSE} --num_sizes 100000 --evaluations 6 --out s.json",
        "--num_sizes",
        "100000",
    ),
    option("more sizes than subnets", f"{CHOOSE} --num_sizes 900 --out s.json", "--num_sizes", "900"),
    option("no evaluation", f"{CHOOSE} --evaluations 0 --out s.json", "--evaluations", "0"),
    option("negative evaluations", f"{CHOOSE} --evaluations -6 --out s.json", "--evaluations", "-6"),
    option("no seconds of search", f"{CHOOSE} --seconds 0 --out s.json", "--seconds", "0"),
    option("seconds of search that are no number", f"{CHOOSE} --seconds nan --out s.json", "--seconds", "nan"),
    option("no candidate", f"{CHOOSE} --num_candidates 0 --out s.json", "--num_candidates", "0"),
    option("no process", f"{CHOOSE} --nj 0 --out s.json", "--nj", "0"),
    option("a seed below 0", f"{CHOOSE} --seed -1 --out s.json", "--seed", "-1"),
    option("a ladder without an output", CHOOSE, "--out"),
    option("a limit without a number", f"{CHOOSE} --max-params many", "--max-params", "'many'"),
    option("a limit of another unit", f"{CHOOSE} --max-params 3MB", "--max-params", "'3MB'"),
    option("a limit of 0", f"{CHOOSE} --max-params 0", "--max-params", "'0'"),
    option("a negative limit", f"{CHOOSE} --max-params=-3k", "--max-params", "'-3k'"),
    option("an infinite limit", f"{CHOOSE} --max-params inf", "--max-params", "'inf'"),
    option("a huge limit", f"{CHOOSE} --max-params 1{'0' * 400}", "--max-params"),
    option("a limit that nothing is within", f"{CHOOSE} --max-params 3", "--max-params", "3"),
    option("a latency without a device", f"{CHOOSE} --max-latency 80ms", "--device"),
    option("int8 without a limit", f"{CHOOSE} --int8 --out s.json", "--int8"),
    option("threads without a device", f"{CHOOSE} --threads 2 --out s.json", "--threads", "--device"),
    option("no thread", f"{CHOOSE} --device table.json --threads 0 --max-latency 9s", "--threads", "0"),
    option(
        "threads that were not timed", f"{CHOOSE} --device table.json --threads 3 --max-latency 9s", "--threads", "3"
    ),
    option("a direction of two", f"{CHOOSE} --direction forward --out s.json", "direction", "forward"),
    option("an unknown direction", f"{CHOOSE} --direction up --out s.json", "--direction", "'up'"),
    option("an unknown search", f"{CHOOSE} --search luck --out s.json", "--search", "'luck'"),
    option("extract without a limit", f"{CHOOSE} --out s.json --extract best", "--extract"),
    option("decode without extract", f"{CHOOSE} --max-params 1M --decode data", "--decode", "--extract"),
    option(
        "decode what is not there", f"{CHOOSE} --max-params 1M --extract best --decode none", "--decode", "none/wav.scp"
    ),
    option("a ladder's option with a limit", f"{CHOOSE} --max-params 1M --num_sizes 3", "--num_sizes"),
    option("the same data twice", f"{CHOOSE} --data data --out s.json", "--data", "data"),
    option("choose without data", f"choose {SUPERNET} --out s.json", "--data"),
    option(
        "a supernet without weights", "extract --train_config supernet/config.yaml --subnet max --out a", "--model_file"
    ),
    option(
        "a supernet without configuration",
        "extract --model_file supernet/averaged.pth --subnet max --out a",
        "--train_config",
    ),
    option(
        "two supernets",
        f"extract {SUPERNET} --icefall_checkpoint icefall/epoch-1.pt --subnet max --out a",
        "--icefall_checkpoint",
    ),
    option(
        "icefall without tokens", "extract --icefall_checkpoint icefall/epoch-1.pt --subnet max --out a", "--tokens"
    ),
    option(
        "icefall's average alone",
        f"extract {SUPERNET} --icefall_average_from icefall/epoch-1.pt --subnet max --out a",
        "--icefall_average_from",
    ),
    option(
        "icefall's tokens alone", f"extract {SUPERNET} --tokens icefall/tokens.txt --subnet max --out a", "--tokens"
    ),
    option("neither subnet nor sizes", f"extract {SUPERNET} --out a", "--subnet", "--sizes"),
    option("both subnet and sizes", f"extract {SUPERNET} --subnet max --sizes exp/sizes.json --out a", "--sizes"),
    option("no seconds of audio", f"{LATENCY} --seconds 0 --out t.json", "--seconds", "0"),
    option("years of audio", f"{LATENCY} --seconds 1e9 --out t.json", "--seconds", "1000000000"),
    option("infinite audio", f"{LATENCY} --seconds inf --out t.json", "--seconds", "inf"),
    option("audio of half a frame", f"{LATENCY} --seconds 1e-4 --out t.json", "--seconds", "0.0001"),
    option("more threads than cores", f"{LATENCY} --threads 9999 --out t.json", "--threads", "9999"),
    option("latency on no thread", f"{LATENCY} --threads 0 --out t.json", "--threads", "0"),
    option("no round", f"{LATENCY} --rounds 0 --out t.json", "--rounds", "0"),
    option("a million rounds", f"{LATENCY} --rounds 1000000000 --out t.json", "--rounds", "1000000000"),
    option("no symbol a second", f"{LATENCY} --symbols_per_second 0 --out t.json", "--symbols_per_second", "0"),
    option(
        "more symbols than frames",
        f"{LATENCY} --symbols_per_second 1e9 --out t.json",
        "--symbols_per_second",
        "1000000000",
    ),
    option("no check", f"{LATENCY} --check 0 --out t.json", "--check", "0"),
    option("latency on weights without data", f"latency {SUPERNET} --out t.json", "--model_file", "--data"),
    option("latency on data without weights", f"{LATENCY} --data data --out t.json", "--model_file", "--data"),
    option("int8 of torch", f"{LATENCY} --int8 --out t.json", "--int8"),
    option("a stream of torch", f"{LATENCY} --streaming --out t.json", "--streaming"),
    option("a stream of both directions", f"{LATENCY} --streaming --kit kit", "--streaming", "bidirectional"),
    option("a table and a kit", f"{LATENCY} --out t.json --kit kit", "--kit"),
    option("threads of a kit", f"{LATENCY} --threads 2 --kit kit", "--threads", "--kit"),
    option("rounds of a kit", f"{LATENCY} --rounds 2 --kit kit", "--rounds", "--kit"),
    option("a plan of no token", f"{PLAN} --vocabulary 0", "--vocabulary", "0"),
    option("a plan of too few tokens", f"{PLAN} --vocabulary 3", "--vocabulary", "3"),
    option("a plan of 10^12 tokens", f"{PLAN} --vocabulary 1000000000000", "--vocabulary", "1000000000000"),
    option("a plan of no hour", f"{PLAN} --hours 0", "--hours", "0"),
    option("a plan of 10^308 hours", f"{PLAN} --hours 1e308", "--hours", "1e+308"),
    option("a plan of no GPU", f"{PLAN} --num_gpus 0", "--num_gpus", "0"),
    option("a plan of 10^12 GPUs", f"{PLAN} --num_gpus 1000000000000", "--num_gpus", "1000000000000"),
    option("a plan above the whole", "plan --config plan.yaml --utilisation 2", "--utilisation", "2"),
    option("a plan without speed", f"{PLAN} --speeds ''", "--speeds"),
    option("a plan of a speed of 0", f"{PLAN} --speeds '1.0 0'", "--speeds"),
    option("a plan of a speed of a million", f"{PLAN} --speeds 1e6", "--speeds"),
    option("a plan of a speed of nearly nothing", f"{PLAN} --speeds 1e-300", "--speeds"),
    option("hours beside statistics", f"{PLAN} --hours 5 --stats stats", "--hours", "--stats"),
    option("speeds beside statistics", f"{PLAN} --speeds 1.0 --stats stats", "--speeds", "--stats"),
    option("statistics that are not there", f"{PLAN} --stats none", "--stats", "none"),
    option("a plan's measure beside its share", f"{PLAN} --measured_seconds 5", "--measured_seconds", "--utilisation"),
    option("a plan's measure of a year", "plan --config plan.yaml --measured_seconds 1e9", "--measured_seconds"),
    option("a plan without batch_bins", PLAN, "batch_bins", "None", make=yaml_with("plan.yaml", batch_bins=None)),
    option("a plan of batch_bins 0", PLAN, "batch_bins", "0", make=yaml_with("plan.yaml", batch_bins=0)),
    option(
        "a plan of max_epoch 10^30",
        PLAN,
        "max_epoch",
        "1000000000000000000000000000000",
        make=yaml_with("plan.yaml", max_epoch=10**30),
    ),
    option(
        "two plans of one name",
        f"{PLAN} --individual a/x.yaml b/x.yaml",
        "--individual",
        "x",
        make=all_of(text("a/x.yaml", "base: ../plan.yaml\n"), text("b/x.yaml", "base: ../plan.yaml\n")),
    ),
    option("export of nothing", "export --out onnx", "model directories"),
    option("export of two in int8", "export size forward --int8 --out onnx", "--int8"),
    option("export of a subnet of a size", "export size --subnet max --out onnx", "--subnet"),
    option("export of a stream of both directions", "export size --streaming --out onnx", "forward"),
    option("export to an unknown format", "export size --format wav --out onnx", "--format", "'wav'"),
    option("export of one size twice", "export size size --out onnx", "rename"),
    option("export of a supernet", "export supernet --out onnx", "supernet"),
    option("convert of nothing", "convert --out a", "--icefall_checkpoint"),
    option(
        "convert of both",
        f"convert {SUPERNET} --icefall_checkpoint icefall/trained.pt --tokens icefall/tokens.txt --out a",
        "--icefall_checkpoint",
    ),
    option(
        "convert with a tokenizer of icefall's",
        f"convert {SUPERNET} --bpemodel supernet/bpe.model --out a",
        "--bpemodel",
    ),
    option("pack to an unknown suffix", "pack size --out size.rar", "--out", "size.rar"),
    option("decode in no process", "decode --model_dir size --data data --nj 0", "--nj", "0"),
    option("decode as a stream of both directions", "decode --model_dir size --data data --streaming true", "forward"),
    option(
        "decode a stream by beam",
        "decode --model_dir size --data data --streaming true --beam_size 4",
        "beam_size",
        "4",
    ),
    option("decode the same set twice", "decode --model_dir size --data data data", "data"),
    option("decode two models to one place", "decode --model_dir size size --data data --out o", "o/data"),
    option("more answers than hypotheses", f"transcribe size {AUDIO} --nbest 2 --format json", "nbest", "2"),
    option("answers as text", f"transcribe size {AUDIO} --nbest 2 --beam_size 4", "--nbest", "2"),
    option("no hypothesis", f"transcribe size {AUDIO} --beam_size 0", "beam_size", "0"),
    option("a million hypotheses", f"transcribe size {AUDIO} --beam_size 1000000", "beam_size", "1000000"),
    option(
        "hotwords of greedy search",
        f"transcribe size {AUDIO} --hotwords_file hotwords.txt",
        "hotwords_file",
        "beam_size",
    ),
    option(
        "a score without hotwords",
        f"transcribe size {AUDIO} --beam_size 2 --hotwords_score 3",
        "hotwords_score",
        "hotwords_file",
    ),
    option(
        "a weight without a model", f"transcribe size {AUDIO} --beam_size 2 --lm_weight 0.5", "lm_weight", "lm_file"
    ),
    option(
        "a weight without an n-gram",
        f"transcribe size {AUDIO} --beam_size 2 --ngram_weight 0.5",
        "ngram_weight",
        "ngram_file",
    ),
    option(
        "a negative weight", f"transcribe size {AUDIO} --beam_size 2 --lm_file a.pth --lm_weight -1", "lm_weight", "-1"
    ),
    option("no window", f"transcribe size {AUDIO} --window 0", "window", "0"),
    option("a window of a year", f"transcribe size {AUDIO} --window 3e7", "window", "30000000"),
    option("no batch", f"transcribe size {AUDIO} --batch_seconds 0", "--batch_seconds", "0"),
    option("a batch of nan", f"transcribe size {AUDIO} --batch_seconds nan", "--batch_seconds", "nan"),
    option("subtitles of two files at once", "transcribe size data/u0.wav data/u1.wav --format srt", "--format srt"),
    option("transcribe without audio", "transcribe size", "audio"),
    option("a subnet of one size", f"transcribe size {AUDIO} --subnet max", "size", "one fixed size"),
    option("page without a folder", "page", "--expdir"),
    option("an option that is none", "page --expdir exp --colour red", "--colour"),
]

SUBNETS = {
    "nothing": "''",
    "a word": "large",
    "a direction there is no choice of": "max_forward",
    "a layer too many": "0-3x16h4",
    "another width": "0-2x5h4",
    "another number of heads": "0-2x16h3",
    "other layers": "1-2x16h4",
    "layers backwards": "2-0x16h4",
    "a million layers": "0-999999x16h4",
    "a dimension that is not there": "0-2x16h4_d4",
    "Arabic digits": "0-2x\u0661\u0666h4",
    "a comma": "0,1,2x16h4",
    "a number beyond all": f"0-2x{'9' * 400}h4",
}
REFUSED += [
    Case("subnet", name, f"extract {SUPERNET} --subnet {form} --out a", ("subnet", form.strip("'")[:20]))
    for name, form in SUBNETS.items()
]
REFUSED += [
    Case(
        "subnet",
        "of icefall's checkpoint",
        "export --icefall_checkpoint icefall/trained.pt --tokens icefall/tokens.txt --subnet large --out a",
        ("large",),
    ),
    Case("subnet", "of transcribe", f"transcribe supernet {AUDIO} --subnet large", ("large",)),
]

ACCEPTED = [
    option("more epochs than there are", "average --dir supernet --last 99 --out a.pth", "epochs 1, 2"),
    option(
        "a limit above the largest",
        f"{CHOOSE} --max-params 999G --evaluations 4 --num_candidates 1",
        "the max net itself is within the limits",
    ),
    option(
        "a limit with a space", f"{CHOOSE} --max-params '2 M' --evaluations 4 --num_candidates 1", "best subnet within"
    ),
    option(
        "a search of one evaluation", f"{CHOOSE} --num_sizes 2 --evaluations 1 --num_candidates 1 --out s.json", "max"
    ),
    option(
        "more evaluations than subnets",
        f"{CHOOSE} --num_sizes 2 --evaluations 100000 --search grid --num_candidates 1 --out s.json",
        "decoded",
    ),
    option(
        "a search of no time",
        f"{CHOOSE} --num_sizes 2 --seconds 1e-9 --evaluations 6 --num_candidates 1 --out s.json",
        "max",
    ),
    option("a subnet named max", f"extract {SUPERNET} --subnet max --out a", "100%"),
    option("a subnet by a full text", f"extract {SUPERNET} --subnet 0-2x16h4_d8_p8_j8 --out a", "100%"),
    option(
        "a model of both directions by name",
        "extract --train_config forward/config.yaml --model_file forward/averaged.pth --subnet max_forward --out a",
        "forward",
    ),
    option("one file twice", "transcribe size data/u0.wav data/u0.wav", "data/u0.wav"),
    option("a window longer than the audio", f"transcribe size {AUDIO} --window 60", "u0.wav"),
    option("an output of an hour's depth", "average --dir supernet --out a/b/c/d/e.pth", "a/b/c/d/e.pth"),
]
ACCEPTED += [
    option(
        "an output with a space and an accent",
        f"extract {SUPERNET} --subnet min --out 'gr\u00f6\u00dfe eins'",
        "gr\u00f6\u00dfe eins",
    ),
    option("an output that was made before", f"extract {SUPERNET} --subnet max --out size", "100%"),
    option("a table of several threads", f"{LATENCY} --threads 1 1 --rounds 1 --out t.json", "1 threads"),
]
