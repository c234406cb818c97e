"""Options of run.sh and tables.sh, and configurations that `compose` merges."""

from pathlib import Path

from cases import Case, Change, all_of, folder, text

RUN, TABLES = "recipe.run run.sh", "recipe.experiments tables.sh"
COMMANDS = "--expdir e --dumpdir d"


def corpora() -> None:
    """The recipe's folder, as far as options need it."""
    Path("local").symlink_to(Path(__file__).parents[3] / "local")
    Path("conf").symlink_to(Path(__file__).parents[3] / "conf")


def run_sh(words: str, *said: str, name: str = "") -> Case:
    return Case("option of run.sh", name or words, f"{RUN} {COMMANDS} {words}", said, corpora)


def tables_sh(words: str, *said: str) -> Case:
    return Case("option of tables.sh", words, f"{TABLES} {words}", said, corpora)


def compose(name: str, words: str, make: Change, *said: str) -> Case:
    return Case("compose", name, f"compose {words}", said, make)


PAIR = all_of(text("a.yaml", "base: b.yaml\nseed: 2\n"), text("b.yaml", "seed: 1\nmax_epoch: 3\n"))

REFUSED = [
    run_sh("--stage two", "--stage 'two'", "from 1 to 12"),
    run_sh("--stage 0", "--stage '0'", "from 1 to 12"),
    run_sh("--stage 13", "--stage '13'", "from 1 to 12"),
    run_sh("--stop_stage 99", "--stop_stage '99'"),
    run_sh("--stage 5 --stop_stage 4", "--stage '5'", "--stop_stage '4'"),
    run_sh("--stage 5 --ngpu 9", "--ngpu '9'", "GPUs"),
    run_sh("--ngpu 1000", "--ngpu '1000'", "from 0 to 64"),
    run_sh("--ngpu -1", "--ngpu '-1'"),
    run_sh("--nj 0", "--nj '0'"),
    run_sh("--nj 1000000", "--nj '1000000'", "from 1 to 1,024"),
    run_sh("--nj 2.5", "--nj '2.5'"),
    run_sh("--nj ''", "--nj ''"),
    run_sh("--num_nodes 0", "--num_nodes '0'"),
    run_sh("--num_nodes 3", "--num_nodes '3'", "slurm"),
    run_sh("--nbpe 0", "--nbpe '0'"),
    run_sh("--nbpe 1000000000000", "--nbpe", "100,000"),
    run_sh("--average 0", "--average '0'"),
    run_sh("--average many", "--average 'many'"),
    run_sh("--num_sizes 1", "--num_sizes '1'", "from 2 to 1,000"),
    run_sh("--num_sizes 100000", "--num_sizes '100000'"),
    run_sh("--num_candidates 0", "--num_candidates '0'"),
    run_sh("--speed_perturb_factors fast", "--speed_perturb_factors: 'fast'"),
    run_sh("--speed_perturb_factors '0.9 3'", "--speed_perturb_factors: '3'", "0.5 to 2.0"),
    run_sh("--speed_perturb_factors '1.0 1.0'", "'1.0' twice"),
    run_sh("--sizes '6x512 6x512'", "'6x512' twice"),
    run_sh("--sizes 600x512", "600"),
    run_sh("--sizes big", "big"),
    run_sh("--test_sets 'test test'", "'test' twice"),
    run_sh("--test_sets ../../data", "'../../data'", "not a path"),
    run_sh("--train_set a/b", "'a/b'", "not a path"),
    run_sh("--corpus none", "--corpus 'none'", "mini"),
    run_sh("--data_dir d", "--data_dir 'd'", "custom"),
    run_sh("--feats_type mfcc", "--feats_type 'mfcc'", "fbank"),
    run_sh("--streaming yes", "--streaming 'yes'", "true or false"),
    run_sh("--metric ter", "--metric 'ter'", "wer"),
    run_sh("--text_case title", "--text_case 'title'", "upper"),
    run_sh("--symbols '<unk>'", "<unk>"),
    run_sh("--asr_config none.yaml", "'none.yaml' does not exist"),
    run_sh("--asr_config data", "'data'"),
    run_sh("--inference_config none.yaml", "'none.yaml' does not exist"),
    run_sh("--init_from none", "--init_from: 'none'"),
    run_sh("--extend_tokens true", "--extend_tokens", "--init_from"),
    run_sh("--train_args '\"x'", "--train_args", "quote"),
    run_sh("--stages 3", "'--stages' is unknown"),
    run_sh("stage 3", "'stage' is not an option"),
    run_sh("--nj", "'--nj' needs a value"),
    tables_sh("--seeds '0 0'", "'0' twice"),
    tables_sh("--seeds ''", "--seeds ''"),
    tables_sh("--seeds one", "--seeds: 'one'"),
    tables_sh("--seeds -1", "--seeds: '-1'"),
    tables_sh("--seeds '0 00'", "--seeds: '00'"),
    tables_sh("--sizes '3x64 3x64'", "'3x64' twice"),
    tables_sh("--sizes 3x63", "3x63.yaml' does not exist"),
    tables_sh("--ablation none", "none.yaml' does not exist"),
    tables_sh("--ablation 'kl kl'", "'kl' twice"),
    tables_sh("--test_sets ''", "--test_sets ''"),
    tables_sh("--supernet_args '--max_epoch 14'", "--supernet_args: lines of the ablation"),
    tables_sh("--scale huge", "--scale 'huge'"),
    tables_sh("--only_tables true --root data", "--root: 'data'", "none of tables.sh"),
    tables_sh("--only_tables true --root none", "--root: 'none' does not exist"),
    tables_sh("-- --expdir e", "'--expdir'"),
    tables_sh("-- --train_args x", "'--train_args'"),
    tables_sh("-- --stop_stage 3", "'--stop_stage'"),
    compose("its own input", "--config a.yaml --out a.yaml", PAIR, "a.yaml", "is not replaced"),
    compose("its own base", "--config a.yaml --out b.yaml", PAIR, "b.yaml", "is not replaced"),
    compose("onto a folder", "--config a.yaml --out data", PAIR, "data", "is a folder"),
    compose("a missing file", "--config none.yaml", PAIR, "none.yaml"),
    compose("a folder", "--config data", PAIR, "'data' is a folder"),
    compose("a missing base", "--config a.yaml", text("a.yaml", "base: none.yaml\n"), "a.yaml", "none.yaml"),
    compose("a circle", "--config a.yaml", text("a.yaml", "base: a.yaml\n"), "a.yaml", "base"),
    compose(
        "a key twice in a base",
        "--config a.yaml",
        all_of(PAIR, text("b.yaml", "seed: 1\nseed: 2\n")),
        "b.yaml",
        "line 2",
        "'seed' stands twice",
    ),
    compose(
        "a base that is a folder",
        "--config a.yaml",
        all_of(text("a.yaml", "base: b.yaml\n"), folder("b.yaml")),
        "b.yaml",
    ),
]

ACCEPTED = [
    Case("compose", "to standard output", "compose --config a.yaml", ("seed: 2", "max_epoch: 3"), PAIR),
    Case("compose", "a new file in a new folder", "compose --config a.yaml --out new/c.yaml", (), PAIR),
    Case(
        "compose",
        "onto what it wrote before",
        "compose --config a.yaml --out c.yaml",
        (),
        all_of(PAIR, text("c.yaml", "")),
    ),
    Case("compose", "an empty file", "compose --config c.yaml", (), text("c.yaml", "")),
    Case("option of tables.sh", "several seeds", f"{TABLES} --dry_run true --seeds '0 7 12'", ("seed12",), corpora),
    Case("option of tables.sh", "no ablation", f"{TABLES} --dry_run true --ablation ''", ("./run.sh",), corpora),
    Case("option of tables.sh", "other options of run.sh", f"{TABLES} --dry_run true -- --nj 3", ("--nj 3",), corpora),
]
