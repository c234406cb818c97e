"""The held-out transducer loss of models on data directories; writes MODEL_DIR/decode/SET/loss, lines ``UTTERANCE NATS TOKENS``.

See `espnet_plugin.asr.inference.heldout`. Utterances that have no path, or no transcript, are left out and counted.
"""

import argparse
from pathlib import Path

import torch
from tqdm import tqdm

from espnet_plugin.asr.inference.data import batches
from espnet_plugin.asr.inference.heldout import HeldOutLoss, symbol_ids
from espnet_plugin.asr.inference.loading import load_model, model_dir_files
from espnet_plugin.audio.utterances import whole_recordings
from espnet_plugin.common.files import write_text
from espnet_plugin.common.processes import processes
from espnet_plugin.common.tables import read_transcripts
from espnet_plugin.common.text import normalised
from espnet_plugin.errors import UserError, run_main


def losses(model_dir: Path, data: Path) -> dict[str, tuple[float, int]]:
    """Utterance -> loss (nats) and tokens.

    Raises:
        UserError: no model, or a file that cannot be read.
    """
    trained = load_model(*model_dir_files(model_dir))
    wavs = whole_recordings(data)
    texts = normalised(read_transcripts(data / "text"), vars(trained.conf), data.name)
    texts = {key: words for key, words in texts.items() if key in wavs}
    ids, loss = symbol_ids(trained, texts), HeldOutLoss(trained)
    found: dict[str, tuple[float, int]] = {}
    for batch in batches({key: wavs[key] for key in ids}, trained.fs):
        found |= {key: (nats, len(ids[key])) for key, nats in loss(batch, ids).items()}
    return found


def write_losses(job: tuple[Path, Path]) -> str:
    """Of one model and one set. Returns: a line that says so."""
    model_dir, data = job
    torch.set_num_threads(1)
    found = losses(model_dir, data)
    out = model_dir / "decode" / data.name / "loss"
    lines = [f"{key} {nats:.4f} {tokens}\n" for key, (nats, tokens) in sorted(found.items())]
    write_text(out, "".join(lines))
    mean = sum(nats for nats, _ in found.values()) / max(1, sum(tokens for _, tokens in found.values()))
    left_out = len(read_transcripts(data / "text")) - len(found)
    return f"{out}: {mean:.4f} nats a token" + (f", {left_out} utterances left out" if left_out else "")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model_dir", type=Path, nargs="+", required=True)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="directories with wav.scp and text")
    parser.add_argument("--nj", type=int, default=1, help="processes (default: 1)")
    args = parser.parse_args(argv)
    if args.nj < 1:
        raise UserError(f"--nj: {args.nj} must be at least 1")
    jobs = [(model_dir, data) for model_dir in args.model_dir for data in args.data]
    with (
        processes(write_losses, min(args.nj, len(jobs))) as answers,
        tqdm(total=len(jobs), unit="set", desc="held-out loss", disable=None) as bar,
    ):
        for line in answers(jobs):
            tqdm.write(line)
            bar.update()


if __name__ == "__main__":
    run_main(main)
