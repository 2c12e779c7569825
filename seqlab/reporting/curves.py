"""Learning curves for a page: a picture for each score, so that they stand one below the other on a narrow screen."""

from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from seqlab.comparing.curves import AXES, LOSS, STEPS, TIME, Band, Curve, band, draw_panel, panels_of
from seqlab.comparing.runs import Entry
from seqlab.plots import legend_below
from seqlab.reporting.page import Block, Missing, Pictures
from seqlab.reporting.pictures import Picture, of_figure
from seqlab.runs import Run
from seqlab.score_text import score_text
from seqlab.training.logs import read_rows

SIZE = (5.0, 3.2)
"""Inches; letters are still read where a phone shows it at half of that."""
LEGEND, ROW = 52, 0.18
"""Letters that a line of the legend has room for, and inches that it adds to the height."""

TOLD = 12
"""Curves whose ends are told in words."""


def comparison_curves(results: Mapping[str, Any], out: Path) -> list[Block]:
    """The score that chooses and the training loss of every cell, over steps and over time."""
    entries = [
        Entry(cell["cell"], run["seed"], Run(out / run["path"]), (), results["recipe"])
        for cell in results["cells"]
        for run in cell["runs"]
    ]
    cells = [cell["cell"] for cell in results["cells"]]
    pictures = []
    try:
        for name in (STEPS, TIME):
            for score, bands in panels_of(entries, results, over_time=name == TIME).items():
                seeds = "mean of the seeds, band from least to most"
                pictures.append(_panel(score, bands, cells, AXES[name], f"{score} over {_noun(name)}: {seeds}"))
    except (ValueError, KeyError, OverflowError) as error:
        return [Missing(f"The logs of the runs cannot be drawn: {error}")]
    return [Pictures(pictures)] if pictures else [Missing("No run has logged anything yet")]


def run_curves(run: Run) -> list[Block]:
    """The training loss and every validation score of a run over steps."""
    pictures = []
    try:
        rows = read_rows(run.metrics)
        names = dict.fromkeys(name for row in rows for name in row if name == LOSS or str(name).startswith("val/"))
        for score in names:
            points = {int(float(row["step"])): float(row[score]) for row in rows if score in row}
            curve = Curve({step: float(step) for step in points}, points)
            caption = f"{score} over {_noun(STEPS)}"
            pictures.append(_panel(score, {run.path.name: band([curve])}, [run.path.name], AXES[STEPS], caption))
    except (ValueError, KeyError, OverflowError) as error:
        return [Missing(f"{run.metrics.name} cannot be drawn: {error}")]
    return [Pictures(pictures)] if pictures else [Missing(f"The run has logged nothing ({run.metrics.name})")]


def _panel(score: str, bands: Mapping[str, Band], cells: Sequence[str], label: str, caption: str) -> Picture:
    from matplotlib.figure import Figure  # half a second to import

    columns = max(1, min(4, LEGEND // max(4 + len(name) for name in bands)))
    rows = -(-len(bands) // columns) if len(cells) > 1 else 0
    figure = Figure(figsize=(SIZE[0], SIZE[1] + ROW * rows), layout="constrained")
    axis = figure.add_subplot()
    draw_panel(axis, score, bands, cells, label)
    if rows:
        legend_below(figure, [axis], columns)
    ends = ", ".join(f"{cell} ends at {_told(found)}" for cell, found in islice(bands.items(), TOLD))
    ends += f", and {len(bands) - TOLD} more" if len(bands) > TOLD else ""
    return of_figure(figure, f"Line chart of {caption}. {ends}.", caption)


def _told(found: Band) -> str:
    last = float(found.mean[-1])
    return score_text(last) if abs(last) < float("inf") else "no number"


def _noun(name: str) -> str:
    return "optimizer steps" if name == STEPS else "minutes of training"
