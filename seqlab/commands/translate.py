"""``seqlab translate``: lines from stdin to translations on stdout."""

import sys
from collections.abc import Iterator
from typing import Any

from seqlab.commands import Arguments
from seqlab.errors import UserError
from seqlab.runs import Run

CHUNK = 2000
"""Lines that are read, sorted by length and translated together; memory and delay are bounded by it."""


def main(argv: list[str]) -> None:
    """Translates stdin to stdout, line for line."""
    parser = Arguments(
        prog="seqlab translate",
        usage="seqlab translate RUN [--beam N] [--length_penalty X] < in.txt > out.txt",
        description="Translates lines of UTF-8 text from stdin to stdout, line for line; empty lines stay empty.",
    )
    parser.add_argument("run", metavar="RUN", type=Run, help="directory of the run")
    parser.add_search()
    options = parser.parse_args(argv)
    options.run.checkpoint()

    from tqdm import tqdm

    from seqlab.runs import load

    task: Any = load(options.run.path)
    if not hasattr(task, "translate"):
        hint = f" (seqlab generate {options.run} does what it was made for)" if hasattr(task, "generate") else ""
        raise UserError(f"{options.run} does not translate: its task is {type(task).__name__}{hint}")
    for lines in _chunks():
        show = {"unit": "line", "desc": "translating", "leave": False, "disable": not sys.stderr.isatty()}
        with tqdm(total=len(lines), **show) as bar:
            translations = task.translate(
                lines, beam=options.beam, length_penalty=options.length_penalty, done=bar.update
            )
        sys.stdout.buffer.write("".join(f"{line}\n" for line in translations).encode())
        sys.stdout.buffer.flush()


def _chunks() -> Iterator[list[str]]:
    """Chunks of lines from stdin."""
    from seqlab.data.lines import decode_line

    lines: list[str] = []
    if sys.stdin.isatty():
        print("type source lines, then Ctrl-D", file=sys.stderr)
    for number, line in enumerate(sys.stdin.buffer, 1):
        lines.append(decode_line(line, "stdin", number))
        if len(lines) == CHUNK:
            yield lines
            lines = []
    if lines:
        yield lines
