"""What ``seqlab diagnose`` has found of runs: its pictures and its table."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from seqlab.diagnosis.pictures import PICTURES
from seqlab.diagnosis.reports import FOLDER, FORMAT, REPORT
from seqlab.diagnosis.table import HEAD, LEGEND, rows_of
from seqlab.reporting.files import has_model
from seqlab.reporting.page import Block, Missing, Notes, Pictures, Table
from seqlab.reporting.pictures import of_file
from seqlab.runs import Run

TRAINING = "gradients-training.png"
"""What is drawn in the course of a fit."""
SHOWN = {
    "gradients.png": "norm of the gradient by the state over steps back from the loss, 1 at the step of the loss",
    TRAINING: "the same over optimizer steps of the training",
    "jacobian.png": "singular values of a step's Jacobian by their rank",
    "saturation.png": "share of values at which each gate is saturated",
    "states.png": "root mean square of the states over the steps of long inputs",
}
"""What each picture shows."""
FEW = ("gradients.png", "jacobian.png")
"""What a comparison shows of each cell."""


def run_diagnosis(run: Run) -> list[Block]:
    """All that was found of a run."""
    others = sorted({path.name for path in (run.path / FOLDER).glob("*.png")} - {*SHOWN})
    return _diagnosis({"": run}, [*SHOWN, *others])


def cells_diagnosis(runs: Mapping[str, Run]) -> list[Block]:
    """The table and the main pictures of one run of each cell."""
    return _diagnosis(runs, FEW)


def _diagnosis(runs: Mapping[str, Run], names: Sequence[str]) -> list[Block]:
    """What was found of runs, each by the name that it is told by, and which of them it was not sought of."""
    known = {name: run for name, run in runs.items() if any((run.path / FOLDER / file).is_file() for file in PICTURES)}
    known |= {name: run for name, run in runs.items() if (run.path / FOLDER / TRAINING).is_file()}
    blocks = _table({name: run for name, run in runs.items() if (run.path / REPORT).is_file()})
    pictures, damaged = [], []
    for file in names:
        for name, run in known.items():
            path = run.path / FOLDER / file
            if picture := of_file(path, *_told(name, run, file)):
                pictures.append(picture)
            elif path.is_file():
                damaged.append(str(path))
    blocks += [Pictures(pictures)] if pictures else []
    blocks += [Missing(f"Left out, since it is damaged: {', '.join(damaged)}")] if damaged else []
    if absent := [run for name, run in runs.items() if name not in known]:
        which = "" if len(runs) == 1 else f" of {len(absent)} of {len(runs)} cells"
        able = next((run for run in absent if has_model(run)), None)
        command = () if able is None else ("seqlab", "diagnose", able)
        blocks.append(Missing(f"How far gradients reach back in time is not known{which}", command))
    return blocks


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
