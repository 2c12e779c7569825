"""``seqlab check``: the conformance kit on the command line."""

import re

from seqlab import registry
from seqlab.commands import Arguments
from seqlab.errors import UserError
from seqlab.specs import parse_cell

PROJECT = "if it is of a project of yours, install it: pip install -e . in its folder"
"""What to do for a cell that is not installed."""


def main(argv: list[str]) -> int:
    """Checks the named cells; returns 1 if a check failed."""
    parser = Arguments(
        prog="seqlab check",
        description="Checks that cells do everything that seqlab expects of a cell, and prints the numbers. "
        "Exits with 1 if a check failed.",
    )
    parser.add_argument("cells", metavar="NAME", nargs="+", help="a cell (see: seqlab cells), or NAME:OPTION=VALUE")
    options = parser.parse_args(argv)
    for spec in options.cells:
        _find(spec)  # before torch is imported

    from seqlab.testing import examine

    failed = False
    for spec in options.cells:
        try:
            report = examine(spec)
        except UserError as error:
            if len(options.cells) == 1:
                raise
            print(f"{spec}\n  {error}\n")
            failed = True
            continue
        print(f"{report}\n")
        failed = failed or not report.passed
    return int(failed)


def _find(spec: str) -> None:
    """Makes sure that a cell is installed.

    Raises:
        UserError: It is not; one that is none of the known ones misspelt may be of a project that is not installed.
    """
    known = registry.names(registry.CELLS)
    if re.fullmatch(r"[\w.]+:[A-Z]\w*", spec) and spec.partition(":")[0] not in known:
        raise UserError(f"{spec}: a cell is checked by the name that its package gives it, not by its class; {PROJECT}")
    name = parse_cell(spec)[0]
    if name not in known and not registry.nearest(name, known):
        raise UserError(f"no cell named {name!r} is installed (see: seqlab cells); {PROJECT}")
    registry.find(registry.CELLS, name)
