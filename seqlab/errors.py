"""The one kind of error a user is meant to read, and the one kind of end that is none."""

from signal import Signals


class UserError(Exception):
    """Something the user can mend: its text is one line that says what is wrong, where, and what to do.

    Commands print it on stderr and exit with code 2; from Python it is an ordinary exception.
    """


def with_article(name: str) -> str:
    """The name of a type as a message has it: an int, a float."""
    return f"{'an' if name[:1].lower() in 'aeio' else 'a'} {name}"


class RankError(UserError):
    """What ended one of several processes that train together, as that one tells it."""


class Stopped(Exception):
    """A fit was ended by a signal, and its last step is saved.

    Args:
        signal: The signal.
        step: The step.
    """

    def __init__(self, signal: Signals, step: int):
        super().__init__(f"stopped by {signal.name} after step {step:,}")
        self.signal, self.step = signal, step

    @property
    def code(self) -> int:
        """The exit code of a program that a signal ended, as shells count it."""
        return 128 + self.signal
