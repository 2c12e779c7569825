"""One file per command, and the parser they share.

A command's module imports torch only inside the functions that need it.
"""

import argparse
import sys
from typing import Any, NoReturn

from seqlab.errors import UserError
from seqlab.registry import nearest

SEARCH = (
    "beam",
    "length_penalty",
    "length_normalization",
    "coverage_penalty",
    "no_repeat_ngram_size",
    "min_length",
    "max_length",
)
"""Flags of a search: the settings of :class:`seqlab.decoding.search.Search` but ``n_best``."""


class Arguments(argparse.ArgumentParser):
    """An argparse parser that reports an error as one line."""

    def __init__(self, **options: Any):
        super().__init__(allow_abbrev=False, **options)

    def add_search(self) -> None:
        """The flags of a search, named as the settings of Search; None means the run's own."""
        group = self.add_argument_group("search (default: the run's)")
        group.add_argument("--beam", type=int, metavar="N", help="width of the beam; 1 is greedy")
        group.add_argument(
            "--length_penalty", type=float, metavar="X", help="exponent of the length that scores are divided by"
        )
        group.add_argument(
            "--length_normalization", choices=("average", "wu"), help="which length: tokens, or (5 + tokens) / 6"
        )
        group.add_argument(
            "--coverage_penalty", type=float, metavar="X", help="what source tokens cost that were left out (Wu et al.)"
        )
        group.add_argument(
            "--no_repeat_ngram_size", type=int, metavar="N", help="write no n-gram of this size twice; 0 allows it"
        )
        group.add_argument("--min_length", type=int, metavar="N", help="the fewest tokens of an output")
        group.add_argument(
            "--max_length", type=int, metavar="N", help="the most (default without one: twice the source's and ten)"
        )

    def meant(self, argument: str) -> str:
        """``; did you mean '--x'?`` where an argument is nearly a flag, else an empty string."""
        known = [name.lstrip("-") for name in self._option_string_actions]
        close = nearest(argument.partition("=")[0].lstrip("-"), known) if argument.startswith("--") else ""
        return close.replace("mean '", "mean '--")

    def error(self, message: str) -> NoReturn:
        _, unrecognized, names = message.partition("unrecognized arguments: ")
        close = self.meant(names.split()[0]) if unrecognized else ""
        raise UserError(f"{message}{close} (see {self.prog} -h)")


def write_out(text: str) -> None:
    """Writes text to stdout at once, in UTF-8 wherever the command runs.

    Raises:
        UserError: Nothing can be written there.
        BrokenPipeError: Whoever read it has gone.
    """
    try:
        sys.stdout.flush()
        if text:
            sys.stdout.buffer.write(text.encode())
            sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UserError(f"cannot write to stdout: {error.strerror}") from error
