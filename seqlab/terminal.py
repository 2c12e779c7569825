"""Lines for a person at a terminal: broken where one would break them. A file or a pipe gets them whole."""

import logging
import os
import re
from collections.abc import Iterable, Sequence
from typing import TextIO

WIDTH = 80
"""Columns of a terminal that does not tell."""
LABEL = re.compile(r"\s*(?:\S+ {2,})?")
"""What stands before a text on its line: space, and a word that is set apart by more of it."""
COMMAND = re.compile(r"^(.*:) (seqlab [a-z].*)$", re.DOTALL)


def columns(stream: TextIO) -> int | None:
    """Columns of the terminal that a stream writes to, or what ``COLUMNS`` says; None for a file or a pipe."""
    if not stream.isatty():
        return None
    told = os.environ.get("COLUMNS", "")
    if told.isdecimal() and int(told):
        return int(told)
    try:
        return os.get_terminal_size(stream.fileno()).columns or WIDTH
    except OSError:
        return WIDTH


def folded(line: str, room: int | None, hang: int | None = None, *, clauses: bool = False) -> list[str]:
    """A line in as many as it takes, broken at spaces; a longer word, such as a path, stays whole.

    Args:
        line: The line.
        room: Columns; None for any number.
        hang: Spaces before all but the first; None for as many as stand before the text of the first, or two.
        clauses: Break behind a comma or the like where one is in the second half of a line.
    """
    lines: list[str] = []
    if room is None:
        return [line]
    start = label_width(line)
    hang = hang if hang is not None else start or 2
    indent = " " * (hang if hang <= 2 * room // 3 else 2)
    while len(line) > room:
        end = line.rfind(" ", start, room + 1)
        end = end if end > 0 else line.find(" ", room)
        if end < 0:
            break
        stops = [match.end() for match in re.finditer(r"[,;:](?= )", line[:end])]
        end = stops[-1] if clauses and stops and stops[-1] > room // 2 else end
        lines.append(line[:end].rstrip())
        line, start = indent + line[end:].lstrip(), len(indent)
    return [*lines, line]


def label_width(line: str) -> int:
    """Columns before the text of a line, which a label or space stands in; 0 if it begins with its text."""
    match = LABEL.match(line)
    return match.end() if match else 0


def packed(parts: Sequence[str], room: int | None, indent: str = "", gap: str = "  ") -> list[str]:
    """Parts one after the other with a gap between two, each whole: on as many lines as it takes, indented all."""
    lines: list[str] = []
    for part in parts:
        if lines and (room is None or len(f"{lines[-1]}{gap}{part}") <= room):
            lines[-1] += f"{gap}{part}"
        else:
            lines.append(f"{indent}{part}")
    return lines


def table(rows: Iterable[Sequence[str]], room: int | None, indent: str = "") -> list[str]:
    """Rows as lines with their columns one below the other; the last of a row is folded where there is no room."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:-1]
    lines = []
    for *cells, last in rows:
        head = indent + "".join(f"{cell:<{width}}  " for cell, width in zip(cells, widths, strict=True))
        lines += [line.rstrip() for line in folded(head + last, room, len(head))]
    return lines


class Folding(logging.Formatter):
    """Messages as they are, folded on a terminal; a command to be copied stays on one line.

    Args:
        stream: Where they go.
    """

    def __init__(self, stream: TextIO):
        super().__init__("%(message)s")
        self.stream = stream

    def format(self, record: logging.LogRecord) -> str:
        text, room = super().format(record), columns(self.stream)
        if room is None:
            return text
        lines: list[str] = []
        for line in text.split("\n"):
            match = COMMAND.match(line) if len(line) > room else None
            clauses = not label_width(line)
            lines += [*folded(match[1], room), f"  {match[2]}"] if match else folded(line, room, clauses=clauses)
        return "\n".join(lines)
