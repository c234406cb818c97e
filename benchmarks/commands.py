#!/usr/bin/env python3
"""Measure what a developer waits for: `espnet-todm --help` (median of several) and, with --tests, the whole test suite.

The last line is a JSON object.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

from measure import measure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tests", action="store_true", help="run the test suite too")
    parser.add_argument("--repeats", type=int, default=7)
    args = parser.parse_args()
    program = Path(sys.executable).with_name("espnet-todm")
    times = [
        measure([program, "--help"], every=0.01, stdout=subprocess.DEVNULL).seconds for _ in range(args.repeats + 1)
    ]
    figures = {"help_seconds": statistics.median(times[1:])}  # the first one warms the file cache
    if args.tests:
        tests = measure([sys.executable, "-m", "pytest"], cwd=Path(__file__).parents[1])
        figures |= {
            "tests_minutes": round(tests.seconds / 60, 1),
            "tests_status": tests.status,
            "tests_peak_gb": tests.peak_gb,
        }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
