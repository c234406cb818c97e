"""Make lhotse's cut manifest of a formatted Kaldi directory, in random order, as sampling from a stream wants it.

lhotse's own reader of Kaldi directories holds all of a set in memory and opens each audio file for its length; here the tables are read
side by side, line by line, and lengths are those that formatting has counted. Memory does not grow with the set: lines are dealt at random
to files of some thousands, which are shuffled one after the other.
"""

import argparse
import gzip
import json
import random
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

from tqdm import tqdm

from espnet_plugin.common.files import write_whole
from espnet_plugin.errors import UserError, run_main
from espnet_plugin.recipe.kaldi_data import positive

TABLES = ("wav.scp", "text", "utt2num_samples", "utt2spk")
HELD = 10_000  # lines in memory
FILES = 500  # open at a time


def rows(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Utterances with their values in `TABLES`, which formatting has written in one order.

    Raises:
        UserError: the tables name different utterances.
    """
    with ExitStack() as stack:
        files = [stack.enter_context((folder / name).open(encoding="utf-8", newline="\n")) for name in TABLES]
        for lines in zip(*files):
            keys, values = zip(*(line.removesuffix("\n").partition(" ")[::2] for line in lines))
            if len(set(keys)) > 1:
                raise UserError(f"--data: '{folder}': {', '.join(TABLES)} must have the same utterances, not {keys}")
            yield keys[0], list(values)
        if any(file.readline() for file in files):
            raise UserError(f"--data: '{folder}': {', '.join(TABLES)} must have the same utterances, one has more")


def cut_of(utterance: str, path: str, text: str, samples: int, speaker: str, fs: int) -> dict:
    """A cut of a whole file, as lhotse writes it. Args: samples: of the file; fs: Hz."""
    from lhotse import AudioSource, MonoCut, Recording, SupervisionSegment

    seconds, source = samples / fs, AudioSource(type="file", channels=[0], source=path)
    recording = Recording(utterance, [source], sampling_rate=fs, num_samples=samples, duration=seconds)
    spoken = SupervisionSegment(utterance, utterance, start=0, duration=seconds, text=text, speaker=speaker)
    return MonoCut(utterance, 0, seconds, 0, supervisions=[spoken], recording=recording).to_dict()


def shuffled(lines: Iterable[bytes], count: int, folder: Path, seed: int = 0) -> Iterator[bytes]:
    """Lines in random order, each order as likely as any other.

    Args:
        count: about how many there are.
        folder: for what is not in memory.
    """
    rng = random.Random(seed)
    number = min(1 + count // HELD, FILES)
    with ExitStack() as stack:
        files = [stack.enter_context((folder / str(i)).open("wb")) for i in range(number)]
        for line in lines:
            files[rng.randrange(number)].write(line)
    for i in range(number):
        part = (folder / str(i)).read_bytes().splitlines(keepends=True)
        rng.shuffle(part)
        yield from part


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="formatted Kaldi data directory")
    parser.add_argument("--out", type=Path, required=True, help="manifest to write, *.jsonl.gz")
    parser.add_argument("--fs", type=positive, required=True, help="sampling rate of the audio, Hz")
    args = parser.parse_args(argv)
    with (args.data / "utt2num_samples").open("rb") as table:
        count = sum(1 for _ in table)

    def lines() -> Iterator[bytes]:
        for utterance, (path, text, samples, speaker) in tqdm(rows(args.data), str(args.out), count, disable=None):
            cut = cut_of(utterance, path, text, int(samples), speaker, args.fs)
            yield json.dumps(cut, ensure_ascii=False).encode() + b"\n"

    def write(path: Path) -> None:
        with tempfile.TemporaryDirectory(dir=path.parent) as folder, gzip.open(path, "wb", compresslevel=1) as out:
            out.writelines(shuffled(lines(), count, Path(folder)))

    write_whole(args.out, write)
    print(f"{args.out}: {count} cuts in random order")


if __name__ == "__main__":
    run_main(main)
