"""The one error that a user is meant to read, and how programs tell it."""

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class UserError(Exception):
    """A mistake in the user's input, told in one sentence.

    The sentence names the file or key, the value, and what is allowed. Command-line entry points print it without a traceback and exit
    with a non-zero status.
    """


@contextmanager
def orderly_end() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end a program as Ctrl-C does: temporary files are removed on the way.

    The exit status is that of shells, 128 and the signal's number. A signal that the parent ignores, as SIGHUP under nohup, stays ignored.
    """

    def stop(number: int, _frame) -> None:
        raise SystemExit(128 + number)

    here = threading.current_thread() is threading.main_thread()
    numbers = [n for n in (signal.SIGTERM, signal.SIGHUP) if here and signal.getsignal(n) is signal.SIG_DFL]
    for number in numbers:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


def run_main(main: Callable[[], None]) -> None:
    """Run a program: a `UserError` or a failure of the file system ends it with one sentence on stderr and exit status 1."""
    try:
        with orderly_end():
            main()
    except UserError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        sys.exit(f"error: {what}")
    except KeyboardInterrupt:
        sys.exit("interrupted")
