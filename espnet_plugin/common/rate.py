"""The sampling rate of a configuration; nothing here needs torch."""

from espnet_plugin.common.bounds import Bounds, shown
from espnet_plugin.errors import UserError

RATES = Bounds(2000, 768_000)  # below, hardly a filter is left; above, no recorder goes


def hertz(fs: int | str) -> int:
    """Sampling rate from a number or a text such as ``16k``.

    Raises:
        UserError: not a rate from 2 kHz to 768 kHz.
    """
    text = str(fs).strip().lower()
    try:
        rate = round(float(text.removesuffix("k")) * (1000 if text.endswith("k") else 1))
    except (ValueError, OverflowError):
        rate = 0
    if rate not in RATES:
        raise UserError(f"frontend_conf.fs: {shown(fs)} must be a rate {RATES} Hz, such as 16000 or 16k")
    return rate
