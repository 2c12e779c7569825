"""Prints the cases of hostile input as tables for the docs: python tests/hostile/table.py"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

TITLES = {
    "text": "Text",
    "files": "Files",
    "numbers": "Numbers",
    "runs": "Runs and checkpoints",
    "plugins": "Plugins",
    "processes": "Signals, pipes, the environment",
}
HEAD = ("what", "command", "exit code", "line")
SHORT = {
    "$FIT": "seqlab fit ...",
    "job ${FIT#seqlab}": "seqlab fit ...",
    " $TINY": "",
    "$RUN": "RUN",
    "$LM": "RUN",
    '"$PYTHON" -m seqlab': "seqlab",
    '"$PYTHON"': "python",
    "${LONG}": "xxx...",
    "job ": "seqlab ",
    " --beam 1 --max_length 1 ": " ",
    "set -o pipefail; ": "",
    "head -400000 | ": "",
    " > out.txt & pid=$!": " &",
    "$pid; wait $pid": "$!",
    "; code=$?": "",
}
"""What stands in a command, and what is shown for it."""
WAITING = ("until_there", "exec 9>", "grep -h", "kill -KILL")
"""How lines begin that are only there for the test."""


def shown(command: str) -> str:
    """A command in a cell of a table, on one line."""
    lines = [line.strip() for line in command.splitlines() if not line.strip().startswith(WAITING)]
    text = "; ".join(lines)
    for old, new in sorted(SHORT.items(), key=lambda item: -len(item[0])):
        text = text.replace(old, new)
    return text.replace("do;", "do").replace("&;", "&")


def said(case: dict[str, Any]) -> str:
    """The line that a case says, or how much it prints."""
    if case.get("says"):
        return code(str(case["says"]).replace("${LONG}", "xxx..."))
    count = case.get("lines", 0)
    return f"{count} line{'s' * (count > 1)} of output" if isinstance(count, int) and count else ""


def code(text: str) -> str:
    """Text as code in a cell of a table, whose own mark is the only one to be escaped."""
    mark = "``" if "`" in text else "`"
    return f"{mark}{text.strip()}{mark}".replace("|", "\\|")


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """Prints rows, the first of which is the head, with columns of one width."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [rows[0], ["-" * width for width in widths], *rows[1:]]
    for cells in lines:
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |")


def main() -> None:
    """Prints a section for each table."""
    for number, (name, title) in enumerate(TITLES.items()):
        cases = yaml.safe_load((Path(__file__).parent / f"{name}.yaml").read_text(encoding="utf-8"))
        print("\n" * (number > 0) + f"## {title}\n")
        rows = [(case["what"], code(shown(case["run"])), str(case["code"]), said(case)) for case in cases]
        print_table([HEAD, *rows])


if __name__ == "__main__":
    main()
