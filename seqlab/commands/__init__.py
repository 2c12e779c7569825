"""One file per command, and what they share: the parser, and flags that are settings of runs.

A command's module imports torch only inside the functions that need it.
"""

import argparse
import re
import shutil
import sys
from typing import Any, NoReturn

from seqlab.errors import UserError
from seqlab.registry import nearest
from seqlab.terminal import folded, packed

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
SETTINGS = ("config", "seed", "task", "data_module")
"""Settings of a run that belong to no group, and so have no dot."""


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

    def format_help(self) -> str:
        """The help, with what argparse leaves as it is folded too; a command to be copied stays on one line."""
        room = shutil.get_terminal_size().columns
        usage, _, rest = super().format_help().partition("\n\n")
        lines = [*(part for line in usage.split("\n") for part in _usage(line, room)), ""]
        for line in rest.split("\n"):
            hang = None if line.startswith(" ") else 0
            lines += [line] if line.startswith("  seqlab ") else folded(line, room, hang)
        return "\n".join(lines)

    def meant(self, argument: str) -> str:
        """``; did you mean '--x'?`` where an argument is nearly a flag, else an empty string."""
        parsers = [self, *self._below()]
        actions = [action for parser in parsers for action in parser._actions if action.help != argparse.SUPPRESS]
        known = [name.lstrip("-") for action in actions for name in action.option_strings]
        close = nearest(argument.partition("=")[0].lstrip("-"), known) if argument.startswith("--") else ""
        return close.replace("mean '", "mean '--")

    def _below(self) -> list["Arguments"]:
        """The parsers of the actions of a command."""
        actions = [each for each in self._actions if isinstance(each, argparse._SubParsersAction)]
        return [parser for action in actions for parser in action.choices.values()]

    def error(self, message: str) -> NoReturn:
        _, unrecognized, names = message.partition("unrecognized arguments: ")
        close = self.meant(names.split()[0]) if unrecognized else ""
        if match := re.search(r"invalid (int|float) value: (.*)$", message):
            message = f"{message[: match.start()]}{match[2]} is not a {'whole ' if match[1] == 'int' else ''}number"
        if match := re.search(r"invalid choice: '(.*)' \(choose from (.*)\)$", message):
            close = nearest(match[1], re.findall(r"[^', ]+", match[2]))
        message = message.replace("expected one argument", "it needs a value")
        raise UserError(f"{message}{close} (see {self.prog} -h)")


def _usage(line: str, room: int) -> list[str]:
    """A line of usage, its flags whole, those that there is no room for below the others."""
    match = re.match(r"(?:usage:|      ) seqlab [a-z]+ ", line)
    if match is None or len(line) <= room:
        return [line]
    parts = re.findall(r"(?:\[[^]]*\]|\S)+", line[match.end() :])
    narrow = room - match.end()
    parts = [each for part in parts for each in (re.split(r"(?<=\|) ", part) if len(part) > narrow else [part])]
    first, *others = packed(parts, room, " " * match.end(), " ")
    return [match[0] + first.lstrip(), *others]


def is_setting(argument: str) -> bool:
    """Whether an argument is a flag that changes a setting of a run."""
    name = argument.partition("=")[0]
    return name.startswith("--") and ("." in name or name.removeprefix("--") in SETTINGS)


def split_flags(argv: list[str]) -> tuple[list[str], list[str]]:
    """Flags of the command, runs among them, and flags that change settings of the runs, such as ``--data.test``."""
    own: list[str] = []
    settings: list[str] = []
    position = 0
    while position < len(argv):
        takes = is_setting(argv[position])
        alone = "=" in argv[position] or "".join(argv[position + 1 :][:1]).startswith("--")
        count = 2 if takes and not alone else 1
        (settings if takes else own).extend(argv[position : position + count])
        position += count
    return own, settings


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
