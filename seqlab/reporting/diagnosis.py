"""What ``seqlab diagnose`` has found of runs: its pictures and its table."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from seqlab.diagnosis.pictures import PICTURES
from seqlab.diagnosis.reports import FOLDER, FORMAT, REPORT
from seqlab.diagnosis.table import HEAD, LEGEND, rows_of
from seqlab.diagnosis.training_picture import PICTURE as TRAINING
from seqlab.reporting.files import has_model
from seqlab.reporting.page import Block, Code, Missing, Notes, Pictures, Table, spelled
from seqlab.reporting.pictures import of_file
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
"""What a comparison shows of each cell."""
MOST = 6
"""Commands that are listed for what is missing."""


def run_diagnosis(run: Run) -> list[Block]:
    """All that was found of a run."""
    others = sorted({path.name for path in (run.path / FOLDER).glob("*.png")} - {*SHOWN})
    return _diagnosis({"": run}, [*SHOWN, *others])


def cells_diagnosis(runs: Mapping[str, Sequence[Run]]) -> list[Block]:
    """The table and the main pictures of one run of each cell: of the first that was diagnosed.

    Args:
        runs: The runs of each cell, the best first.
    """
    chosen, told = {}, []
    for cell, found in runs.items():
        chosen[cell] = next((run for run in found if _is_known(run)), None) or next(filter(has_model, found), found[0])
        if _is_known(chosen[cell]) and chosen[cell] is not found[0]:
            told.append(
                f"{cell} is shown by {chosen[cell].path.name}: its best, {found[0].path.name}, has no diagnosis"
            )
    return [*([Notes(told)] if told else []), *_diagnosis(chosen, FEW)]


def _is_known(run: Run) -> bool:
    """Whether a run was diagnosed; what the callback draws in the course of a fit is no diagnosis of its model."""
    return (run.path / REPORT).is_file() or any((run.path / FOLDER / file).is_file() for file in PICTURES)


def _diagnosis(runs: Mapping[str, Run], names: Sequence[str]) -> list[Block]:
    """What was found of runs, each by the name that it is told by, and which of them it was not sought of."""
    blocks = _table({name: run for name, run in runs.items() if (run.path / REPORT).is_file()})
    pictures, damaged = [], []
    for file in names:
        for name, run in runs.items():
            path = run.path / FOLDER / file
            if picture := of_file(path, *_told(name, run, file)):
                pictures.append(picture)
            elif path.is_file():
                damaged.append(str(path))
    blocks += [Pictures(pictures)] if pictures else []
    blocks += [Missing(f"Left out, since it is damaged: {', '.join(damaged)}")] if damaged else []
    return [*blocks, *_absent(runs, during=TRAINING in names)]


def _absent(runs: Mapping[str, Run], *, during: bool) -> list[Block]:
    """What was not sought, and the commands that do so.

    Args:
        runs: The runs.
        during: Whether pictures of training are shown.
    """
    absent = [run for run in runs.values() if not _is_known(run)]
    if not absent:
        return []
    which = "" if len(runs) == 1 else f" of {len(absent)} of {len(runs)} cells"
    text = f"How far gradients reach back in time is not known{which}"
    if during and any((run.path / FOLDER / TRAINING).is_file() for run in absent):
        text = "This is what was seen while training; the best checkpoint was not diagnosed"
    commands = [("seqlab", "diagnose", run) for run in absent if has_model(run)]
    if len(commands) < 2:
        return [Missing(text, *commands)]
    label = f"The first {MOST} of {len(commands)} commands" if len(commands) > MOST else "Commands"
    return [Missing(text), Code(label, "\n".join(spelled(command) for command in commands[:MOST]))]


def _told(name: str, run: Run, file: str) -> tuple[str, str]:
    """What a picture shows, for those who do not see it, and its caption."""
    of = f"{name}, {run.path.name}: " if name else ""
    what = SHOWN.get(file, file.removesuffix(".png"))
    numbers = "" if file == TRAINING else " Its main numbers are in the table."
    return f"Chart of a diagnosis, {of}{what}.{numbers}", f"{of}{what}"


def _table(runs: Mapping[str, Run]) -> list[Block]:
    """The numbers of the diagnoses, and what each is of."""
    rows: list[list[str]] = []
    told: list[str] = []
    damaged: list[Block] = []
    for name, run in runs.items():
        try:
            content = json.loads((run.path / REPORT).read_text(encoding="utf-8"))
            if content["format"] != FORMAT:
                raise ValueError("it is of another version")
            found = rows_of(content)[1:]
            told.append(_what(content))
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
            damaged.append(Missing(f"{run.path / REPORT} cannot be read; write it again", ("seqlab", "diagnose", run)))
            continue
        rows += [[f"{name}: {row[0]}" if name else row[0], *row[1:]] for row in found]
    if not rows:
        return damaged
    notes = Notes([*filter(None, dict.fromkeys(told)), *LEGEND.splitlines()])
    return [Table("Gradients, Jacobians and gates", HEAD, rows, text=True), notes, *damaged]


def _what(content: Mapping[str, Any]) -> str:
    """What a run was measured on: a later fit may have another best checkpoint."""
    if "checkpoint" not in content:
        return ""
    checkpoint = content["checkpoint"]
    step = f"{checkpoint['file']} of step {checkpoint['step']:,}"
    return f"measured with {step}, on {content['rows']} rows of {content['split']}"
