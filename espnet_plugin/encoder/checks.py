"""What all encoders check alike."""

import torch

from espnet_plugin.errors import UserError


class TooShort(Exception):
    """An utterance has too few frames for time reduction. Args: frames: that it has; need: that it must have."""

    def __init__(self, frames: int, need: int):
        super().__init__(f"an utterance has {frames} frames, time reduction needs at least {need}")
        self.frames, self.need = frames, need


def one_each(key: str, value: int | list, count: int, what: str) -> list:
    """A value of each of `count` layers, from one for all or a list.

    Args:
        key: of encoder_conf; what: layers or blocks.

    Raises:
        UserError: the list has another length.
    """
    values = [value] * count if isinstance(value, int) else list(value)
    if len(values) != count:
        raise UserError(f"encoder_conf.{key}: {value} must be one number or one for each of {count} {what}")
    return values


def check_dropout(**rates: float) -> None:
    """Args: rates by their keys of encoder_conf. Raises `UserError` for one that is no share below 1."""
    for key, rate in rates.items():
        if not 0 <= rate < 1:
            raise UserError(f"encoder_conf.{key}: {rate} must be at least 0 and below 1")


def check_lengths(lengths: torch.Tensor, need: int) -> None:
    """
    Args:
        lengths: (B,) input frames.
        need: frames behind one encoder frame.

    Raises:
        TooShort: an utterance has fewer.
    """
    shortest = int(lengths.min())
    if shortest < need:
        raise TooShort(shortest, need)
