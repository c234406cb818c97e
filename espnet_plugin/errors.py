"""The one error that a user is meant to read, and how programs tell it."""

import sys
from collections.abc import Callable


class UserError(Exception):
    """A mistake in the user's input, told in one sentence.

    The sentence names the file or key, the value, and what is allowed. Command-line entry points print it without a traceback and exit
    with a non-zero status.
    """


def run_main(main: Callable[[], None]) -> None:
    """Run a program: a `UserError` or a failure of the file system ends it with one sentence on stderr and exit status 1."""
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        sys.exit(f"error: {what}")
    except KeyboardInterrupt:
        sys.exit("interrupted")
