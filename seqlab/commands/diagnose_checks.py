"""What is wrong with the flags and the places of ``seqlab diagnose``, before anything is measured."""

import os
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from seqlab.comparing.plan import FILE, is_comparison
from seqlab.errors import UserError
from seqlab.files import nearest_existing, refusal
from seqlab.runs import Run
from seqlab.specs import check_range

OF_A_RUN = {"split": "val"}
OF_CELLS = {"hidden_size": 64, "steps": 100, "seed": 1}
ROWS, OUT = 16, Path("diagnosis")
"""Defaults, of cells."""
CELLS = ("--cell", "--cells")
MOST = {"rows": 4096, "hidden_size": 4096, "steps": 10_000}


def check(given: Namespace) -> None:
    """Refuses flags that contradict each other, have no effect, or are out of their range; fills in the others.

    Raises:
        UserError: There are such flags, or what is named is not what can be diagnosed.
    """
    of_cells = given.cell is not None
    if not given.runs and not of_cells:
        raise UserError("what? Give runs, a comparison, or --cell NAME[,NAME...] (see seqlab diagnose -h)")
    if given.runs and of_cells:
        raise UserError(f"{given.runs[0]} and --cell: give a run or cells, not both")
    if of_cells and (twice := [spec for spec in given.cell if given.cell.count(spec) > 1]):
        raise UserError(f"--cell names {twice[0]} twice")
    if given.steps == 1:
        raise UserError("--steps 1: from a single step there is no way back; take two or more")
    for name in OF_A_RUN if of_cells else OF_CELLS:
        if getattr(given, name) is not None:
            raise UserError(f"--{name} is for {'a run' if of_cells else 'cells (--cell)'}; leave it out")
    for name, value in ({**OF_CELLS, "rows": ROWS, "out": OUT} if of_cells else OF_A_RUN).items():
        if getattr(given, name) is None:
            setattr(given, name, value)
    for name, most in MOST.items():
        if getattr(given, name) is not None:
            check_range(f"--{name}", getattr(given, name), 1, most)
    if given.seed is not None:
        check_range("--seed", given.seed, 0, 2**32 - 1)
    _check_runs(given.runs)


def _check_runs(runs: Sequence[Run]) -> None:
    """Makes sure that these are runs, each of them once, or a comparison alone.

    Raises:
        UserError: They are not.
    """
    for number, run in enumerate(runs):
        if run.path.is_dir() and not run.config.is_file() and not is_comparison(run.path):
            raise UserError(f"{run} is neither a run (no {run.config.name}) nor a comparison (no {FILE})")
        if is_comparison(run.path) and len(runs) > 1:
            raise UserError(f"{run} is a comparison: give it alone, or name its runs, such as {run}/runs/CELL/seed-1")
        for other in runs[:number]:
            if other.path.resolve() == run.path.resolve():
                told = "" if str(run) == str(other) else f", as {other}"
                raise UserError(f"{run} is there twice{told}: leave one of them out")


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
        if place.exists() and (why := refusal(place)):
            raise UserError(f"cannot write to {place}: {why}")


def check_free(folder: Path) -> None:
    """Makes sure that a diagnosis of cells or of several runs may be written into a folder.

    Raises:
        UserError: It is none, it holds something else, or nothing may be written there.
    """
    from seqlab.diagnosis.pictures import PICTURES
    from seqlab.diagnosis.reports import FOLDER, REPORT

    nearest = nearest_existing(folder)
    if not nearest.is_dir():
        raise UserError(f"--out {folder}: {nearest} is no folder")
    others = sorted({entry.name for entry in folder.iterdir()} - {REPORT, *PICTURES}) if folder.exists() else []
    if others:
        raise UserError(
            f"--out {folder} holds something else than a diagnosis, such as {others[0]}; take another folder"
        )
    place = Path(os.path.abspath(folder))
    if place.name == FOLDER and Run(place.parent).config.is_file():
        raise UserError(f"--out {folder} is where the run {place.parent} has its own diagnosis; take another folder")
    if why := refusal(nearest):
        raise UserError(f"cannot write to {nearest}: {why}; take another --out DIR")
