"""What ``seqlab score`` scores: lines of files, of n-best lists or of stdin."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from seqlab.errors import UserError


class Row(NamedTuple):
    """A text to score."""

    source: str
    """What it translates; nothing for a language model."""
    text: str
    line: str = ""
    """The line that it stands in, of an n-best list."""


def read_rows(options: argparse.Namespace, translates: bool) -> tuple[Iterator[Row], int | None]:
    """What to score, and how much that is, if it is known.

    Files are read to their end first, so that what is wrong with them shows before anything is printed.

    Args:
        options: The flags of the command.
        translates: Whether texts have sources.

    Raises:
        UserError: A file cannot be read, is empty, not UTF-8, of another length than its like, or has a line of another
            kind; for lines of stdin, when they are read.
    """
    if options.n_best is not None:
        rows = list(_listed(options.n_best, options.source))
    elif options.lines is not None:
        rows = [Row("", line) for line in _lines(options.lines)]
    elif options.source is not None:
        sources, targets = _lines(options.source), _lines(options.target)
        if len(sources) != len(targets):
            raise UserError(
                f"{options.source} has {len(sources):,} lines but {options.target} has {len(targets):,}: they must "
                "match line for line"
            )
        rows = list(map(Row, sources, targets))
    else:
        if sys.stdin is not None and sys.stdin.isatty():
            print(f"type {'source, tab and target' if translates else 'lines'}, then Ctrl-D", file=sys.stderr)
        return (_pairs() if translates else (Row("", line) for line in _stdin())), None
    return iter(rows), len(rows)


def _listed(path: str, source: str | None) -> Iterator[Row]:
    """The texts of an n-best list."""
    sources = None if source is None else _lines(source)
    for place, line in enumerate(_lines(path), 1):
        number, *fields = line.split("|||")
        if not fields or not number.strip().isdecimal():
            raise UserError(f"{path}, line {place}: not NUMBER ||| TEXT, as lines of an n-best list are")
        if sources is not None and int(number) >= len(sources):
            raise UserError(
                f"{path}, line {place}: number {int(number)}, but {source} has {len(sources):,} lines (the first is 0)"
            )
        yield Row("" if sources is None else sources[int(number)], fields[0].strip(), line)


def _pairs() -> Iterator[Row]:
    """Pairs from stdin."""
    for number, line in enumerate(_stdin(), 1):
        source, *targets = line.split("\t")
        if len(targets) != 1:
            what = f"{len(targets)} tabs, but one separates" if targets else "no tab, which separates"
            raise UserError(f"stdin, line {number}: {what} source and target")
        yield Row(source, targets[0])


def _lines(path: str) -> list[str]:
    """The lines of a file, or of stdin for ``-``.

    Raises:
        UserError: It cannot be read, has no line, or one that is not UTF-8.
    """
    from seqlab.data.lines import read_lines

    lines = list(_stdin()) if path == "-" else read_lines(Path(path))
    if not lines:
        raise UserError(f"{'stdin' if path == '-' else path} is empty: there is nothing to score")
    return lines


def _stdin() -> Iterator[str]:
    from seqlab.data.lines import BYTE_ORDER_MARK, decode_line

    for number, line in enumerate(sys.stdin.buffer if sys.stdin is not None else [], 1):
        if number > 1 or (line := line.removeprefix(BYTE_ORDER_MARK)):
            yield decode_line(line, "stdin", number)
