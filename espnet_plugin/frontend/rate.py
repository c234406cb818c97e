"""The sampling rate of a configuration; nothing here needs torch."""

from espnet_plugin.errors import UserError


def hertz(fs: int | str) -> int:
    """Sampling rate from a number or a text such as ``16k``.

    Raises:
        UserError: not a rate of at least 2 kHz.
    """
    text = str(fs).strip().lower()
    try:
        rate = round(float(text.removesuffix("k")) * (1000 if text.endswith("k") else 1))
    except (ValueError, OverflowError):
        rate = 0
    if rate < 2000:
        raise UserError(f"frontend_conf.fs: '{fs}' must be a rate of at least 2000 Hz, such as 16000 or 16k")
    return rate
