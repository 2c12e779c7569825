"""Several runs: each is diagnosed on its own, and the trained layers of all go into one report.

Stacks and layers are those of the same name: ``decoder, layer 1`` of one run stands beside that of another.
"""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from seqlab.config import Settings
from seqlab.diagnosis.batches import check_split
from seqlab.diagnosis.reports import report_of
from seqlab.diagnosis.subjects import diagnose_run
from seqlab.diagnosis.tasks import stacks_of
from seqlab.errors import UserError
from seqlab.runs import Run, restore

BAR = "{l_bar}{bar}| {elapsed}<{remaining}{postfix}"
"""Without counts, which are fractions."""
HEAD = ("run", "task", "split", "rows", "checkpoint")
"""What a report of several runs says of each."""


class Subject(NamedTuple):
    """A run that is to be measured."""

    run: Run
    settings: Settings


class Diagnosis(NamedTuple):
    """What was found of a run."""

    report: dict[str, Any]
    sha256: str | None
    """Of the data of the split; None of a run alone."""


def read_subjects(runs: Sequence[Run], flags: Sequence[str], split: str) -> list[Subject]:
    """Runs that can be measured. Of several all is checked here, so that what is wrong with the last one is told before
    the first is measured.

    Args:
        runs: The runs.
        flags: Flags that change the settings of all of them.
        split: The split that they are to be measured on.

    Raises:
        UserError: A run has no checkpoint, a flag is wrong, the split has no corpus, a task has no layers, or a run has
            no stack that the first one has too.
    """
    subjects: list[Subject] = []
    first: list[str] = []
    for run in tqdm(runs, "reading runs", leave=False, disable=len(runs) == 1 or not sys.stderr.isatty()):
        settings = run.settings(list(flags), prog=f"seqlab diagnose {run}")
        if len(runs) == 1:
            return [Subject(run, settings)]
        task, data, _ = restore(run, settings)
        check_split(data, split)
        stacks = list(stacks_of(task))
        first = first or stacks
        if not set(first) & set(stacks):
            raise UserError(
                f"{run} has other layers ({', '.join(stacks)}) than {runs[0]} ({', '.join(first)}), so that no picture "
                "can show both: diagnose them apart"
            )
        subjects.append(Subject(run, settings))
    return subjects


def diagnose_subjects(subjects: Sequence[Subject], split: str, rows: int | None = None) -> Iterator[Diagnosis]:
    """What is found of each run, as soon as it is measured; see :func:`~seqlab.diagnosis.subjects.diagnose_run`.

    Raises:
        UserError: A run cannot be measured.
    """
    names = short_names([subject.run.path for subject in subjects])
    shown = {"bar_format": BAR, "leave": False, "disable": not sys.stderr.isatty()}
    with tqdm(total=2 * len(subjects), desc="measuring", **shown) as bar:

        def done(when: str, share: float) -> None:
            bar.set_postfix_str(when)
            bar.update(share)

        for subject, name in zip(subjects, names, strict=True):
            bar.set_description(f"measuring {name}", refresh=False)
            try:
                report, data = diagnose_run(subject.run, subject.settings, split, rows, done)
                sha256 = data.describe(split).get("sha256") if len(subjects) > 1 else None
            except UserError as error:
                raise error if len(subjects) == 1 else UserError(f"{subject.run}: {error}") from error
            yield Diagnosis(report, sha256)


def short_names(paths: Sequence[Path]) -> list[str]:
    """The last parts of paths, as many as tell them apart."""
    parts = [Path(os.path.abspath(path)).parts for path in paths]
    for count in range(1, max(map(len, parts))):
        names = ["/".join(each[-count:]) for each in parts]
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]


def names_of(reports: Sequence[Mapping[str, Any]]) -> list[str]:
    """What runs are told apart by in a picture: their cells, or where two have the same ones, the names of the runs."""
    cells = [
        ", ".join(dict.fromkeys(cell["cell"] for found in report["stacks"].values() for cell in found["cells"]))
        for report in reports
    ]
    return cells if len(set(cells)) == len(cells) else short_names([Path(report["run"]) for report in reports])


def combine(diagnoses: Sequence[Diagnosis], names: Sequence[str] = ()) -> dict[str, Any]:
    """The trained layers of several runs in one report, those of the same name behind each other.

    Args:
        diagnoses: What was found of each.
        names: What each is called; :func:`names_of` if empty.
    """
    reports = [found.report for found in diagnoses]
    names = names or names_of(reports)
    runs = [
        {"name": name, **{key: found.report[key] for key in HEAD}, "sha256": found.sha256}
        for name, found in zip(names, diagnoses, strict=True)
    ]
    stacks: dict[str, Any] = {}
    for stack in dict.fromkeys(stack for report in reports for stack in report["stacks"]):
        found = {
            name: report["stacks"][stack]
            for name, report in zip(names, reports, strict=True)
            if stack in report["stacks"]
        }
        cells = [
            {"name": cell["name"], "cell": cell["cell"], "run": name, "trained": cell["trained"]}
            for name, each in found.items()
            for cell in each["cells"]
        ]
        layers = list(dict.fromkeys(cell["name"] for cell in cells))
        cells.sort(key=lambda cell: layers.index(cell["name"]))
        stacks[stack] = {"note": _note({name: each["note"] for name, each in found.items()}), "cells": cells}
    report = report_of({"runs": runs}, stacks)
    for each in reports:
        report["versions"] |= each["versions"]
    return report


def _note(notes: Mapping[str, str]) -> str:
    """What is to be said of a stack of several runs: once where it is the same of all."""
    if len(set(notes.values())) == 1:
        return next(iter(notes.values()))
    return "; ".join(f"{name}: {note}" for name, note in notes.items() if note)
