"""The command ``seqlab``: finds the command, the recipe and the run, and hands heavy work to :mod:`seqlab.commands`.

Nothing here imports torch, so that lists, help and wrong names answer at once.
"""

import argparse
import logging
import os
import re
import sys
import time
from importlib import import_module
from importlib.metadata import version

from seqlab import registry
from seqlab.commands import Arguments, write_out
from seqlab.errors import RankError, Stopped, UserError
from seqlab.runs import is_first_process
from seqlab.terminal import Folding

HEAVY = {
    "fit": "train a recipe into a run",
    "evaluate": "score runs, compare them, and write what they translated",
    "compare": "train several cells on the same budget, and test each against the first",
    "report": "write what is known of a run or a comparison as one HTML file",
    "diagnose": "measure how far gradients reach through time, in runs, a comparison or cells",
    "score": "give the log-probability of translations or lines of text that are given",
    "translate": "translate lines from stdin to stdout with a run",
    "generate": "continue a prompt with text from the language model of a run",
    "check": "check that cells do everything that is expected of a cell",
    "bench": "time cells on their engines in turns with torch.nn's own kernels",
    "export": "write the model of a run into a folder of its own, to be shared",
    "new": "write a project for a cell of your own, which passes its own tests",
}
PATIENCE = 10.0
"""Seconds that a further process of a fit waits before it tells an error: most likely the first tells the same, and the
launcher then ends all others."""
LONGEST = 1000
"""Characters of an error."""
LIGHT = {
    "cells": "list the installed recurrent cells",
    "recipes": "list the installed recipes; show or copy one",
}
EXAMPLES = """examples:
  seqlab fit --recipe translation
  seqlab fit --recipe translation --data.target fr --model.cell lstm
  seqlab translate runs/translation < in.txt > out.txt
  seqlab fit -h                 the options of a command
  seqlab recipes show translation"""


def main(argv: list[str] | None = None) -> int:
    """Runs one command; returns its exit code: 0, 1 for a failed check, 2 for something the user can mend, 130 when
    interrupted, 128 and the number of the signal when a signal ended a fit.
    """
    argv = sys.argv[1:] if argv is None else argv
    command = argv[0] if argv and not argv[0].startswith("-") else ""
    _open_streams()
    _log_to_stderr()
    try:
        code = 0
        _check_folder()
        if command in HEAVY:
            code = import_module(f"seqlab.commands.{command}").main(argv[1:]) or 0
        elif command in LIGHT:
            import_module("seqlab.commands.listing").main(command, argv[1:])
        elif command:
            known = [*HEAVY, *LIGHT]
            raise UserError(
                f"no command named {command!r}{registry.nearest(command, known)} (there are: {', '.join(known)})"
            )
        else:
            _top_level(argv)
        write_out("")  # what is wrong with stdout shows now, and not when the interpreter ends
        return code
    except UserError as error:
        if not is_first_process() and not isinstance(error, RankError):
            time.sleep(PATIENCE)
        _tell(f"seqlab {command}".rstrip() + f": error: {_one_line(str(error))}")
        return 2
    except Stopped as stop:
        if not is_first_process():
            return 0  # the launcher takes another code for a failure, and kills the first, which tells all
        _tell(f"seqlab {command}: {stop}")
        return stop.code
    except KeyboardInterrupt:
        if is_first_process():
            _tell(f"seqlab {command}: interrupted")
        return 130
    except BrokenPipeError:  # whoever read stdout has gone, as in `seqlab cells | head -1`
        return 141
    except (OSError, MemoryError, RuntimeError) as error:
        _tell(f"seqlab {command}: error: {_of_system(error)}")
        return 2
    finally:
        _drop_output()


def _tell(line: str) -> None:
    """A line to stderr in one write with its end, where print takes two: between them would fall the line of another
    process of the same fit."""
    sys.stderr.write(f"{line}\n")


def _check_folder() -> None:
    """Makes sure that there is a current folder, without which libraries end the process in words of their own.

    Raises:
        UserError: Another process has removed it.
    """
    try:
        os.getcwd()
    except OSError as error:
        raise UserError("the current folder is gone: change to another one") from error


def _one_line(text: str) -> str:
    """A text on one line, without characters that would steer a terminal: it may quote a file from elsewhere."""
    text = "".join(letter if letter.isprintable() else "?" for letter in " ".join(text.split()))
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."


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


def _of_system(error: Exception) -> str:
    """One line for what is wrong with the system and not with the input: a full disk, too little memory.

    Raises:
        Exception: The error, which is none of that.
    """
    cause: BaseException = error
    while isinstance(cause, RuntimeError) and isinstance(cause.__context__, OSError | RuntimeError):
        cause = cause.__context__  # torch complains a second time of a file that could not be written
    if isinstance(cause, OSError):
        return _one_line(f"{cause.strerror or cause}" + (f" ({cause.filename})" if cause.filename is not None else ""))
    text = _one_line(str(error))
    if isinstance(error, MemoryError) or re.search(r"allocate memory|not enough memory|out of memory", text):
        return f"out of memory: smaller sizes, batches or beams need less ({text or 'Python could not have more'})"
    raise error


def _open_streams() -> None:
    """Opens standard streams that are closed: else the next file that is opened is taken for one.

    Input is empty then, messages go nowhere, and output is refused at the first word, so that none is lost unseen.
    """
    modes = {"stdin": ("r", os.O_RDONLY), "stdout": ("w", os.O_RDONLY), "stderr": ("w", os.O_WRONLY)}
    for number, (name, (mode, flags)) in enumerate(modes.items()):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, flags)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8"))


def _drop_output() -> None:
    """Throws away what is still to be written to stdout, if it takes no more."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _log_to_stderr() -> None:
    """Messages of seqlab go to stderr, so that stdout holds nothing but results."""
    log = logging.getLogger("seqlab")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Folding(sys.stderr))
    log.handlers = [handler]
    log.setLevel(logging.INFO if is_first_process() else logging.ERROR)
