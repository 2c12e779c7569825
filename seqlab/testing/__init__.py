"""The conformance kit: whether a cell does everything that seqlab expects of it, with a number behind each check.

A plugin's whole test may be::

    from seqlab.testing import check_cell


    def test_cell() -> None:
        check_cell("my-cell")
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from seqlab import registry
from seqlab.cells.base import RecurrentCell
from seqlab.cells.contract import check_contract
from seqlab.errors import UserError
from seqlab.specs import parse_cell
from seqlab.tasks.cells import cell_factory
from seqlab.testing.checks import CHECKS, Skipped, Subject

INPUT_SIZE, HIDDEN_SIZE = 3, 6


class Result(NamedTuple):
    """The outcome of one check."""

    check: str
    measured: float | None
    """The number behind it: an error, unless the check says otherwise; None if it did not come to a number."""
    limit: float
    note: str = ""
    """What was wrong, or why the check does not apply."""

    @property
    def skipped(self) -> bool:
        """Whether the check does not apply to this cell."""
        return self.measured is None and not self.note.startswith("!")

    @property
    def passed(self) -> bool:
        """Whether the number is within its limit; a check that does not apply is passed."""
        return self.skipped or (self.measured is not None and self.measured <= self.limit)

    def row(self) -> tuple[str, str, str, str]:
        """The cells of its line in a table."""
        measured = "-" if self.measured is None else f"{self.measured:.2e}"
        verdict = "does not apply" if self.skipped else "ok" if self.passed else "FAILED"
        note = self.note.removeprefix("!")
        return self.check, measured, f"{self.limit:.0e}", f"{verdict}: {note}" if note else verdict


class Report(NamedTuple):
    """The outcome of all checks of one cell."""

    who: str
    results: list[Result]

    @property
    def passed(self) -> bool:
        """Whether every check is."""
        return all(result.passed for result in self.results)

    def __str__(self) -> str:
        rows = [("check", "measured", "limit", "verdict"), *(result.row() for result in self.results)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        skipped = sum(result.skipped for result in self.results)
        failed = sum(not result.passed for result in self.results)
        counts = f"{len(self.results) - skipped - failed} passed, {failed} failed, {skipped} do not apply"
        return "\n".join([self.who, *(f"  {line}" for line in lines), f"  {counts}"])


def check_cell(cell: str | Callable[..., RecurrentCell], **options: Any) -> Report:
    """Runs every check of the kit on a cell.

    Args:
        cell: A cell's registered name, with options as ``NAME:OPTION=VALUE`` if need be; or its class.
        **options: Options of the class.

    Returns:
        The table of checks.

    Raises:
        AssertionError: A check failed; the message is the table.
        UserError: There is no such cell, or it breaks the contract so that the checks could not run.
    """
    report = examine(cell, **options)
    if not report.passed:
        raise AssertionError(f"\n{report}")
    return report


def examine(cell: str | Callable[..., RecurrentCell], **options: Any) -> Report:
    """Runs every check of the kit on a cell and reports, whatever comes of it.

    Raises:
        UserError: As :func:`check_cell`.
    """
    if isinstance(cell, str):
        if options:
            raise UserError(f"options of a named cell go with its name, as in {cell}:{next(iter(options))}=VALUE")
        name, given = parse_cell(cell)
        who = registry.credit(registry.find(registry.CELLS, name), "cell")
        who += "".join(f", {option}={value}" for option, value in given.items())
        make = cell_factory(cell)
    else:
        who, make = getattr(cell, "__name__", repr(cell)), lambda *sizes: cell(*sizes, **options)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        subject = Subject(make, INPUT_SIZE, HIDDEN_SIZE)
        check_contract(subject.cell(), who)
        return Report(who, [_run(subject, name, limit, check) for name, (limit, check) in CHECKS.items()])


def _run(subject: Subject, name: str, limit: float, check: Callable[[Subject], float]) -> Result:
    try:
        measured = check(subject)
    except Skipped as skipped:
        return Result(name, None, limit, str(skipped))
    except Exception as error:  # whatever a stranger's cell raises in whatever is done to it
        return Result(name, None, limit, f"!{type(error).__name__}: {' '.join(str(error).split())}"[:300])
    return Result(name, measured, limit)
