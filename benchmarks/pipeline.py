#!/usr/bin/env python3
"""Measure the whole pipeline: time, memory and error rates of a recipe run from an empty folder.

    pipeline.py mini                                 the embedded corpus, what `make demo` runs
    pipeline.py digits --data_dir KALDI_DIRECTORIES  connected digits of people: train, valid, test below the folder

The last line is a JSON object.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from measure import measure

RUN = Path(__file__).parents[1] / "egs2" / "librispeech_todm" / "run.sh"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", choices=["mini", "digits"])
    parser.add_argument("--data_dir", type=Path, help="for digits")
    parser.add_argument("--work", type=Path, help="folder for the outputs (default: a temporary one)")
    args = parser.parse_args()
    work = args.work or Path(tempfile.mkdtemp(prefix="pipeline."))
    options = ["--corpus", "mini"]
    if args.corpus == "digits":
        if args.data_dir is None:
            parser.error("digits needs --data_dir")
        options = [
            "--corpus",
            "custom",
            "--data_dir",
            args.data_dir,
            "--asr_config",
            "conf/train_digits.yaml",
            "--nbpe",
            20,
        ]
    run = measure([RUN, *options, "--expdir", work / "exp", "--dumpdir", work / "dump"])
    if run.status:
        sys.exit(f"error: the recipe ended with status {run.status}")
    rows = json.loads((work / "exp" / "results.json").read_text())
    params = [row["params"] for row in rows]
    figures = {"minutes": round(run.seconds / 60, 1), "peak_gb": run.peak_gb, "sizes": len(set(params))}
    figures |= {
        "params_ratio": round(max(params) / min(params), 2),
        "train_minutes": round(rows[0]["train_seconds"] / 60, 1),
    }
    for row in rows:
        if row["name"] in ("max", "min"):
            figures[f"wer_{row['name']}_{row['test_set']}"] = row["wer"]
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
