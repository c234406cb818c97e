"""Statistics of features, as ESPnet's ``normalize: global_mvn`` reads them: sums that training divides by."""

import zipfile
from pathlib import Path

import numpy as np

from espnet_plugin.errors import UserError

KEY = "normalize_conf.stats_file"


def check_statistics(path: Path | str, features: int | None = None) -> None:
    """Refuse a file of statistics that is damaged, not finite or of other features.

    Args:
        path: an archive with ``count``, ``sum`` and ``sum_square``, or Kaldi's array (2, F + 1).
        features: F that the frontend makes, None where that is not known.

    Raises:
        UserError: naming the file.
    """
    if not Path(path).is_file():
        raise UserError(f"{KEY}: '{path}' {'is a folder' if Path(path).is_dir() else 'does not exist'}")
    try:
        stats = np.load(path)
        if isinstance(stats, np.ndarray):
            count, total, squares = stats[0].flatten()[-1], stats[0, :-1], stats[1, :-1]
        else:
            count, total, squares = (np.asarray(stats[key]) for key in ("count", "sum", "sum_square"))
        count = float(count)
        total, squares = (np.atleast_1d(np.asarray(x, np.float64)) for x in (total, squares))
    except (OSError, ValueError, KeyError, IndexError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{KEY}: '{path}' is damaged or holds no statistics, make it again") from error
    wrong = total.shape != squares.shape or total.ndim != 1
    if wrong or not count > 0 or not np.isfinite([count, *total, *squares]).all():
        raise UserError(f"{KEY}: '{path}' holds numbers that are none or infinite, or no frames; make it again")
    if features is not None and len(total) != features:
        raise UserError(
            f"{KEY}: '{path}' is of {len(total)} features, must be of the {features} that the frontend makes"
        )
