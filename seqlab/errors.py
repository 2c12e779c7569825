"""The one kind of error a user is meant to read."""


class UserError(Exception):
    """Something the user can mend: its text is one line that says what is wrong, where, and what to do.

    Commands print it on stderr and exit with code 2; from Python it is an ordinary exception.
    """


class RankError(UserError):
    """What ended one of several processes that train together, as that one tells it."""
