"""A diagnosis on disk."""

import json
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from seqlab.diagnosis.measuring import THRESHOLDS
from seqlab.diagnosis.pictures import draw_all
from seqlab.errors import UserError
from seqlab.files import write_text

FORMAT = 1
REPORT, FOLDER = "diagnosis.json", "diagnosis"


def report_of(head: Mapping[str, Any], stacks: Mapping[str, Any]) -> dict[str, Any]:
    """A report: what was measured, what its words mean, and by what versions.

    Args:
        head: What it is of.
        stacks: What was measured of each stack of layers, as of :func:`~seqlab.diagnosis.measuring.describe`.
    """
    versions = {"seqlab": version("seqlab"), "torch": version("torch"), "python": platform.python_version()}
    return {"format": FORMAT, **head, "thresholds": THRESHOLDS, "stacks": dict(stacks), "versions": versions}


def write(report: Mapping[str, Any], path: Path, folder: Path, heading: str) -> list[Path]:
    """Writes a report and its pictures, each whole.

    Args:
        report: The report.
        path: Where it goes.
        folder: Where the pictures go.
        heading: What the pictures say that they are of.

    Returns:
        The files.

    Raises:
        UserError: They cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_text(path, to_json(report))
        return [path, *draw_all(report, folder, heading)]
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror}") from error


def to_json(report: Mapping[str, Any]) -> str:
    """A report as text."""
    return json.dumps(report, ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n"
