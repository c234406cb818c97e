"""Trainings: keys of the YAML file, and the files that it names."""

import numpy as np
import soundfile
from cases import (
    Case,
    Change,
    all_of,
    data,
    folder,
    gone,
    replaced,
    text,
    truncated,
    yaml_with,
    yaml_without,
)
from workspace import SUPERNET

TRAIN = "train --config train.yaml --output_dir trained"
SHORT = f"{TRAIN} --dry_run true"


def key(said: str, value: object, *more: str, **others: object) -> Case:
    """A key of the YAML file with another value; what is named is the file, the key, and what is allowed."""
    path = said.replace(".", "__")
    named = ("configuration 'train.yaml': ", said, *more)
    return Case(
        "key of a training",
        f"{said} {str(value)[:60]} {others or ''}",
        TRAIN,
        named,
        yaml_with("train.yaml", **{path: value}, **others),
    )


def file(name: str, make: Change, *said: str, command: str = TRAIN) -> Case:
    return Case("file of a training", name, command, said, make)


def raw(name: str, old: str, new: str, *said: str) -> Case:
    """YAML text that is not what it should be."""
    return Case("text of a configuration", name, TRAIN, ("train.yaml", *said), replaced("train.yaml", old, new))


def statistics(**changes: object) -> Change:
    def make() -> None:
        with np.load("supernet/feats_stats.npz") as stats:
            found = dict(stats) | changes
        np.savez("supernet/feats_stats.npz", **{name: value for name, value in found.items() if value is not None})

    return make


def audio(name: str, samples: np.ndarray, rate: int = 16000, subtype: str = "FLOAT") -> Change:
    return lambda: soundfile.write(name, samples, rate, subtype=subtype)


def trained(**changes: object) -> Change:
    """A finished training, and then a configuration that differs from its own."""

    def make() -> None:
        from cases import run

        answer = run(TRAIN)
        assert answer.status == 0, answer
        yaml_with("train.yaml", **changes)()

    return make


NOISE = 0.1 * np.random.default_rng(0).standard_normal(8000)
BAD = np.where(np.arange(8000) == 4000, np.nan, NOISE)
INF = float("inf")

KEYS = [
    # what ESPnet's own options take
    key("seed", -1, "from 0 to 4,294,967,295"),
    key("seed", 2**32),
    key("seed", 1.5, "an integer"),
    key("keep_nbest_models", -2, "at least 1"),
    key("keep_nbest_models", [5, 0], "at least 1"),
    key("patience", 0, "at least 1"),
    key("patience", "much", "an integer"),
    key("max_epoch", 0),
    key("max_epoch", True, "an integer"),
    key("accum_grad", -1),
    key("grad_clip", 0, "above 0"),
    key("grad_clip", -5.0),
    key("grad_clip_type", 0),
    key("log_interval", 0),
    key("num_workers", -1),
    key("num_workers", 10**9, "from 0 to 1,024"),
    key("num_att_plot", -1),
    key("num_iters_per_epoch", 0),
    key("batch_size", 0),
    key("batch_size", "20.5", "an integer"),
    key("batch_bins", -1, batch_type="numel"),
    key("valid_batch_size", 0),
    key("nbest_averaging_interval", -1),
    key("speech_volume_normalize", -1.0),
    key("noise_apply_prob", 1.5, "from 0 to 1"),
    key("max_duration", 0.0),
    key("max_bad_updates", 0),
    key("max_cache_fd", -1),
    key("ngpu", 99, "at most"),
    key("best_model_criterion", [["valid", "wer", "min"]], "reports no wer", "wer_max"),
    key("best_model_criterion", [["valid", "acc", "max"]], "reports no acc"),
    key("best_model_criterion", [["test", "loss", "min"]], "train or valid"),
    key("best_model_criterion", [["valid", "loss", "least"]], "min or max"),
    key("best_model_criterion", [["valid", "loss"]], "min or max"),
    key("best_model_criterion", "valid"),
    key("early_stopping_criterion", ["valid", "cer", "min"], "reports no cer"),
    key("val_scheduler_criterion", ["valid", "cer"], "reports no cer"),
    key("freeze_param", "encoder", "a list"),
    key("init_param", "supernet/averaged.pth", "a list"),
    key("train_shape_file", "shapes/speech_shape", "a list"),
    key("noise_db_range", 13, "a text"),
    key("max_cache_size", {"a": 1}, "a number"),
    # SpecAugment
    key("specaug_conf.num_freq_mask", -1, "from 0 to 1,000"),
    key("specaug_conf.num_time_mask", 10**9),
    key("specaug_conf.time_warp_window", -5, specaug_conf__apply_time_warp=True),
    key("specaug_conf.freq_mask_width_range", [12, 0], "the smaller one first"),
    key("specaug_conf.freq_mask_width_range", [12, 12], "the smaller one first"),
    key("specaug_conf.freq_mask_width_range", [0, 500], "from 0 to 80"),
    key("specaug_conf.freq_mask_width_range", [0], "two numbers"),
    key("specaug_conf.freq_mask_width_range", "wide"),
    key("specaug_conf.freq_mask_width_range", [0, 41], "from 0 to 40", frontend_conf__n_mels=40),
    key("specaug_conf.time_mask_width_ratio_range", [0.0, 2.0], "from 0 to 1"),
    key("specaug_conf.time_mask_width_range", [-3, 10]),
    key("specaug_conf.width", 3, "unknown key"),
    # features
    key("frontend_conf.fs", 1, "from 2,000 to 768,000"),
    key("frontend_conf.fs", 10**9),
    key("frontend_conf.fs", "fast"),
    key("frontend_conf.n_mels", 0),
    key("frontend_conf.n_mels", 300, "bins of the spectrum", normalize=None),
    key("frontend_conf.n_mel", 80, "unknown key"),
    # encoder
    key("encoder_conf.d_model", 0),
    key("encoder_conf.d_model", 10**7, "from 1 to 65,536"),
    key("encoder_conf.d_model", 8.0, "an integer"),
    key("encoder_conf.num_layers", 10**6, "from 1 to 1,000"),
    key("encoder_conf.num_heads", -2),
    key("encoder_conf.num_modes", 0),
    key("encoder_conf.head_dim", 0),
    key("encoder_conf.dt_min", 0, "above 0"),
    key("encoder_conf.dt_min", 0.5, "dt_max"),
    key("encoder_conf.dt_max", INF),
    key("encoder_conf.dropout", 1.0, "below 1"),
    key("encoder_conf.dropout", -0.1),
    key("encoder_conf.search_space.depths", [0, 3], "positive integers"),
    key("encoder_conf.search_space.depths", [1, 2], "num_layers"),
    key("encoder_conf.search_space.depths", [3, 1], "ascending"),
    key("encoder_conf.search_space.ffn_dims", []),
    key("encoder_conf.search_space.ffn_dims", [4, 4]),
    key("encoder_conf.search_space.ffn_dims", [4, 10**8], "from 1 to 65,536"),
    key("encoder_conf.search_space.ffn_dims", "wide"),
    key("encoder_conf.search_space.drop_order", [0, 0, 1]),
    # prediction network, joiner, loss
    key("decoder_conf.embed_dim", -1),
    key("decoder_conf.context_size", 0),
    key("decoder_conf.context_size", 10**6, "from 1 to 100"),
    key("decoder_conf.blank_id", 3, "<blank>"),
    key("decoder_conf.conv_group", 3, "must divide embed_dim"),
    key("model_conf.joint_space_size", 10**7, "from 1 to 65,536"),
    key("model_conf.joint_space_size", 0),
    key("model_conf.ignore_id", 3, "at most -1"),
    key("model_conf.transducer_conf.lm_scale", -1, "from 0 to 1"),
    key("model_conf.transducer_conf.lm_scale", 0.7, "am_scale", model_conf__transducer_conf__am_scale=0.7),
    key("model_conf.transducer_conf.warmup_steps", -5, "at least 0"),
    key("model_conf.transducer_conf.prune_range", 10**9, "from 2 to 1,000"),
    key("model_conf.transducer_conf.prune_range", 1),
    key("model_conf.transducer_conf.simple_weight", -0.5),
    key("model_conf.transducer_conf.simple_weight", INF, "at least 0"),
    key("model_conf.transducer_conf.fast_emit", -1),
    key("model_conf.transducer_conf.max_lattice_mb", 0),
    key("model_conf.transducer_conf.loss", "ctc", "pruned"),
    key("model_conf.transducer_conf.rnnt_type", "strict", "modified"),
    key("model_conf.transducer_conf.rang", 5, "unknown key"),
    key("model_conf.sampling_conf.num_random", 10**9, "from 0 to 1,000"),
    key("model_conf.sampling_conf.num_random", -1),
    key("model_conf.sampling_conf.student_share", 0),
    key("model_conf.sampling_conf.student_share", 1.1),
    key("model_conf.sampling_conf.others_weight", -1),
    key("model_conf.sampling_conf.rule", "largest", "sandwich"),
    key("model_conf.distill_conf.weight", INF, "at least 0"),
    key("model_conf.distill_conf.weight", float("nan"), "a number"),
    key("model_conf.distill_conf.alpha", [1.0, -1.0], "the smaller one first"),
    key("model_conf.distill_conf.alpha", [1.0], "two numbers"),
    key("model_conf.distill_conf.clip", 0),
    key("model_conf.distill_conf.clip", None, "alpha"),
    key("model_conf.distill_conf.frame_stride", 0),
    key("model_conf.distill_conf.frame_stride", 10**6, "from 1 to 100"),
    key("model_conf.distill_conf.form", "two_way", "three_way"),
    key("model_conf.text_conf", {"case": "title"}, "upper"),
    # optimizer and schedule
    key("optim_conf.lr", 1e9, "most 1"),
    key("optim_conf.lr", 0),
    key("optim_conf.lr", "1e-3", "1.0e-3"),
    key("optim_conf.clipping_scale", -2.0),
    key("optim_conf.betas", [0.9, 1.0], "below 1"),
    key("optim_conf.betas", [0.9]),
    key("optim_conf.eps", 0),
    key("optim_conf.lr_scales", {"nothing": 0.1}, "nothing"),
    key("optim_conf.momentum", 0.9, "unknown key"),
    key("optim", "adamm", "is not one of"),
    key("scheduler_conf.lr_batches", 0),
    key("scheduler_conf.lr_epochs", -1),
    key("scheduler_conf.warmup_start", 2),
    key("scheduler_conf.warmup_batches", -1),
    key("scheduler_conf.batches_per_epoch", 0),
    key("scheduler_conf.epochs", "half", "whole"),
    key("scheduler", "edenn", "is not one of"),
    key("preprocessor_conf.data_aug_prob", 1.5, "from 0 to 1"),
    key("preprocessor_conf.data_aug_effects", [[1.0, "nois", {}]], "noise"),
    key("preprocessor_conf.data_aug_effects", [[-1.0, "noise", {}]], "above 0"),
    key("preprocessor_conf.data_aug_effects", [[1.0, "noise", {"loud": 3}]], "snr"),
    key("preprocessor_conf.aug", 1, "unknown key"),
]

TEXTS = [
    raw("a key twice", "seed: 1", "seed: 1\nseed: 2", "key 'seed' stands twice"),
    raw("a dictionary twice", "seed: 1", "seed: 1\noptim_conf: {lr: 0.1}", "key 'optim_conf' stands twice"),
    raw("a key twice within", "lr: 0.02", "lr: 0.02\n  lr: 0.03", "key 'lr' stands twice"),
    raw("nested 3,000 deep", "seed: 1", f"seed: {'[' * 3000}{']' * 3000}", "nested more than 50 deep"),
    raw("that holds itself", "seed: 1", "seed: &a [*a]", "*a"),
    raw("a huge number", "seed: 1", f"seed: {'9' * 5000}"),
    raw("a long number", "seed: 1", f"seed: {'9' * 400}", "seed", "from 0 to"),
    raw("a date that is none", "seed: 1", "seed: 2026-02-31", "is not YAML"),
    raw("a tab", "seed: 1", "seed:\n\t1", "is not YAML"),
    raw("an object of Python", "seed: 1", "seed: !!python/object/apply:os.system [ls]", "is not YAML"),
    raw("an unknown key", "seed: 1", "sed: 1", "sed"),
    raw("an old base", "seed: 1", "base: none.yaml", "none.yaml"),
    raw("a base that is a list", "seed: 1", "base: [a, b]", "must be the name of one YAML file"),
    Case("text of a configuration", "empty", TRAIN, ("--token_list: is missing",), text("train.yaml", "")),
    Case("text of a configuration", "a list", TRAIN, ("train.yaml", "key: value"), text("train.yaml", "- 1\n")),
    Case("text of a configuration", "a sentence", TRAIN, ("train.yaml", "key: value"), text("train.yaml", "good\n")),
    Case(
        "text of a configuration", "no UTF-8", TRAIN, ("train.yaml", "UTF-8"), data("train.yaml", b"seed: 1 # \xe9\n")
    ),
    Case("text of a configuration", "a folder", TRAIN, ("train.yaml", "is a folder"), folder("train.yaml")),
    Case("text of a configuration", "missing", TRAIN, ("train.yaml", "does not exist"), gone("train.yaml")),
    Case("option of a training", "no output_dir", "train --config train.yaml", ("--output_dir: is missing",)),
    Case("option of a training", "nothing", "train", ("--output_dir: is missing",)),
    Case("option of a training", "unknown", f"{TRAIN} --max_epochs 3", ("--max_epochs",)),
    Case("option of a training", "no value", f"{TRAIN} --seed", ("--seed",)),
    Case("option of a training", "no number", f"{TRAIN} --seed one", ("--seed", "one")),
    Case("option of a training", "seed", f"{TRAIN} --seed -1", ("--seed: -1",)),
    Case("option of a training", "no config", "train --config", ("--config",)),
    Case("option of a training", "optim_conf", f"{TRAIN} --optim_conf lr=-1", ("optim_conf.lr: -1",)),
    Case(
        "option of a training",
        "init_param",
        f"{TRAIN} --init_param none.pth",
        ("--init_param: 'none.pth' does not exist",),
    ),
    Case("option of a training", "data", f"{TRAIN} --train_data_path_and_name_and_type a,b", ("a,b",)),
]

FILES = [
    file(
        "statistics that are not numbers",
        statistics(sum=np.full(80, np.nan)),
        "stats_file",
        "feats_stats.npz",
        "none or infinite",
    ),
    file("statistics of no frames", statistics(count=0), "feats_stats.npz", "no frames"),
    file("statistics without sums", statistics(sum=None), "feats_stats.npz", "no statistics"),
    file(
        "statistics of other features",
        statistics(sum=np.zeros(40), sum_square=np.ones(40)),
        "feats_stats.npz",
        "40 features",
    ),
    file("statistics cut off", truncated("supernet/feats_stats.npz"), "feats_stats.npz", "damaged"),
    file("statistics empty", data("supernet/feats_stats.npz", b""), "feats_stats.npz", "damaged"),
    file("statistics a folder", folder("supernet/feats_stats.npz"), "feats_stats.npz", "is a folder"),
    file("statistics missing", gone("supernet/feats_stats.npz"), "feats_stats.npz", "does not exist"),
    file("bpe.model cut off", truncated("supernet/bpe.model"), "bpemodel", "supernet/bpe.model"),
    file("bpe.model empty", data("supernet/bpe.model", b""), "bpemodel", "supernet/bpe.model"),
    file("bpe.model missing", gone("supernet/bpe.model"), "bpemodel", "does not exist"),
    file("bpe.model a folder", folder("supernet/bpe.model"), "bpemodel", "is a folder"),
    file("bpe.model of other tokens", replaced("tokens.txt", "A", "Q"), "bpemodel", "does not go with the token list"),
    file("tokens empty", text("tokens.txt", ""), "tokens.txt", "<blank>"),
    file("tokens without <blank>", replaced("tokens.txt", "<blank>\n", ""), "tokens.txt", "no token '<blank>'"),
    file("tokens without <unk>", replaced("tokens.txt", "<unk>\n", ""), "tokens.txt", "no token '<unk>'"),
    file("a token twice", replaced("tokens.txt", "<unk>\n", "<unk>\n<unk>\n"), "tokens.txt", "'<unk>' twice"),
    file("an empty token", replaced("tokens.txt", "<unk>\n", "<unk>\n\n"), "tokens.txt", "an empty line"),
    file("tokens missing", gone("tokens.txt"), "token_list", "does not exist"),
    file("tokens a folder", folder("tokens.txt"), "token_list", "is a folder"),
    file("tokens no UTF-8", data("tokens.txt", b"<blank>\n<unk>\n\xe9\n"), "tokens.txt", "UTF-8"),
    file("tokens [] in the YAML", yaml_with("train.yaml", token_list=[]), "token_list", "<blank>"),
    file(
        "tokens with a number", yaml_with("train.yaml", token_list=["<blank>", "<unk>", 1]), "token_list", "in quotes"
    ),
    file(
        "a token twice in the YAML",
        yaml_with("train.yaml", token_list=["<blank>", "<unk>", "A", "A"]),
        "token_list",
        "'A' twice",
    ),
    file("tokens a number", yaml_with("train.yaml", token_list=5), "token_list", "a list"),
    file(
        "a shape of letters", replaced("shapes/speech_shape", "u1 ", "u1 x"), "shapes/speech_shape", "'u1'", "'x9600'"
    ),
    file("a shape of nothing", replaced("shapes/speech_shape", "u1 9600", "u1"), "shapes/speech_shape", "'u1'"),
    file("a shape below 1", replaced("shapes/speech_shape", "u1 9600", "u1 0"), "shapes/speech_shape", "'u1'"),
    file("a negative shape", replaced("shapes/speech_shape", "u1 9600", "u1 -3"), "shapes/speech_shape", "'-3'"),
    file(
        "a shape of an unknown utterance",
        replaced("shapes/speech_shape", "u1 ", "u9 "),
        "'u9' is not in 'shapes/text_shape'",
    ),
    file(
        "shapes of an unknown utterance",
        all_of(replaced("shapes/speech_shape", "u1 ", "u9 "), replaced("shapes/text_shape", "u1 ", "u9 ")),
        "'u9' is not in 'data/wav.scp'",
    ),
    file("a shape less", replaced("shapes/text_shape", "u1 4", "u0 4"), "shapes/text_shape", "'u0' stands twice"),
    file("shapes empty", text("shapes/speech_shape", ""), "shapes/speech_shape", "no utterance"),
    file("shapes missing", gone("shapes/text_shape"), "shape_file", "does not exist"),
    file("shapes a folder", folder("shapes/text_shape"), "shape_file", "is a folder"),
    file("a transcript less", replaced("data/text", "u1 ", "u8 "), "'u1' is not in 'data/text'"),
    file("audio that is not listed", replaced("data/wav.scp", "u1 ", "u8 "), "'u1' is not in 'data/wav.scp'"),
    file(
        "audio that is not there", gone("data/u2.wav"), "data/wav.scp", "'data/u2.wav' of utterance 'u2' does not exist"
    ),
    file(
        "audio that is a folder", folder("data/u2.wav"), "data/wav.scp", "'data/u2.wav' of utterance 'u2' is a folder"
    ),
    file(
        "audio without a name", replaced("data/wav.scp", "u1 data/u1.wav", "u1"), "data/wav.scp", "'u1' names no file"
    ),
    file("audio in a missing archive", replaced("data/wav.scp", "data/u1.wav", "none.ark:5"), "none.ark", "'u1'"),
    file("audio of text", text("data/u0.wav", "RIFF or not"), "data/wav.scp", "data/u0.wav", "not audio"),
    file("audio cut to nothing", data("data/u0.wav", b""), "data/u0.wav", "not audio"),
    file("audio of 8 kHz", audio("data/u1.wav", NOISE, 8000), "data/u1.wav", "8000 Hz", "fs is 16000", "1 of 4"),
    file(
        "fs of 44.1 kHz",
        yaml_with("train.yaml", frontend_conf__fs=44100),
        "data/u0.wav",
        "16000 Hz",
        "fs is 44100",
        "4 of 4",
    ),
    file("wav.scp empty", text("data/wav.scp", ""), "data/wav.scp", "no utterance"),
    file("wav.scp missing", gone("data/wav.scp"), "data/wav.scp", "does not exist"),
    file("wav.scp twice", replaced("data/wav.scp", "u1 ", "u0 "), "data/wav.scp, line 2", "'u0' stands twice"),
    file("wav.scp no UTF-8", data("data/wav.scp", b"u\xe9 a.wav\n"), "data/wav.scp", "UTF-8"),
    file("an empty line", replaced("data/text", "u1 ", "\nu1 "), "data/text", "line 2: is empty"),
    file("a byte order mark", replaced("data/text", "u0 ", "\ufeffu0 "), "data/text", "byte order mark"),
    file("a control character", replaced("data/text", "u1 ", "u\x071 "), "data/text", "U+0007"),
    file("text missing", gone("data/text"), "data/text", "does not exist"),
    file(
        "data without a type",
        yaml_with("train.yaml", train_data_path_and_name_and_type=[["data/wav.scp", "speech"]]),
        "train_data_path_and_name_and_type",
        "a type",
    ),
    file(
        "no data",
        yaml_with("train.yaml", train_data_path_and_name_and_type=[]),
        "train_data_path_and_name_and_type",
        "is missing",
    ),
    file(
        "weights of another size",
        yaml_with("train.yaml", decoder_conf__embed_dim=12),
        "--init_param",
        "supernet/averaged.pth",
        "embed",
        command=f"{TRAIN} --init_param supernet/averaged.pth",
    ),
    file(
        "weights cut off",
        truncated("supernet/averaged.pth"),
        "--init_param",
        "supernet/averaged.pth",
        command=f"{TRAIN} --init_param supernet/averaged.pth",
    ),
    file(
        "weights of text", text("w.pth", "no weights"), "--init_param", "w.pth", command=f"{TRAIN} --init_param w.pth"
    ),
    file(
        "weights of other tokens",
        yaml_with("supernet/config.yaml", token_list=["<blank>", "<unk>", "X"]),
        "--init_param",
        "another token list",
        command=f"{TRAIN} --init_param supernet/averaged.pth",
    ),
    file(
        "weights that are a folder",
        folder("w.pth"),
        "--init_param",
        "is a folder",
        command=f"{TRAIN} --init_param w.pth",
    ),
    file(
        "a part that the model lacks",
        lambda: None,
        "--init_param",
        "supernet/averaged.pth",
        command=f"{TRAIN} --init_param supernet/averaged.pth:encoder:encodr",
    ),
    file(
        "another width and --resume",
        trained(decoder_conf__embed_dim=12),
        "--resume",
        "'trained'",
        "decoder_conf.embed_dim 8, now it is 12",
        command=f"{TRAIN} --resume true",
    ),
    file(
        "another encoder and --resume",
        trained(encoder_conf__d_model=16, encoder_conf__search_space__ffn_dims=[4, 32]),
        "--resume",
        "encoder_conf.d_model 8, now it is 16",
        command=f"{TRAIN} --resume true",
    ),
    file(
        "another optimizer and --resume",
        trained(optim="adam", optim_conf={"lr": 0.1}),
        "--resume",
        "optim 'scaledadam', now it is 'adam'",
        command=f"{TRAIN} --resume true",
    ),
    file(
        "a checkpoint cut off and --resume",
        all_of(trained(), truncated("trained/checkpoint.pth")),
        "--resume",
        "is incomplete",
        command=f"{TRAIN} --resume true",
    ),
]
# Found when the file is read, in the midst of training: what was trained is kept.
LATER = [
    Case(
        "file of a training",
        "audio that is no number",
        TRAIN,
        ("'u1'", "infinite or no numbers"),
        all_of(audio("data/u1.wav", BAD), yaml_with("train.yaml", max_bad_updates=1)),
        leaves=("trained*", "*/trained*", "trained/*", "trained/*/*"),
    ),
]

EXTRACT = f"extract {SUPERNET} --subnet min --out cut"
# What training has stored, when it is used.
STORED = [
    Case(
        "stored training",
        "without frontend",
        EXTRACT,
        ("supernet/config.yaml", "'frontend' is missing"),
        yaml_without("supernet/config.yaml", "frontend"),
    ),
    Case(
        "stored training",
        "statistics cut off",
        EXTRACT,
        ("feats_stats.npz", "damaged"),
        truncated("supernet/feats_stats.npz"),
    ),
    Case(
        "stored training",
        "a key twice",
        EXTRACT,
        ("supernet/config.yaml", "'model' stands twice"),
        replaced("supernet/config.yaml", "model: todm", "model: todm\nmodel: espnet"),
    ),
    Case(
        "stored training",
        "an impossible width",
        EXTRACT,
        ("encoder_conf.d_model: -8",),
        yaml_with("supernet/config.yaml", encoder_conf__d_model=-8),
    ),
]

REFUSED = [*KEYS, *TEXTS, *FILES, *LATER, *STORED]


def taken(name: str, make: Change = lambda: None, *said: str, command: str = SHORT) -> Case:
    return Case("unusual training", name, command, said, make)


ACCEPTED = [
    taken("a whole training", command=TRAIN),
    taken("a training that goes on", trained(max_epoch=2), command=f"{TRAIN} --resume true"),
    taken(
        "another rate and dropout when it goes on",
        trained(max_epoch=2, optim_conf__lr=0.01, encoder_conf__dropout=0.2),
        command=f"{TRAIN} --resume true",
    ),
    taken("infinity as no limit of gradients", yaml_with("train.yaml", grad_clip=INF)),
    taken(
        "one utterance",
        all_of(*(text(f"shapes/{name}_shape", f"u1 {n}\n") for name, n in (("speech", 9600), ("text", 4)))),
        command=TRAIN,
    ),
    taken("no normalisation", yaml_with("train.yaml", normalize=None, normalize_conf={})),
    taken("one size", yaml_with("train.yaml", encoder_conf__search_space={"depths": [3], "ffn_dims": [16]})),
    taken("no masks", yaml_with("train.yaml", specaug_conf__num_freq_mask=0)),
    taken("masks of all bins", yaml_with("train.yaml", specaug_conf__freq_mask_width_range=[0, 80])),
    taken("no specaug", yaml_with("train.yaml", specaug=None)),
    taken("40 features", yaml_with("train.yaml", frontend_conf__n_mels=40, normalize=None, normalize_conf={})),
    taken("a rate in words", yaml_with("train.yaml", frontend_conf__fs="16k")),
    taken("integers where numbers are meant", yaml_with("train.yaml", optim_conf__lr=1, grad_clip=5)),
    taken("a criterion of one size", yaml_with("train.yaml", best_model_criterion=[["valid", "wer_max", "min"]])),
    taken("criteria of ESPnet's own", yaml_without("train.yaml", "best_model_criterion")),
    taken("no patience given", yaml_with("train.yaml", patience=None)),
    taken("the most models kept", yaml_with("train.yaml", keep_nbest_models=[1, 5, 1000])),
    taken(
        "adam with warmuplr",
        yaml_with(
            "train.yaml",
            optim="adam",
            optim_conf={"lr": 0.001},
            scheduler="warmuplr",
            scheduler_conf={"warmup_steps": 10},
        ),
    ),
    taken(
        "tokens in the YAML",
        yaml_with("train.yaml", token_type="char", bpemodel=None, token_list=["<blank>", "<unk>", "A", "<sos/eos>"]),
    ),
    taken("no random subnet", yaml_with("train.yaml", model_conf__sampling_conf__num_random=0)),
    taken("more random subnets than there are", yaml_with("train.yaml", model_conf__sampling_conf__num_random=100)),
    taken("one alpha", yaml_with("train.yaml", model_conf__distill_conf__alpha=0.5)),
    taken("no distillation", yaml_with("train.yaml", model_conf__distill_conf__weight=0)),
    taken(
        "effects on audio",
        yaml_with(
            "train.yaml",
            preprocessor_conf={
                "fs": 16000,
                "data_aug_prob": 0.5,
                "data_aug_effects": [[1.0, "noise", {"snr": [5, 30]}]],
            },
        ),
    ),
    taken("anchors", replaced("train.yaml", "seed: 1", "seed: &one 1\naccum_grad: *one")),
    taken("ends of lines of Windows", replaced("data/wav.scp", "\n", "\r\n"), command=TRAIN),
    taken("words in other scripts", text("data/text", "u0 ΑΒΓ\nu1 день\nu2 日本\nu3 a\u0301\n")),
    taken("more data than shapes", text("data/text", "".join(f"u{i} A\n" for i in range(9)))),
    taken("weights to begin with", command=f"{TRAIN} --init_param supernet/averaged.pth"),
    taken("a part of weights", command=f"{TRAIN} --init_param supernet/averaged.pth:encoder:encoder"),
    taken(
        "a configuration with a base",
        all_of(text("child.yaml", "base: train.yaml\nmax_epoch: 2\n")),
        command="train --config child.yaml --output_dir trained --dry_run true",
    ),
    taken("lengths and statistics", command=f"{TRAIN} --collect_stats true"),
    taken(
        "lengths and statistics of a configuration with a base",
        all_of(text("child.yaml", "base: train.yaml\n")),
        command="train --config child.yaml --output_dir trained --collect_stats true",
    ),
    taken("options printed", command="train --print_config"),
    taken("a folder with spaces", command="train --config train.yaml --output_dir 'a b' --dry_run true"),
]
