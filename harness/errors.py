"""The one kind of error a user is meant to read."""


class UserError(Exception):
    """Bad input or a machine that cannot do what was asked: one line that says what is wrong and what would be right.

    The command line prints the message without a traceback and exits with code 2.
    """
