"""The command ``seqlab``: finds the command, the recipe and the run, and hands heavy work to :mod:`seqlab.commands`.

Nothing here imports torch, so that lists, help and wrong names answer at once.
"""

import argparse
import logging
import os
import sys
from importlib import import_module
from importlib.metadata import version

from seqlab import registry
from seqlab.commands import Arguments
from seqlab.errors import UserError
from seqlab.runs import is_first_process

HEAVY = {
    "fit": "train a recipe into a run",
    "evaluate": "score a run and write what it translated",
    "translate": "translate lines from stdin to stdout with a run",
    "generate": "continue a prompt with text from the language model of a run",
    "check": "check that cells do everything that is expected of a cell",
    "bench": "time cells on their engines in turns with torch.nn's own kernels",
    "new": "write a project for a cell of your own, which passes its own tests",
}
LIGHT = {
    "cells": "list the installed recurrent cells",
    "recipes": "list the installed recipes; show or copy one",
}
EXAMPLES = """examples:
  seqlab fit --recipe translation
  seqlab fit --recipe translation --data.source en --data.target fr --model.cell lstm --run runs/en-fr
  seqlab translate runs/translation < in.txt > out.txt
  seqlab fit -h                 the options of a command
  seqlab recipes show translation"""


def main(argv: list[str] | None = None) -> int:
    """Runs one command; returns its exit code: 0, 1 for a failed check, 2 for something the user can mend, 130 when
    interrupted.
    """
    argv = sys.argv[1:] if argv is None else argv
    command = argv[0] if argv and not argv[0].startswith("-") else ""
    _log_to_stderr()
    try:
        if command in HEAVY:
            return import_module(f"seqlab.commands.{command}").main(argv[1:]) or 0
        elif command in LIGHT:
            import_module("seqlab.commands.listing").main(command, argv[1:])
        elif command:
            known = [*HEAVY, *LIGHT]
            raise UserError(
                f"no command named {command!r}{registry.nearest(command, known)} (there are: {', '.join(known)})"
            )
        else:
            _top_level(argv)
    except UserError as error:
        print(f"seqlab {command}".rstrip() + f": error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"seqlab {command}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever read stdout has gone, as in `seqlab cells | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return 0


def _top_level(argv: list[str]) -> None:
    """``seqlab``, ``seqlab -h`` and ``seqlab --version``."""
    commands = "\n".join(f"  {name:<12} {text}" for name, text in {**HEAVY, **LIGHT}.items())
    parser = Arguments(
        prog="seqlab",
        usage="seqlab COMMAND ...",
        description="The bench for recurrent sequence models.",
        epilog=f"commands:\n{commands}\n\n{EXAMPLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"seqlab {version('seqlab')}")
    parser.parse_args(argv)
    parser.print_help()


def _log_to_stderr() -> None:
    """Messages of seqlab go to stderr as they are, so that stdout holds nothing but results."""
    log = logging.getLogger("seqlab")
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    log.handlers = [handler]
    log.setLevel(logging.INFO if is_first_process() else logging.WARNING)
