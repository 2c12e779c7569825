"""The log of a run, as tests compare it with another's."""

import csv
from pathlib import Path

from seqlab.training.logs import MEASURED


def rows(run: Path) -> list[dict[str, str]]:
    """The rows of a run's log, without the columns that measure time."""
    with (run / "logs" / "metrics.csv").open(newline="", encoding="utf-8") as file:
        return [{name: value for name, value in row.items() if name not in MEASURED} for row in csv.DictReader(file)]
