"""What it costs to find that stages of the recipe are complete.

    python benchmarks/skip.py [--times 9]

Makes a small corpus in a temporary folder, runs the first three stages on it, then runs them again, many times: all is skipped. The
last line is one JSON object: `skip_cpu_seconds` and `skip_seconds`, processor time and wall time of the whole `./run.sh`, medians.
"""

import argparse
import json
import resource
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

RUN = Path(__file__).parents[1] / "egs2" / "librispeech_todm" / "run.sh"


def make_corpus(folder: Path) -> None:
    """Kaldi directories of three tones."""
    for name in ("train", "valid", "test"):
        place = folder / name
        place.mkdir(parents=True)
        for i in range(3):
            soundfile.write(place / f"{i}.wav", 0.1 * np.sin(np.arange(16000) * (i + 1) / 20), 16000)
        (place / "wav.scp").write_text("".join(f"{name}{i} {place}/{i}.wav\n" for i in range(3)))
        (place / "text").write_text("".join(f"{name}{i} LOW HIGH TONE\n" for i in range(3)))


def cpu_seconds() -> float:
    """Of all ended children."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=9, help="(default: 9)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        make_corpus(Path(work) / "kaldi")
        places = ["--data_dir", f"{work}/kaldi", "--dumpdir", f"{work}/dump", "--expdir", f"{work}/exp"]
        command = [str(RUN), "--corpus", "custom", *places, "--nbpe", "20", "--nj", "1", "--stop_stage", "3"]
        subprocess.run(command, check=True)
        wall, cpu = [], []
        for _ in range(args.times):
            began, before = time.perf_counter(), cpu_seconds()
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            wall.append(time.perf_counter() - began)
            cpu.append(cpu_seconds() - before)
            assert done.stdout.count("complete, skipped") == 5, done.stdout
    found = {"skip_cpu_seconds": statistics.median(cpu), "skip_seconds": statistics.median(wall)}
    print(json.dumps({key: round(value, 3) for key, value in found.items()}))


if __name__ == "__main__":
    main()
