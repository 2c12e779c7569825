"""One file per command, and the parser they share.

A command's module imports torch only inside the functions that need it.
"""

import argparse
from typing import Any, NoReturn

from seqlab.errors import UserError


class Arguments(argparse.ArgumentParser):
    """An argparse parser that reports an error as one line."""

    def __init__(self, **options: Any):
        super().__init__(allow_abbrev=False, **options)

    def add_search(self) -> None:
        """The flags of a search; None means the run's own."""
        self.add_argument("--beam", type=beam, help="width of the beam, 1 for greedy (default: the run's)")
        self.add_argument("--length_penalty", type=float, help="exponent of the length (default: the run's)")

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message} (see {self.prog} -h)")


def beam(text: str) -> int:
    """The width of a beam; argparse calls a wrong one by this function's name."""
    width = int(text)
    if width < 1:
        raise UserError(f"beam must be at least 1, not {width}")
    return width
