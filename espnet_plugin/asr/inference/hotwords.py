"""Lists of hotwords, in sherpa-onnx's format."""

from pathlib import Path

from espnet_plugin.asr.inference.loading import TrainedModel, tokenizer_of
from espnet_plugin.common.files import need_file, read_text
from espnet_plugin.errors import UserError
from espnet_plugin.transducer.context_graph import ContextGraph


def read_hotwords(path: Path | str, trained: TrainedModel, score: float) -> ContextGraph:
    """One phrase a line; behind it, where wanted, a bonus a symbol as ``:2.5``. Phrases are written as the transcripts were.

    Args:
        score: bonus where a line has none, or 0.

    Raises:
        UserError: no such file, a bonus that is no number or stands elsewhere, letters that the model does not have.
    """
    path = need_file("hotwords_file:", Path(path))
    if trained.conf.token_type == "bpe" and tokenizer_of(trained.conf) is None:
        raise UserError("hotwords_file: needs the model's bpe.model, which the configuration does not name")
    model, normalise, split = trained.model, trained.normalise, trained.tokenizer.text2tokens
    unsaid = (model.blank_id, *model.silent)
    ids = {token: index for index, token in enumerate(model.token_list) if index not in unsaid}
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
        phrase = normalise(" ".join(words))
        symbols = split(phrase)
        missing = [symbol for symbol in symbols if symbol not in ids]
        if not symbols:
            raise UserError(f"{where}: nothing is left of '{' '.join(words)}' as the model writes texts")
        if missing:
            raise UserError(
                f"{where}: '{phrase}' has '{missing[0]}', which is not among the model's tokens "
                "(letters as in the transcripts?)"
            )
        phrases.append(([ids[symbol] for symbol in symbols], bonus or score))
    return ContextGraph(phrases)
