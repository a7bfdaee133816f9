"""The one exception for mistakes that the user can mend."""


class UserError(Exception):
    """A mistake in input, options or files: one sentence that names the thing and the way out.

    Command lines print the sentence and exit with status 1, without a traceback.
    """
