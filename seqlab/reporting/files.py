"""Files of a run that a report reads."""

import json
from pathlib import Path
from typing import Any

from seqlab.errors import UserError
from seqlab.evaluation.records import read_records
from seqlab.reporting.shapes import RECORDS, SUMMARY, misfit
from seqlab.runs import Run


def has_model(run: Run) -> bool:
    """Whether there are weights that a run could be used with."""
    return bool(run.saved())


def read_summary(run: Run) -> dict[str, Any]:
    """What a fit ended with; nothing where it has not ended.

    Raises:
        UserError: The file is not one that a fit wrote.
    """
    if not run.summary.is_file():
        return {}
    try:
        content = json.loads(run.summary.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{run.summary} cannot be read: move it away") from error
    if wrong := misfit(content, SUMMARY):
        raise UserError(f"{run.summary} is not what a fit writes ({wrong}): move it away")
    return content


def read_scores(run: Run) -> dict[str, Any]:
    """The records of a run by their labels; none if it has not been scored.

    Raises:
        UserError: The file is not one that evaluate wrote.
    """
    try:
        records = read_records(run)
        wrong = misfit(records, RECORDS)
    except RecursionError:
        wrong = "nested too deeply"
    if wrong:
        raise UserError(f"{run.scores} is not what evaluate writes ({wrong}): move it away")
    return records


def read_texts(run: Run, label: str) -> dict[str, list[str]]:
    """What evaluate wrote under a label, by name such as ``hypotheses``: a line for each example; empty if nothing.

    Columns of another length than the hypotheses are left out.
    """
    found = {}
    for name in ("sources", "references", "hypotheses"):
        lines = _lines(run.translations / f"{label}.{name}")
        if lines:
            found[name] = lines
    count = len(found.get("hypotheses", ()))
    return {name: lines for name, lines in found.items() if len(lines) == count}


def _lines(path: Path) -> list[str]:
    """The lines of a file of text; none if there is no file. Only a line feed ends one."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").removesuffix("\n").split("\n")
    except OSError:
        return []
