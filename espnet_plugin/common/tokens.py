"""Token lists and sentencepiece models that belong together; text that `text.TextConf` has normalised comes back from them as it was."""

import io
import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import sentencepiece

from espnet_plugin.common.bounds import shown
from espnet_plugin.common.files import need_file, read_text
from espnet_plugin.errors import UserError

BLANK, UNKNOWN, END, SPACE = "<blank>", "<unk>", "<sos/eos>", "<space>"
OWN_SYMBOLS = ("<unk>", "<s>", "</s>")  # sentencepiece's; ESPnet has its own
TOKEN_TYPES = ("bpe", "char")


def train_bpe(sentences: Sequence[str], nbpe: int, symbols: Sequence[str] = ()) -> bytes:
    """A serialized sentencepiece model of `nbpe` pieces, or of fewer where the text does not hold so many.

    It rewrites nothing: what it decodes is what it encoded, for text with one space between words.

    Args:
        sentences: normalised texts; symbols: non-linguistic ones, a piece each.

    Raises:
        UserError: fewer pieces than the text has characters.
    """
    others = len(OWN_SYMBOLS) + len(symbols) + 1  # the space's mark
    least = len(set("".join(sentences)) - {" "}) + others
    if nbpe < least:
        raise UserError(
            f"--nbpe: {nbpe} must be at least {least}, one for each character of the text and {others} symbols; "
            "--token_type char takes the characters alone"
        )
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(sentences),
            model_writer=model,
            vocab_size=nbpe,
            model_type="unigram",
            character_coverage=1.0,
            hard_vocab_limit=False,
            input_sentence_size=10_000_000,
            max_sentence_length=max(4192, *(len(text.encode()) + 1 for text in sentences)),
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            user_defined_symbols=list(symbols),
            minloglevel=2,
        )
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[-1]
        raise UserError(f"--nbpe: {nbpe} is refused by sentencepiece: {reason}") from error
    return model.getvalue()


def extend_bpe(bpemodel: Path, characters: Sequence[str]) -> bytes:
    """A sentencepiece model with further characters as pieces, the least likely ones, so that other text is encoded as before."""
    from sentencepiece import sentencepiece_model_pb2

    model = sentencepiece_model_pb2.ModelProto.FromString(Path(bpemodel).read_bytes())
    least = min(piece.score for piece in model.pieces)
    for character in characters:
        model.pieces.add(piece=character, score=least - 1)
    model.trainer_spec.vocab_size = len(model.pieces)
    return model.SerializeToString()


def numbered_bpe(bpemodel: Path, tokens: Sequence[str]) -> bytes:
    """A sentencepiece model that encodes text as before, whose pieces have the numbers of a token list, as icefall has them.

    Args:
        tokens: its pieces in any order; others become control symbols, which no text encodes to.
    """
    from sentencepiece import sentencepiece_model_pb2 as proto

    model = proto.ModelProto.FromString(Path(bpemodel).read_bytes())
    known = {
        piece.piece: proto.ModelProto.SentencePiece.FromString(piece.SerializeToString()) for piece in model.pieces
    }
    del model.pieces[:]
    for token in tokens:
        control = proto.ModelProto.SentencePiece(piece=token, type=proto.ModelProto.SentencePiece.CONTROL)
        model.pieces.append(known.get(token, control))
    spec = model.trainer_spec
    spec.vocab_size, spec.unk_id = len(tokens), list(tokens).index(UNKNOWN)
    spec.bos_id = spec.eos_id = spec.pad_id = -1
    return model.SerializeToString()


def pieces_of(bpemodel: Path | str | bytes) -> list[str]:
    """Pieces of a sentencepiece model but its own symbols, in order.

    Raises:
        UserError: it is none.
    """
    name = "its content" if isinstance(bpemodel, bytes) else f"'{bpemodel}'"
    try:
        where = {"model_proto": bpemodel} if isinstance(bpemodel, bytes) else {"model_file": str(bpemodel)}
        model = sentencepiece.SentencePieceProcessor(**where)
    except (RuntimeError, OSError) as error:
        raise UserError(f"--bpemodel: {name} is not a model of sentencepiece") from error
    return [piece for piece in map(model.id_to_piece, range(model.get_piece_size())) if piece not in OWN_SYMBOLS]


def bpe_tokens(bpemodel: Path | bytes) -> list[str]:
    """ESPnet's token list of a sentencepiece model: <blank> first, <unk>, the pieces, <sos/eos> last. Raises: see `pieces_of`."""
    return [BLANK, UNKNOWN, *pieces_of(bpemodel), END]


def char_tokens(sentences: Iterable[str], symbols: Sequence[str] = ()) -> list[str]:
    """ESPnet's token list of characters, frequent ones first; a space is ``<space>``, a user's symbol one token."""
    counts = Counter(itertools.chain.from_iterable(sentences))
    characters = sorted(counts, key=lambda character: (-counts[character], character))
    return [BLANK, UNKNOWN, *symbols, *(SPACE if c == " " else c for c in characters), END]


def read_tokens(path: Path | str) -> list[str]:
    """A token list, one a line.

    Raises:
        UserError: no such file, not UTF-8, or see `check_tokens`.
    """
    need_file("--token_list:", path)
    tokens = [token.rstrip() for token in read_text(path).removesuffix("\n").split("\n")]
    check_tokens(f"--token_list: '{path}'", [] if tokens == [""] else tokens)
    return tokens


def check_tokens(place: str, tokens: Sequence[object]) -> None:
    """
    Args:
        place: where the list stands, for the message.

    Raises:
        UserError: no symbol beside ESPnet's own, one of these is missing, a token that is empty, no text or there twice.
    """
    for number, token in enumerate(tokens, 1):
        if not isinstance(token, str):
            raise UserError(f"{place} has {shown(token)} as token {number}, must be a text: put it in quotes")
    for token, count in Counter(map(str, tokens)).items():
        if not token or count > 1:
            raise UserError(f"{place} has {'an empty line' if not token else f'token {token!r} twice'}")
    for token in (BLANK, UNKNOWN):
        if token not in tokens:
            raise UserError(f"{place} has no token '{token}', which ESPnet's lists begin with")
    if len(tokens) < 3:
        raise UserError(f"{place} has {len(tokens)} tokens, must have at least one beside {BLANK} and {UNKNOWN}")


def check_bpemodel(tokens: Sequence[str], bpemodel: Path | str) -> None:
    """Refuse a sentencepiece model that does not go with a token list: it would encode transcripts as other symbols.

    Raises:
        UserError: a piece is no token, or a token that is no symbol in angle brackets is no piece.
    """
    known, pieces = set(tokens), set(pieces_of(bpemodel))
    extra = pieces - known
    lost = {token for token in known - pieces if not (token.startswith("<") and token.endswith(">"))}
    if extra or lost:
        found = (
            f"{len(extra)} of its pieces are no tokens and {len(lost)} tokens are no pieces, as '{min(extra or lost)}'"
        )
        raise UserError(
            f"--bpemodel: '{bpemodel}' does not go with the token list, must be the one it was made of: {found}"
        )
