#!/usr/bin/env python3
"""Measure beam search: errors and time against greedy search, and whether sherpa-onnx finds the same hypotheses.

    search.py --model_dir exp/mini/sizes/* --data dump/mini/raw/test-clean --hotwords 20

The last line is a JSON object. `beam4_over_greedy_wer`: errors with a beam of 4 over those of greedy search, all sizes together, and the
size's for which it is largest. `same_as_sherpa_share`: utterances on which the client's modified_beam_search, with a beam of 4, gives the
same symbols at the same frames; the lesser of the shares with and without hotwords. `beam_rtf_over_greedy`: time of all of recognition with
a beam of 4 over that with greedy search, the median of rounds, searches alternating, of the size for which it is largest.
`confidence_auc`: how often a right word has a higher confidence than a wrong one, both drawn at random.
"""

import argparse
import json
import random
import statistics
import tempfile
import time
from pathlib import Path

import torch
from kaldialign import align

from espnet_plugin.asr.inference.data import AudioBatch, grouped
from espnet_plugin.asr.inference.loading import load_model, model_dir_files, tokenizer_of
from espnet_plugin.asr.inference.recognise import Recogniser
from espnet_plugin.asr.inference.search import SearchConf
from espnet_plugin.asr.inference.words import Recognised
from espnet_plugin.audio.mono import read_mono
from espnet_plugin.common.tables import read_table, read_transcripts
from espnet_plugin.common.word_errors import count, units
from espnet_plugin.deploy.client import ClientSearch, decode
from espnet_plugin.deploy.sherpa import export
from espnet_plugin.errors import UserError, run_main

BEAM = 4
GAP = "*"


def recognise(recogniser: Recogniser, audio: list[AudioBatch]) -> dict[str, Recognised]:
    return {key: found[0] for batch in audio for key, found in recogniser(batch).items()}


def seconds(recogniser: Recogniser, audio: list[AudioBatch]) -> float:
    """CPU time, so that other programs on the machine do not count."""
    began = time.process_time()
    recognise(recogniser, audio)
    return time.process_time() - began


def same_share(model, folder: Path, wavs: dict[str, str], found: dict[str, Recognised], search: ClientSearch) -> float:
    """Share of utterances on which the client finds the same symbols at the same frames (of 40 ms)."""
    client = decode(folder, list(wavs.values()), search=search)
    same = 0
    for key, tokens, times in zip(wavs, client.tokens, client.times):
        ours = found[key].hypothesis
        same += [model.token_list[token] for token in ours.tokens] == [t.replace(" ", "\u2581") for t in tokens] and [
            *ours.frames
        ] == [round(t / 0.04) for t in times]
    return same / len(wavs)


def auc(right: list[float], wrong: list[float]) -> float | None:
    """Chance that a right word's confidence is above a wrong one's, ties count half (Mann and Whitney's statistic)."""
    if not right or not wrong:
        return None
    return sum((r > w) + (r == w) / 2 for r in right for w in wrong) / (len(right) * len(wrong))


def judged(reference: list[str], words) -> list[tuple[bool, float]]:
    """Whether each word is right, and its confidence."""
    said, confidences = [word.text for word in words], iter([word.confidence for word in words])
    return [(ref == hyp, next(confidences)) for ref, hyp in align(reference, said, GAP) if hyp != GAP]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model_dir", type=Path, nargs="+", required=True, help="extracted sizes")
    parser.add_argument("--data", type=Path, required=True, help="directory with wav.scp and text")
    parser.add_argument("--utterances", type=int, default=250, help="first ones of the data (250)")
    parser.add_argument("--rounds", type=int, default=5, help="of timing (5)")
    parser.add_argument("--hotwords", type=int, default=20, help="words of the transcripts that are hotwords (20)")
    parser.add_argument("--hotwords_score", type=float, default=1.5, help="their bonus a symbol (1.5)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    wavs = dict(list(read_table(args.data / "wav.scp").items())[: args.utterances])
    text = read_transcripts(args.data / "text")
    words = sorted({word for key in wavs for word in text[key].split()})
    audio = list(grouped(((key, read_mono(path, 16000)) for key, path in wavs.items()), 60 * 16000))
    rows, judgements = [], []
    with tempfile.TemporaryDirectory() as temporary:
        hotwords = Path(temporary) / "hotwords.txt"
        hotwords.write_text("\n".join(random.Random(0).sample(words, min(args.hotwords, len(words)))) + "\n")
        for model_dir in args.model_dir:
            trained = load_model(*model_dir_files(model_dir))
            if not trained.model.one_symbol_a_frame:
                raise UserError(f"--model_dir: '{model_dir}' is of rnnt_type 'regular', must be 'modified'")
            greedy, beam = Recogniser(trained), Recogniser(trained, SearchConf(beam_size=BEAM))
            bias = dict(beam_size=BEAM, hotwords_score=args.hotwords_score)
            biased = Recogniser(trained, SearchConf(hotwords_file=str(hotwords), **bias))
            found = {"greedy": recognise(greedy, audio), "beam": recognise(beam, audio)}
            found["hotwords"] = recognise(biased, audio)
            errors = {
                name: count((units(text[key]), units(answers[key].text)) for key in wavs)
                for name, answers in found.items()
            }
            times = [(seconds(beam, audio), seconds(greedy, audio)) for _ in range(args.rounds)]
            export(trained.model, Path(temporary) / "size", bpemodel=tokenizer_of(trained.conf))
            row = {"size": model_dir.name} | {f"{name}_wer": round(e.rate, 3) for name, e in errors.items()}
            row |= {"errors": {name: e.edits for name, e in errors.items()}}
            row["rtf_over_greedy"] = round(statistics.median(b / g for b, g in times), 3)
            row["same"] = same_share(trained.model, Path(temporary) / "size", wavs, found["beam"], ClientSearch(BEAM))
            row["same_hotwords"] = same_share(
                trained.model,
                Path(temporary) / "size",
                wavs,
                found["hotwords"],
                ClientSearch(hotwords_file=hotwords, **bias),
            )
            judgements += [one for key in wavs for one in judged(text[key].split(), found["beam"][key].words)]
            rows.append(row)
            print(json.dumps(row), flush=True)
    total = {name: sum(row["errors"][name] for row in rows) for name in ("greedy", "beam")}
    worst = max(row["errors"]["beam"] / max(row["errors"]["greedy"], 1) for row in rows)
    figures = {"beam4_over_greedy_wer": round(total["beam"] / total["greedy"], 4), "of_the_worst_size": round(worst, 4)}
    figures["same_as_sherpa_share"] = min(min(row["same"], row["same_hotwords"]) for row in rows)
    figures["beam_rtf_over_greedy"] = max(row["rtf_over_greedy"] for row in rows)
    area = auc([c for right, c in judgements if right], [c for right, c in judgements if not right])
    figures["confidence_auc"] = None if area is None else round(area, 3)
    print(json.dumps(figures | {"utterances": len(wavs), "sizes": len(rows), "words_judged": len(judgements)}))


if __name__ == "__main__":
    run_main(main)
