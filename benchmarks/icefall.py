#!/usr/bin/env python3
"""What icefall's users pay before training: changed lines of train.py, and importing espnet_plugin.icefall without ESPnet.

    python benchmarks/icefall.py [--rounds 5]

The last line is one JSON object: lines of the patch in docs/icefall.md, medians of seconds (processor time and wall) of the import in
processes of their own, and how much of the processor time is torch's.
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import sys, time
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("espnet", "espnet2", "typeguard"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
wall, used = time.perf_counter(), time.process_time()
import torch
of_torch = time.process_time() - used
import espnet_plugin.icefall
print(time.process_time() - used, time.perf_counter() - wall, of_torch)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    page = (Path(__file__).parents[1] / "docs" / "icefall.md").read_text(encoding="utf-8")
    patch = re.search(r"```diff\n(.*?)```", page, re.DOTALL)[1]
    runs = [
        subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True).stdout
        for _ in range(args.rounds)
    ]
    cpu, wall, of_torch = (
        round(statistics.median(column), 2) for column in zip(*(map(float, run.split()) for run in runs))
    )
    lines = sum(bool(re.match(r"[+-](?![+-]{2})", line)) for line in patch.splitlines())
    print(
        json.dumps(
            {"icefall_changed_lines": lines, "import_cpu_s": cpu, "import_wall_s": wall, "torch_cpu_s": of_torch}
        )
    )


if __name__ == "__main__":
    main()
