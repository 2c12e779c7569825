"""``seqlab diagnose``: gradients through time, Jacobians, gates and states, of a run or of cells."""

import argparse
import os
from argparse import Namespace
from pathlib import Path

from seqlab import registry
from seqlab.commands import Arguments
from seqlab.commands.evaluate import split_flags
from seqlab.comparing.plan import FILE as COMPARISON
from seqlab.errors import UserError
from seqlab.runs import Run
from seqlab.specs import check_range, parse_cell, split_cells

OF_A_RUN = {"split": "val"}
OF_CELLS = {"hidden_size": 64, "steps": 100, "seed": 1, "out": Path("diagnosis")}
ROWS = 16
"""Default, of cells."""
CELLS = ("--cell", "--cells")
MOST = {"rows": 4096, "hidden_size": 4096, "steps": 10_000}


def main(argv: list[str]) -> None:
    """Measures a run or cells, draws pictures and prints a table."""
    of_cells = any(flag.partition("=")[0] in CELLS for flag in argv)
    flags, settings = (argv, []) if of_cells else split_flags(argv)
    if of_cells and (dotted := [flag for flag in argv if flag.startswith("--") and "." in flag.partition("=")[0]]):
        raise UserError(f"{dotted[0].partition('=')[0]} is a setting of a run; leave it out")
    parser = _parser()
    given, unknown = parser.parse_known_intermixed_args(flags)
    if unknown:
        own = parser.meant(unknown[0])
        if given.run is not None and not of_cells and not own and unknown[0].startswith("-"):
            given.run.settings([*settings, *unknown], prog=f"seqlab diagnose {given.run}")  # says what may be meant
        more = "" if unknown[0].startswith("-") else " (one run at a time)"
        raise UserError(f"unrecognized arguments: {' '.join(unknown)}{more}{own} (see {parser.prog} -h)")
    _check(given)
    if of_cells:
        for spec in given.cell:
            registry.find(registry.CELLS, parse_cell(spec)[0])
        check_free(given.out)
    else:
        _check_run(given.run)
        check_places(given.run)

    from seqlab.diagnosis.reports import FOLDER, REPORT, write
    from seqlab.diagnosis.subjects import diagnose_cells, diagnose_run
    from seqlab.diagnosis.table import LEGEND, notes_of, rows_of
    from seqlab.evaluation.tables import aligned, written
    from seqlab.training.allocator import keep_freed_memory

    keep_freed_memory()
    if of_cells:
        size = {name: getattr(given, name) for name in ("hidden_size", "steps", "rows", "seed")}
        report = diagnose_cells(given.cell, **size)
        heading = f"{given.rows} rows x {given.hidden_size} hidden x {given.steps} steps"
        paths = write(report, given.out / REPORT, given.out, f"untrained cells, {heading}")
    else:
        report = diagnose_run(given.run, settings, given.split, given.rows)
        checkpoint = report["checkpoint"]
        heading = (
            f"{given.run}, {checkpoint['file']} of step {checkpoint['step']:,}, {report['rows']} rows of {given.split}"
        )
        paths = write(report, given.run.path / REPORT, given.run.path / FOLDER, given.run.path.name)
    notes = notes_of(report)
    print("\n".join([heading, LEGEND, "", *aligned(rows_of(report)), "", *notes, *([""] if notes else [])]))
    print("\n".join(written(paths)))


def _check_run(run: Run) -> None:
    """Makes sure that a run can be measured.

    Raises:
        UserError: It has no checkpoint, or is something else.
    """
    if (run.path / COMPARISON).is_file():
        raise UserError(f"{run} is a comparison: name one of its runs, such as {run.path / 'runs'}/CELL/seed-1")
    run.checkpoint()


def check_places(run: Run) -> None:
    """Makes sure that a diagnosis may be written into a run, before it is measured.

    Raises:
        UserError: What stands in its place is no diagnosis, or nothing may be written there.
    """
    from seqlab.diagnosis.reports import FOLDER, REPORT

    report, folder = run.path / REPORT, run.path / FOLDER
    if report.is_dir() or (folder.exists() and not folder.is_dir()):
        told = f"{report} is a folder" if report.is_dir() else f"{folder} is a file"
        raise UserError(f"{told}, where a diagnosis is to be written; move it away")
    for place in (run.path, folder):
        if place.exists() and not os.access(place, os.W_OK | os.X_OK):
            raise UserError(f"cannot write to {place}: permission denied")


def check_free(folder: Path) -> None:
    """Makes sure that a diagnosis may be written into a folder.

    Raises:
        UserError: It is none, or it holds something else.
    """
    from seqlab.diagnosis.pictures import PICTURES
    from seqlab.diagnosis.reports import REPORT

    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not nearest.is_dir():
        raise UserError(f"--out {folder}: {nearest} is no folder")
    others = sorted({entry.name for entry in folder.iterdir()} - {REPORT, *PICTURES}) if folder.exists() else []
    if others:
        raise UserError(
            f"--out {folder} holds something else than a diagnosis, such as {others[0]}; take another folder"
        )


def _check(given: Namespace) -> None:
    """Refuses flags that contradict each other, have no effect, or are out of their range; fills in the others.

    Raises:
        UserError: There are such flags.
    """
    if given.run is None and given.cell is None:
        raise UserError("what? Give a run, or --cell NAME[,NAME...] (see seqlab diagnose -h)")
    if given.run is not None and given.cell is not None:
        raise UserError(f"{given.run} and --cell: give a run or cells, not both")
    of_cells = given.cell is not None
    if of_cells and (twice := [spec for spec in given.cell if given.cell.count(spec) > 1]):
        raise UserError(f"--cell names {twice[0]} twice")
    if given.steps == 1:
        raise UserError("--steps 1: from a single step there is no way back; take two or more")
    for name in OF_A_RUN if of_cells else OF_CELLS:
        if getattr(given, name) is not None:
            raise UserError(f"--{name} is for {'a run' if of_cells else 'cells (--cell)'}; leave it out")
    for name, value in ({**OF_CELLS, "rows": ROWS} if of_cells else OF_A_RUN).items():
        if getattr(given, name) is None:
            setattr(given, name, value)
    for name, most in MOST.items():
        if getattr(given, name) is not None:
            check_range(f"--{name}", getattr(given, name), 1, most)
    if given.seed is not None:
        check_range("--seed", given.seed, 0, 2**32 - 1)


def _parser() -> Arguments:
    parser = Arguments(
        prog="seqlab diagnose",
        usage="seqlab diagnose RUN [--split val] [--rows 32] [--GROUP.KEY VALUE ...]\n"
        "       seqlab diagnose --cell NAME[,NAME...] [--hidden_size 64] [--steps 100] [--out DIR]",
        description="Measures how far gradients reach back in time, the singular values of a step's Jacobian, how far "
        "gates are saturated, and the states over long inputs. Of a run, trained and untrained on the same real data, "
        "it writes diagnosis.json and pictures into the run; of cells, as they are made on random data, into a folder.",
    )
    parser.add_argument("run", metavar="RUN", type=Run, nargs="?", help="directory of a run")
    parser.add_argument("--split", choices=("val", "test", "train"), help="what a run is measured on (val)")
    parser.add_argument("--rows", type=int, metavar="N", help="sequences (32; of cells 16)")
    parser.add_argument(*CELLS, dest="cell", type=_list, metavar="NAMES", help="cells, with commas between them")
    parser.add_argument("--hidden_size", type=int, metavar="N", help="hidden size of the cells (64)")
    parser.add_argument("--steps", type=int, metavar="N", help="steps of their inputs (100)")
    parser.add_argument("--seed", type=int, metavar="N", help="seed of their weights and inputs (1)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where to write what was found of cells (diagnosis)")
    return parser


def _list(text: str) -> list[str]:
    """Cells with commas between them."""
    specs = split_cells(text)
    if not specs:
        raise argparse.ArgumentTypeError(f"{text!r} names no cell")
    return specs
