#!/usr/bin/env python3
"""Measure recognition of long audio: memory of an hour, speed beside short files, errors of joined utterances, words lost at joins.

    long_audio.py --model_dir exp/mini/sizes/max --data dump/mini/raw/test-clean

Utterances of the data are joined with pauses of 0.3 to 1 s: all, over and over, to an hour; and five at a time. The last line is a JSON
object. `gb_one_hour`: peak memory of all processes of `transcribe` and of `decode` on the hour, the larger one, 10^9 bytes.
`rtf_over_short`: real-time factor of the hour over that of the short files, in one process on one thread. `joined5_over_single_wer`: word
error rate of five joined over that of one. `words_lost_at_joins`: words that are lost or doubled within a second of a cut between windows,
on a file joined of utterances that are recognised without error alone; `words_lost_at_overlaps`: the same where pauses are not looked for,
so that all windows overlap.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
import torch
from kaldialign import align
from measure import measure

from espnet_plugin.asr.inference.loading import load_model, model_dir_files
from espnet_plugin.asr.inference.longform import Answer, LongForm
from espnet_plugin.asr.inference.recognise import Recogniser
from espnet_plugin.audio.join import join_utterances
from espnet_plugin.audio.mono import MonoAudio, read_mono
from espnet_plugin.audio.source import Recording
from espnet_plugin.audio.windows import WindowConf
from espnet_plugin.common.tables import read_table, read_transcripts
from espnet_plugin.common.word_errors import count, units
from espnet_plugin.errors import UserError, run_main

PAUSES = (0.3, 1.0)  # s
NEAR = 1.0  # s around a cut


def recognised(form: LongForm, files: dict[str, Path]) -> tuple[dict[str, Answer], float]:
    """Answers to files, and seconds of computing a second of audio."""

    def audio():
        for key, path in files.items():
            with Recording(str(path)) as recording:
                yield key, MonoAudio(recording, form.fs)

    began = time.perf_counter()
    found = dict(form(audio()))
    taken = time.perf_counter() - began
    if bad := next((answer for answer in found.values() if isinstance(answer, UserError)), None):
        raise bad
    return found, taken / sum(answer.seconds for answer in found.values())


def write_joined(out: Path, waves: list[np.ndarray], fs: int, seed: int) -> list[float]:
    """Join utterances to a file. Returns: where each begins, s."""
    rng = np.random.default_rng(seed)
    wave, begins = join_utterances(waves, fs, rng.uniform(*PAUSES, len(waves) - 1).tolist(), rng)
    soundfile.write(out, np.clip(wave, -1, 1), fs, subtype="PCM_16")
    return begins


def lost_at_cuts(expected: list[tuple[str, float]], answer: Answer) -> int:
    """Words that are lost or doubled within `NEAR` s of a cut. Args: expected: words and when they are said (s)."""
    said, begins = [word for word, _ in expected], [start for _, start in expected]
    found = [word.text for word in answer.best[0].words]
    i = j = lost = 0
    for left, right in align(said, found, "*"):
        if left == "*" or right == "*":
            when = answer.best[0].words[j].start if left == "*" else begins[i]
            lost += any(abs(when - cut) < NEAR for cut in answer.cuts)
        i, j = i + (left != "*"), j + (right != "*")
    return lost


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model_dir", type=Path, required=True, help="extracted size")
    parser.add_argument("--data", type=Path, required=True, help="formatted directory with wav.scp and text")
    parser.add_argument("--utterances", type=int, default=250, help="first ones of the data (250)")
    parser.add_argument("--hours", type=float, default=1.0, help="length of the long file (1)")
    parser.add_argument("--window", type=float, default=WindowConf.longest, help="s of a window at most")
    args = parser.parse_args()
    torch.set_num_threads(1)
    text = read_transcripts(args.data / "text")
    wavs = {key: Path(path) for key, path in list(read_table(args.data / "wav.scp").items())[: args.utterances]}
    trained = load_model(*model_dir_files(args.model_dir))
    recogniser, fs = Recogniser(trained), trained.fs
    form = LongForm(recogniser, WindowConf.of(args.window))
    waves = {key: read_mono(path, fs) for key, path in wavs.items()}
    alone, short = recognised(form, wavs)
    figures = {}
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        # Five at a time.
        fives = {f"j{i}": list(wavs)[i : i + 5] for i in range(0, len(wavs) - 4, 5)}
        files = {name: work / f"{name}.wav" for name in fives}
        for seed, (name, keys) in enumerate(fives.items()):
            write_joined(files[name], [waves[key] for key in keys], fs, seed)
        joined, _ = recognised(form, files)
        used = [key for keys in fives.values() for key in keys]
        single = count((units(text[key]), units(alone[key].best[0].text)) for key in used).rate
        five = count(
            (units(" ".join(text[key] for key in keys)), units(joined[name].best[0].text))
            for name, keys in fives.items()
        ).rate
        figures |= {"wer_single": round(single, 2), "wer_joined5": round(five, 2)}
        # Words at cuts, where all words are known.
        right = [key for key in wavs if alone[key].best[0].text.split() == text[key].split()]
        begins = write_joined(work / "right.wav", [waves[key] for key in right], fs, 0)
        expected = [
            (word.text, begin + word.start) for key, begin in zip(right, begins) for word in alone[key].best[0].words
        ]
        unlooked = WindowConf(args.window, args.window, min(WindowConf.margin, args.window / 4))
        for name, conf in (("joins", form.conf), ("overlaps", unlooked)):
            answers, _ = recognised(LongForm(recogniser, conf), {"right": work / "right.wav"})
            figures |= {f"words_lost_at_{name}": lost_at_cuts(expected, answers["right"])}
            figures |= {f"{name}": len(answers["right"].cuts), f"words_{name}": len(expected)}
        # An hour.
        each = sum(map(len, waves.values())) / fs + len(waves) * sum(PAUSES) / 2
        times = max(1, round(3600 * args.hours / each))
        write_joined(work / "long.flac", list(waves.values()) * times, fs, 0)
        _, long = recognised(form, {"long": work / "long.flac"})
        (work / "set").mkdir()
        (work / "set" / "wav.scp").write_text(f"long {work}/long.flac\n")
        (work / "conf.yaml").write_text(f"window_seconds: {args.window}\n")
        program = [sys.executable, "-c", "from espnet_plugin.bin.main import main; main()"]
        commands = {
            "transcribe": [
                "transcribe",
                args.model_dir,
                work / "long.flac",
                "--format",
                "srt",
                "--window",
                args.window,
            ],
            "decode": [
                "decode",
                "--model_dir",
                args.model_dir,
                "--data",
                work / "set",
                "--out",
                work,
                "--config",
                work / "conf.yaml",
            ],
        }
        for name, command in commands.items():
            with open(work / f"{name}.txt", "w") as out:
                found = measure([*program, *command], every=0.2, stdout=out)
            if found.status:
                raise UserError(f"{name} ended with status {found.status}")
            figures |= {f"gb_{name}": found.peak_gb, f"seconds_{name}": found.seconds}
        seconds = soundfile.info(work / "long.flac").duration
    figures |= {
        "seconds": round(seconds),
        "rtf_short": round(short, 5),
        "rtf_long": round(long, 5),
        "gb_one_hour": max(figures["gb_transcribe"], figures["gb_decode"]),
        "rtf_over_short": round(long / short, 3),
        "joined5_over_single_wer": round(five / single, 3),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    run_main(main)
