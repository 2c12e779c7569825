"""``seqlab check``: the conformance kit on the command line."""

from seqlab import registry
from seqlab.commands import Arguments
from seqlab.errors import UserError
from seqlab.specs import parse_cell


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
        registry.find(registry.CELLS, parse_cell(spec)[0])  # before torch is imported

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
