"""Audio that the files beside this one were made with; the same on every machine."""

from pathlib import Path

import numpy as np
import soundfile


def write_data(folder: Path) -> None:
    """A Kaldi directory of six utterances of noise, with paths relative to the folder around it."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    for i in range(6):
        soundfile.write(folder / f"u{i}.wav", 0.1 * rng.standard_normal(6000 + 2000 * i), 16000)
    (folder / "wav.scp").write_text("".join(f"u{i} {folder.name}/u{i}.wav\n" for i in range(6)))
    (folder / "text").write_text("".join(f"u{i} AB C{'A' * i}\n" for i in range(6)))
