"""Lists of hotwords, in sherpa-onnx's format."""

from collections.abc import Callable
from pathlib import Path

import sentencepiece

from espnet_plugin.asr.inference.loading import TrainedModel, tokenizer_of
from espnet_plugin.common.files import read_text
from espnet_plugin.errors import UserError
from espnet_plugin.transducer.context_graph import ContextGraph


def splitter(trained: TrainedModel) -> Callable[[str], list[str]]:
    """What makes symbols of words: the model's sentencepiece, or characters with ESPnet's space symbol.

    Raises:
        UserError: the model has other symbols.
    """
    bpemodel = tokenizer_of(trained.conf)
    if bpemodel is not None:
        pieces = sentencepiece.SentencePieceProcessor(model_file=str(bpemodel))
        return lambda words: pieces.encode(words, out_type=str)
    if trained.conf.token_type == "char":
        return lambda words: [trained.model.sym_space if letter == " " else letter for letter in words]
    raise UserError(
        f"hotwords_file: token_type '{trained.conf.token_type}' without a bpemodel has no hotwords, must be bpe or char"
    )


def read_hotwords(path: Path, trained: TrainedModel, score: float) -> ContextGraph:
    """One phrase a line, words as in the transcripts; behind them, where wanted, a bonus a symbol as ``:2.5``.

    Args:
        score: bonus where a line has none, or 0.

    Raises:
        UserError: no such file, a bonus that is no number or stands elsewhere, letters that the model does not have.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"hotwords_file: '{path}' does not exist")
    split = splitter(trained)
    ids = {token: index for index, token in enumerate(trained.model.token_list)}
    phrases = []
    for number, line in enumerate(read_text(path).split("\n"), 1):
        words = line.split()
        bonus, where = score, f"hotwords_file: '{path}' line {number}"
        if words and words[-1].startswith(":") and len(words[-1]) > 1:
            try:
                bonus = float(words.pop()[1:])
            except ValueError:
                raise UserError(f"{where}: '{line.split()[-1]}' must be a colon and a number, as :2.5") from None
            if not abs(bonus) < 1e6:
                raise UserError(f"{where}: a bonus of {bonus} must be below a million")
        if not words:
            continue
        symbols = split(" ".join(words))
        missing = [symbol for symbol in symbols if ids.get(symbol, trained.model.blank_id) == trained.model.blank_id]
        if missing:
            raise UserError(
                f"{where}: '{' '.join(words)}' has '{missing[0]}', which is not among the model's tokens "
                "(letters as in the transcripts?)"
            )
        phrases.append(([ids[symbol] for symbol in symbols], bonus or score))
    return ContextGraph(phrases)
