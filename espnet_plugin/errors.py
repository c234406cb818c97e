"""The one error that a user is meant to read."""


class UserError(Exception):
    """A mistake in the user's input, told in one sentence.

    The sentence names the file or key, the value, and what is allowed. Command-line entry points print it without a traceback and exit
    with a non-zero status.
    """
