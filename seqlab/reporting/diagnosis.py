"""What ``seqlab diagnose`` has found of runs: its pictures and its table."""

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from seqlab.diagnosis.pictures import PICTURES
from seqlab.diagnosis.reports import FOLDER, FORMAT, REPORT
from seqlab.diagnosis.table import HEAD, LEGEND, measured_with, notes_of, rows_of
from seqlab.diagnosis.training_picture import PICTURE as TRAINING
from seqlab.reporting.files import has_model
from seqlab.reporting.page import Block, Missing, Notes, Pictures, Table
from seqlab.reporting.pictures import Picture, of_file
from seqlab.runs import Run

SHOWN = {
    "gradients.png": "norm of the gradient by the state over steps back from the loss, 1 at the step of the loss",
    TRAINING: "median norm of the gradient by the state over steps back from the loss, a line for each of several "
    "optimizer steps of the training",
    "jacobian.png": "singular values of a step's Jacobian by their rank",
    "saturation.png": "share of values at which each gate is saturated",
    "states.png": "root mean square of the states over the steps of long inputs",
}
"""What each picture shows."""
FEW = ("gradients.png", "jacobian.png")
"""What a comparison shows of each cell, where no picture has them all."""
WRONG = (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError)
"""What happens with a diagnosis that somebody has changed."""
UNKNOWN = "How far gradients reach back in time is not known"


def run_diagnosis(run: Run) -> list[Block]:
    """All that was found of a run."""
    others = sorted({path.name for path in (run.path / FOLDER).glob("*.png")} - {*SHOWN})
    return [*_table({"": run}), *_pictures({"": run}, [*SHOWN, *others]), *_absent(run)]


def cells_diagnosis(runs: Mapping[str, Sequence[Run]], out: Path) -> list[Block]:
    """The pictures that all cells have in common, and the table of one run of each: of the first that was diagnosed,
    whose own main pictures are shown where it is not in those of all.

    Args:
        runs: The runs of each cell, the best first.
        out: The comparison.
    """
    together, shown = _together(out)
    chosen, told = {}, []
    for cell, found in runs.items():
        chosen[cell] = next((run for run in found if _is_known(run)), None) or next(filter(has_model, found), found[0])
        if _is_known(chosen[cell]) and chosen[cell] is not found[0]:
            told.append(
                f"{cell} is shown by {chosen[cell].path.name}: its best, {found[0].path.name}, has no diagnosis"
            )
    alone = {cell: run for cell, run in chosen.items() if cell not in shown}
    blocks = [*together, *([Notes(told)] if told else []), *_table(chosen, shown.values()), *_pictures(alone, FEW)]
    absent = [cell for cell, run in chosen.items() if not _is_known(run)]
    if absent:
        which = "" if len(runs) == 1 else f" of {len(absent)} of {len(runs)} cells"
        able = any(has_model(run) and run.summary.is_file() for cell in absent for run in runs[cell])
        blocks.append(Missing(f"{UNKNOWN}{which}", ("seqlab", "diagnose", out) if able else ()))
    return blocks


def _is_known(run: Run) -> bool:
    """Whether a run was diagnosed; what the callback draws in the course of a fit is no diagnosis of its model."""
    return (run.path / REPORT).is_file() or any((run.path / FOLDER / file).is_file() for file in PICTURES)


def _absent(run: Run) -> list[Block]:
    """That a run was not diagnosed, and the command that does so."""
    if _is_known(run):
        return []
    during = (run.path / FOLDER / TRAINING).is_file()
    text = "This is what was seen while training; the best checkpoint was not diagnosed" if during else UNKNOWN
    return [Missing(text, ("seqlab", "diagnose", run) if has_model(run) else ())]


def _together(out: Path) -> tuple[list[Block], dict[str, str]]:
    """The pictures of all cells of a comparison, and for each cell in them what was measured."""
    path = out / FOLDER / REPORT
    if not path.is_file():
        return [], {}
    try:
        content = _read(path)
        if "runs" not in content:  # it is of cells on their own, which somebody has put there
            return [], {}
        shown = {run["name"]: _measured(f"{run['name']}, {PurePath(run['run']).name}", run) for run in content["runs"]}
        notes = Notes([*shown.values(), *notes_of(content)])
        pictures = _embedded({out / FOLDER / file: _told(", ".join(shown), file) for file in SHOWN})
    except WRONG:
        return [Missing(f"{path} cannot be read; write it again", ("seqlab", "diagnose", out))], {}
    return ([*pictures, notes], shown) if any(isinstance(each, Pictures) for each in pictures) else (pictures, {})


def _pictures(runs: Mapping[str, Run], files: Sequence[str]) -> list[Block]:
    """The pictures of runs, each by the name that it is told by."""
    named = {name: f"{name}, {run.path.name}" if name else "" for name, run in runs.items()}
    return _embedded(
        {run.path / FOLDER / file: _told(named[name], file) for file in files for name, run in runs.items()}
    )


def _embedded(paths: Mapping[Path, tuple[str, str]]) -> list[Block]:
    """Files as pictures, and which of them are damaged.

    Args:
        paths: Of each file what it shows, for those who do not see it, and its caption.
    """
    pictures: list[Picture] = []
    damaged: list[str] = []
    for path, told in paths.items():
        if picture := of_file(path, *told):
            pictures.append(picture)
        elif path.is_file():
            damaged.append(str(path))
    blocks: list[Block] = [Pictures(pictures)] if pictures else []
    return blocks + ([Missing(f"Left out, since it is damaged: {', '.join(damaged)}")] if damaged else [])


def _told(name: str, file: str) -> tuple[str, str]:
    """What a picture shows, for those who do not see it, and its caption."""
    of = f"{name}: " if name else ""
    what = SHOWN.get(file, file.removesuffix(".png"))
    numbers = "" if file == TRAINING else " Its main numbers are in the table."
    return f"Chart of a diagnosis, {of}{what}.{numbers}", f"{of}{what}"


def _table(runs: Mapping[str, Run], known: Collection[str] = ()) -> list[Block]:
    """The numbers of the diagnoses that there are, and what each is of, where that is not known yet."""
    rows: list[list[str]] = []
    told: list[str] = []
    damaged: list[Block] = []
    for name, run in runs.items():
        if not (run.path / REPORT).is_file():
            continue
        try:
            content = _read(run.path / REPORT)
            found = rows_of(content)[1:]
            if "checkpoint" in content:
                told.append(_measured(f"{name}, {run.path.name}" if name else "", content))
        except WRONG:
            damaged.append(Missing(f"{run.path / REPORT} cannot be read; write it again", ("seqlab", "diagnose", run)))
            continue
        rows += [[f"{name}: {row[0]}" if name else row[0], *row[1:]] for row in found]
    if not rows:
        return damaged
    notes = Notes([*(line for line in told if line not in known), *LEGEND.splitlines()])
    return [Table("Gradients, Jacobians and gates", HEAD, rows, text=True), notes, *damaged]


def _measured(name: str, content: Mapping[str, Any]) -> str:
    """What a run was measured with: a later fit may have another best checkpoint."""
    return f"{f'{name}: ' if name else ''}measured with {measured_with(content)}"


def _read(path: Path) -> Mapping[str, Any]:
    """A diagnosis.

    Raises:
        ValueError: It is of another version, or something else; it may also lack anything.
    """
    content = json.loads(path.read_text(encoding="utf-8"))
    if content["format"] != FORMAT:
        raise ValueError("it is of another version")
    return content
