"""Words of an utterance while it is being spoken: feed samples, get the text so far."""

from dataclasses import asdict, dataclass

import numpy as np
import torch
from espnet2.layers.global_mvn import GlobalMVN

from espnet_plugin.asr.training.model import TODMModel
from espnet_plugin.errors import UserError
from espnet_plugin.frontend.kaldi_fbank import KaldiFbank
from espnet_plugin.frontend.streaming import StreamingFbank
from espnet_plugin.transducer.greedy import Predictor, greedy_hypotheses
from espnet_plugin.transducer.hypothesis import Hypothesis


def check_streaming(model: TODMModel) -> None:
    """Refuse a model that needs more than the past.

    Raises:
        UserError: naming the part.
    """
    model.encoder.on_stream()
    for part, value, allowed in (
        ("frontend", model.frontend, (KaldiFbank,)),
        ("normalize", model.normalize, (GlobalMVN, type(None))),
        ("preencoder", model.preencoder, (type(None),)),
    ):
        if not isinstance(value, allowed):
            names = [cls.__name__ for cls in allowed if cls is not type(None)]
            raise UserError(
                f"streaming: {part} {type(value).__name__} needs whole utterances, must be {' or '.join([*names, 'none'])}"
            )


def look_ahead_ms(model: TODMModel) -> float:
    """Audio after an encoder frame's own that the frame waits for (ms); a chunk's own duration comes on top."""
    frontend = model.frontend
    samples = (
        model.encoder.on_stream().look_ahead * frontend.shift
        + frontend.window
        - (frontend.window // 2 - frontend.shift // 2)
    )
    return 1000 * samples / frontend.fs


@dataclass(frozen=True)
class StreamLatency:
    """How long words wait for audio, beside computing and what the model itself waits for before it emits.

    Args:
        chunk_ms: audio fed at a time.
        look_ahead_ms: see `look_ahead_ms`.
    """

    chunk_ms: float
    look_ahead_ms: float

    @property
    def most_ms(self) -> float:
        """From the end of an encoder frame's own audio to the chunk that completes what it waits for, at most."""
        return self.look_ahead_ms + self.chunk_ms

    @property
    def mean_ms(self) -> float:
        """The same of a frame at a random place in its chunk."""
        return self.look_ahead_ms + self.chunk_ms / 2

    def as_dict(self) -> dict[str, float]:
        return asdict(self) | {"most_ms": self.most_ms, "mean_ms": self.mean_ms}


class StreamingRecogniser:
    """One utterance on a stream, by greedy search; its words are those of `recognise.greedy` on the whole.

    Args:
        model: of one size and forward direction, in evaluation mode.

    Raises:
        UserError: see `check_streaming`.
    """

    def __init__(self, model: TODMModel):
        check_streaming(model)
        self.model = model
        self.fbank = StreamingFbank(model.frontend)
        self.encoder = model.encoder.on_stream()
        self.state = self.encoder.start()
        model.decoder.set_device(next(model.parameters()).device)
        with torch.no_grad():
            self.predictor = Predictor(model.decoder, 1, model.blank_id)
        self.symbols: list[int] = []
        self.frames: list[int] = []  # of each symbol
        self.log_probs: list[float] = []
        self.heard, self.score = 0, 0.0  # encoder frames

    def feed(self, samples: torch.Tensor | np.ndarray) -> str:
        """Args: samples (n,) in [-1, 1] at the model's rate. Returns: the words so far."""
        self.push(torch.as_tensor(samples, dtype=torch.float32))
        return self.text

    def finish(self) -> str:
        """End of the utterance. Returns: all words."""
        self.end()
        return self.text

    @property
    def text(self) -> str:
        """The words so far."""
        return " ".join(self.model.words(self.symbols))

    @property
    def hypothesis(self) -> Hypothesis:
        """The symbols so far, with their times."""
        return Hypothesis(tuple(self.symbols), tuple(self.frames), tuple(self.log_probs), self.score)

    def push(self, samples: torch.Tensor) -> None:
        """As `feed`, without the words."""
        self.advance(self.fbank.feed(samples))

    def end(self) -> None:
        """As `finish`, without the words."""
        self.advance(self.fbank.finish())

    @torch.no_grad()
    def advance(self, feats: torch.Tensor) -> None:
        """Args: feats (S, F)."""
        model = self.model
        if len(feats):
            feats = feats.unsqueeze(0)
            if model.normalize is not None:
                feats, _ = model.normalize(feats, torch.tensor([feats.shape[1]], device=feats.device))
            encoder_out, self.state = self.encoder.advance(feats, self.state)
            length = torch.tensor([encoder_out.shape[1]], device=feats.device)
            if length > 0:
                search = (model.decoder, model.joint_network, model.blank_id, self.predictor)
                found = greedy_hypotheses(encoder_out, length, *search, silent=model.silent)[0].later(self.heard)
                self.symbols += found.tokens
                self.frames += found.frames
                self.log_probs += found.log_probs
                self.score += found.score
                self.heard += int(length)
