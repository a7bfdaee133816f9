"""The exception for mistakes that the user can correct."""


class UserError(Exception):
    """A mistake in input, options or files, as one sentence that names it and the way out.

    Commands print the sentence and exit with status 1, without a traceback.
    """
