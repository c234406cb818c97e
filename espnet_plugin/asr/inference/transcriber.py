"""Words of audio from Python, as verb ``transcribe`` finds them."""

from pathlib import Path

import numpy as np

from espnet_plugin.asr.inference.extract import extract, space_of
from espnet_plugin.asr.inference.loading import load_model, model_dir_files
from espnet_plugin.asr.inference.longform import Answer, LongForm
from espnet_plugin.asr.inference.recognise import Recogniser
from espnet_plugin.asr.inference.search import SearchConf
from espnet_plugin.audio.mono import MonoAudio
from espnet_plugin.audio.samples import Samples
from espnet_plugin.audio.source import Recording
from espnet_plugin.audio.windows import WindowConf
from espnet_plugin.errors import UserError


class Transcriber:
    """A model that is loaded once and hears one recording after the other.

    Args:
        model_dir: extracted size, or a supernet's training directory.
        subnet: size to use of a supernet: ``max``, ``min`` or a text form; None for the model as it is.
        window: longer audio is cut at pauses into pieces of at most that, s.
        search: how words are searched; greedy search by default.

    Raises:
        UserError: no model, no such subnet, or a search that the model cannot do.
    """

    def __init__(
        self,
        model_dir: str | Path,
        subnet: str | None = None,
        window: float = WindowConf.longest,
        search: SearchConf | None = None,
    ):
        trained = load_model(*model_dir_files(Path(model_dir)))
        if subnet is not None:
            trained = extract(trained, space_of(trained.model).resolve(subnet))
        self.trained = trained
        self.answers = LongForm(Recogniser(trained, search or SearchConf()), WindowConf.of(window))

    def __call__(self, audio: str | Path | np.ndarray, rate: float | None = None) -> Answer:
        """What was said.

        Args:
            audio: a file of any length, or samples (n,) or (n, channels): floats in [-1, 1], or int8, int16 or int32 at full scale.
            rate: of samples, Hz.

        Returns:
            the best answer is ``best[0]``, with its text and its words.

        Raises:
            UserError: the audio cannot be read or used.
        """
        if isinstance(audio, str | Path):
            with Recording(str(audio)) as recording:
                return self.heard(recording)
        if rate is None:
            raise UserError("rate: is missing, samples need their sampling rate in Hz")
        return self.heard(Samples(audio, rate))

    def heard(self, recording: Recording | Samples) -> Answer:
        _, answer = next(iter(self.answers([("audio", MonoAudio(recording, self.trained.fs))])))
        if isinstance(answer, UserError):
            raise answer
        return answer
