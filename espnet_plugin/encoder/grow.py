"""The search space that a supernet has when it was grown from an encoder of one size."""

from espnet_plugin.errors import UserError


def one_of(key: str, value: int | list) -> int:
    """The number that all layers share.

    Raises:
        UserError: they differ. Args: key: of encoder_conf.
    """
    values = {value} if isinstance(value, int) else set(value)
    if len(values) > 1:
        raise UserError(
            f"encoder_conf.{key}: {value} differs by layer, so that the model cannot be grown into a supernet"
        )
    return values.pop()


def halves(layers: int, width: int) -> dict:
    """Down to half of the layers and an eighth of the feed-forward width, as the mini corpus' supernet has it (our choice)."""
    widths = {max(1, width // 2**power) for power in range(4)}
    return {"depths": list(range((layers + 1) // 2, layers + 1)), "ffn_dims": sorted(widths)}
