"""Ranges of ESPnet's and PyTorch's own options, which declare none: of a training's options, and of the classes that parts are made of.

Our classes declare theirs themselves, beside their arguments.
"""

from collections.abc import Mapping

from espnet_plugin.common.bounds import Bounds

COUNT, NOT_NEGATIVE, POSITIVE = Bounds(1), Bounds(0), Bounds(above=0)
SHARE, LIMIT = Bounds(0, 1), Bounds(above=0, infinite=True)

OPTIONS = dict(
    seed=Bounds(0, 2**32 - 1, why="NumPy takes no other"),
    ngpu=NOT_NEGATIVE,  # its upper bound is what PyTorch finds
    num_workers=Bounds(0, 1024, why="processes of one machine"),
    dist_world_size=COUNT,
    dist_rank=NOT_NEGATIVE,
    local_rank=NOT_NEGATIVE,
    dist_master_port=Bounds(0, 65_535, why="ports of TCP"),
    max_epoch=COUNT,
    patience=COUNT,
    keep_nbest_models=COUNT,
    nbest_averaging_interval=NOT_NEGATIVE,
    grad_clip=LIMIT,
    grad_clip_type=LIMIT,
    accum_grad=COUNT,
    log_interval=COUNT,
    num_att_plot=NOT_NEGATIVE,
    num_iters_per_epoch=COUNT,
    batch_size=COUNT,
    valid_batch_size=COUNT,
    batch_bins=COUNT,
    valid_batch_bins=COUNT,
    min_batch_size=COUNT,
    max_batch_size=COUNT,
    category_sample_size=COUNT,
    upsampling_factor=NOT_NEGATIVE,
    category_upsampling_factor=NOT_NEGATIVE,
    dataset_upsampling_factor=NOT_NEGATIVE,
    dataset_scaling_factor=Bounds(1),
    fold_length=COUNT,
    chunk_shift_ratio=POSITIVE,
    num_cache_chunks=COUNT,
    chunk_default_fs=COUNT,
    chunk_max_abs_length=COUNT,
    max_cache_size=NOT_NEGATIVE,
    valid_max_cache_size=NOT_NEGATIVE,
    max_cache_fd=NOT_NEGATIVE,
    speech_volume_normalize=Bounds(above=0, most=1, why="full scale"),
    rir_apply_prob=SHARE,
    noise_apply_prob=SHARE,
    short_noise_thres=SHARE,
    input_size=COUNT,
    # ours
    max_duration=Bounds(0.1, 86_400, why="a day of audio"),
    max_bad_updates=COUNT,
    stats_every=COUNT,
)


def of_specaug(mels: int) -> dict[str, Bounds]:
    """Of ESPnet's SpecAug and its subclasses. Args: mels: features a frame, which masks lie among."""
    masks = Bounds(0, 1000, why="more masks than a spectrum has places")
    return dict(
        time_warp_window=Bounds(1, 10_000, why="frames of 100 s"),
        freq_mask_width_range=Bounds(0, mels, why=f"of {mels} features a frame", ends=True, apart=True),
        num_freq_mask=masks,
        time_mask_width_range=Bounds(0, 100_000, why="frames of 1,000 s", ends=True, apart=True),
        time_mask_width_ratio_range=Bounds(0, 1, why="shares of an utterance", ends=True, apart=True),
        num_time_mask=masks,
    )


NORMALIZE = dict(eps=POSITIVE)
CTC = dict(dropout_rate=Bounds(0, below=1))
FRONTEND = dict(
    n_fft=Bounds(2, 65_536, why="samples of a window"),
    win_length=COUNT,
    hop_length=COUNT,
    n_mels=Bounds(1, 1024, why="filters that a spectrum can fill"),
    fmin=NOT_NEGATIVE,
    fmax=POSITIVE,
)
PREPROCESSOR = dict(
    fs=NOT_NEGATIVE,
    data_aug_prob=SHARE,
    data_aug_num=Bounds(0, 1000, why="effects on one utterance", ends=True),
    text_length_warning_thres=COUNT,
)
OPTIM = dict(
    lr=Bounds(above=0, most=100, why="no optimizer learns at such a rate"),
    weight_decay=NOT_NEGATIVE,
    lr_decay=NOT_NEGATIVE,
    eps=NOT_NEGATIVE,
    betas=Bounds(0, below=1),
    momentum=Bounds(0, below=1),
    dampening=SHARE,
    rho=SHARE,
    alpha=SHARE,
    lambd=NOT_NEGATIVE,
    t0=POSITIVE,
    initial_accumulator_value=NOT_NEGATIVE,
    max_iter=COUNT,
    history_size=COUNT,
    etas=POSITIVE,
    step_sizes=POSITIVE,
)
SCHEDULER = dict(
    warmup_steps=NOT_NEGATIVE,
    model_size=COUNT,
    steps_per_epoch=COUNT,
    epochs=COUNT,
    first_cycle_steps=COUNT,
    max_steps=COUNT,
    step_size_up=COUNT,
    step_size_down=COUNT,
    min_lr=NOT_NEGATIVE,
    eta_min=NOT_NEGATIVE,
    cooldown=NOT_NEGATIVE,
    threshold=NOT_NEGATIVE,
    pct_start=SHARE,
    warmup_ratio=SHARE,
    hold_ratio=SHARE,
    decay_ratio=SHARE,
    step_size=COUNT,
    milestones=COUNT,
    gamma=Bounds(above=0, most=1, why="the rate falls"),
    T_max=COUNT,
    T_0=COUNT,
    max_lr=POSITIVE,
    base_lr=POSITIVE,
    total_steps=COUNT,
    patience=NOT_NEGATIVE,
    factor=Bounds(above=0, below=1),
)


def of_part(part: str, mels: int) -> Mapping[str, Bounds]:
    """Ranges of what ``<part>_conf`` gives. Args: mels: features a frame."""
    tables = dict(frontend=FRONTEND, normalize=NORMALIZE, ctc=CTC, optim=OPTIM, scheduler=SCHEDULER)
    return of_specaug(mels) if part == "specaug" else tables.get(part, {})
