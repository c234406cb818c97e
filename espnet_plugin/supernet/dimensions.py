"""The dimensions in which subnets differ, beside their depth: one row each. All that searches, costs and text forms know of one is here."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Dimension:
    """A dimension of a search space.

    Args:
        name: in code, of its value in a `Subnet`.
        key: in ``encoder_conf.search_space``.
        letter: in front of its value in the text form; none where the values are words.
        title: of its values, in messages.
        per_layer: each layer has a value; else all share one.
        largest: configuration keys, one of which its largest value must equal. They also give the value where the space names none.
        words: allowed values where they are not numbers, what costs least first.
    """

    name: str
    key: str
    letter: str
    title: str
    per_layer: bool = False
    largest: tuple[str, ...] = ()
    words: tuple[str, ...] = ()

    def __hash__(self) -> int:
        return hash(self.name)  # of all fields it would be the slowest part of a search


DIRECTIONS = ("forward", "bidirectional")

FFN = Dimension("ffn", "ffn_dims", "x", "feed-forward widths", per_layer=True, largest=("encoder_conf.linear_units",))
HEADS = Dimension(
    "heads", "heads", "h", "heads", per_layer=True, largest=("encoder_conf.num_heads", "encoder_conf.attention_heads")
)
D_MODEL = Dimension(
    "d_model", "model_dims", "d", "model dimensions", largest=("encoder_conf.d_model", "encoder_conf.output_size")
)
PREDICTION = Dimension("prediction", "prediction_dims", "p", "prediction widths", largest=("decoder_conf.embed_dim",))
JOINER = Dimension("joiner", "joiner_dims", "j", "joiner widths", largest=("model_conf.joint_space_size",))
DIRECTION = Dimension(
    "direction", "directions", "", "directions", largest=("encoder_conf.bidirectional",), words=DIRECTIONS
)

# In the order of the text form, which is also that of random draws.
DIMENSIONS = (FFN, HEADS, D_MODEL, PREDICTION, JOINER, DIRECTION)
