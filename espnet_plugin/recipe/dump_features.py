"""Compute the features of a formatted Kaldi data directory once, so that training reads them instead of audio.

Writes feats.scp and feats.N.ark: for each utterance a float32 matrix (frames, features) as the configuration's kaldi_fbank gives it, before
normalisation and SpecAugment; 80 filters at 100 frames a second are 115 MB an hour. Beside them are utt2num_frames, text, utt2spk and
spk2utt.
"""

import argparse
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch

from espnet_plugin.audio.mono import read_mono
from espnet_plugin.common.compose import compose
from espnet_plugin.common.conf import check_keys
from espnet_plugin.common.processes import run_jobs
from espnet_plugin.common.tables import read_table, write_table
from espnet_plugin.errors import UserError, run_main
from espnet_plugin.frontend.kaldi_fbank import KaldiFbank
from espnet_plugin.recipe.kaldi_data import positive, write_folder

SHARD = 500  # utterances of an ark


@dataclass(frozen=True)
class Shard:
    """Utterances of one ark.

    Args:
        conf: options of the frontend.
        paths: utterance id -> audio.
        folder: where the ark is written; final: where that folder will be in the end.
        number: of the ark, from 1.
    """

    conf: dict
    paths: dict[str, str]
    folder: Path
    final: Path
    number: int


def frontend_conf(config: Path) -> dict:
    """``frontend_conf`` of a training configuration. Raises `UserError` for a frontend whose features are not dumped."""
    conf = compose(config)
    if conf.get("frontend") != "kaldi_fbank":
        raise UserError(
            f"frontend: '{conf.get('frontend')}' in '{config}' must be kaldi_fbank for its features to be dumped"
        )
    given = conf.get("frontend_conf") or {}
    check_keys("frontend", KaldiFbank, given)
    return given


def dump(shard: Shard) -> dict[str, tuple[str, int]]:
    """Write an ark. Returns: utterance id -> (its place as feats.scp has it, frames)."""
    from omniio import kaldi

    torch.set_num_threads(1)
    frontend = KaldiFbank(**shard.conf)
    name, frames = f"feats.{shard.number}", {}
    scp = shard.folder / f"{name}.scp"
    with kaldi.WriteHelper(f"ark,scp:{shard.folder}/{name}.ark,{scp}") as ark:
        for utterance, path in shard.paths.items():
            wave = torch.from_numpy(read_mono(path, frontend.fs))
            feats, _ = frontend(wave[None], torch.tensor([len(wave)]))
            ark[utterance] = feats[0].numpy()
            frames[utterance] = feats.shape[1]
    places = {key: place.rpartition(":")[2] for key, place in read_table(scp).items()}
    scp.unlink()
    return {key: (f"{shard.final}/{name}.ark:{places[key]}", count) for key, count in frames.items()}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--config", type=Path, required=True, help="training configuration with frontend and frontend_conf"
    )
    parser.add_argument("--data", type=Path, required=True, help="formatted Kaldi data directory")
    parser.add_argument("--out", type=Path, required=True, help="directory to write")
    parser.add_argument("--nj", type=positive, default=2, help="processes (default: 2)")
    args = parser.parse_args(argv)
    conf = frontend_conf(args.config)
    KaldiFbank(**conf)  # refuses wrong values before any process starts
    if args.data.resolve() == args.out.resolve():
        raise UserError(f"--out: '{args.out}' must be another folder than --data")
    paths = read_table(args.data / "wav.scp")
    keys = list(paths)

    def write(folder: Path) -> None:
        starts = range(0, len(keys), SHARD)
        jobs = [
            Shard(conf, {key: paths[key] for key in keys[i : i + SHARD]}, folder, args.out.absolute(), number)
            for number, i in enumerate(starts, 1)
        ]
        done = {key: found for part in run_jobs(dump, jobs, args.nj, str(args.out)) for key, found in part.items()}
        write_table(folder / "feats.scp", {key: place for key, (place, _) in done.items()})
        write_table(folder / "utt2num_frames", {key: frames for key, (_, frames) in done.items()})
        for name in ("text", "utt2spk", "spk2utt"):
            shutil.copyfile(args.data / name, folder / name)
        (folder / "feats_type").write_text("fbank\n")
        print(f"{args.out}: features of {len(done)} utterances")

    write_folder(args.out, write, made_of="feats.scp")


if __name__ == "__main__":
    run_main(main)
