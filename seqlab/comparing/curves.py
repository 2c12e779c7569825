"""Learning curves of the cells of a comparison: the mean over seeds in a band from the least to the most."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from seqlab.comparing.runs import Entry
from seqlab.plots import COLOURS, MARKERS, STYLES, legend_below, literal
from seqlab.training.logs import read_rows

STEPS, TIME = "curves-steps.png", "curves-time.png"
AXES = {STEPS: "optimizer step", TIME: "minutes of training"}
LOSS = "train/loss"


class Curve(NamedTuple):
    """A score of one run by step, and when it was at each."""

    x: dict[int, float]
    y: dict[int, float]


class Band(NamedTuple):
    """The runs of one cell."""

    x: np.ndarray
    mean: np.ndarray
    least: np.ndarray
    most: np.ndarray


def draw_curves(entries: Sequence[Entry], results: Mapping[str, Any], out: Path) -> list[Path]:
    """Draws the score that chooses and the training loss of every run over optimizer steps, and over time.

    Args:
        entries: The runs.
        results: What is known of them.
        out: Where to.

    Returns:
        The pictures; none where no run has logged anything.
    """
    import matplotlib  # half a second to import

    matplotlib.use("Agg")
    from matplotlib import pyplot

    pictures = []
    for name, label in AXES.items():
        panels = panels_of(entries, results, over_time=name == TIME)
        if not panels:
            continue
        figure, axes = pyplot.subplots(
            1, len(panels), figsize=(5.6 * len(panels), 4.2), squeeze=False, layout="constrained"
        )
        cells = [cell["cell"] for cell in results["cells"]]
        for axis, (score, bands) in zip(axes.flat, panels.items(), strict=True):
            draw_panel(axis, score, bands, cells, label)
        legend_below(figure, axes.flat)
        figure.suptitle(f"{literal(results['recipe'])}: mean of seeds, band from least to most", fontsize=11)
        figure.savefig(out / name, dpi=130)
        pyplot.close(figure)
        pictures.append(out / name)
    return pictures


def panels_of(entries: Sequence[Entry], results: Mapping[str, Any], *, over_time: bool) -> dict[str, dict[str, Band]]:
    """The band of each cell, of the score that chooses and of the training loss; what no run has logged is left out."""
    panels = {
        score: {cell: band(curves) for cell, curves in _curves(entries, results, score, over_time).items()}
        for score in (results["monitor"], LOSS)
    }
    return {score: bands for score, bands in panels.items() if bands}


def band(curves: Sequence[Curve]) -> Band:
    """Mean, least and most of several curves at the steps that all of them have, each at the mean of its times.

    Where they share no step, it is that of the longest alone.
    """
    shared = sorted(set.intersection(*(set(curve.y) for curve in curves)))
    if not shared:
        curves = [max(curves, key=lambda curve: len(curve.y))]
        shared = sorted(curves[0].y)
    x, y = (np.array([[part[step] for step in shared] for part in parts]) for parts in zip(*curves, strict=True))
    return Band(x.mean(0), y.mean(0), y.min(0), y.max(0))


def _curves(
    entries: Sequence[Entry], results: Mapping[str, Any], score: str, over_time: bool
) -> dict[str, list[Curve]]:
    """The curves of each cell; runs that logged no such score are left out."""
    seconds = {
        (cell["cell"], run["seed"]): (run["steps"], run["seconds"]) for cell in results["cells"] for run in cell["runs"]
    }
    found: dict[str, list[Curve]] = {}
    for entry in entries:
        rows = [row for row in read_rows(entry.run.metrics) if score in row]
        steps = [int(float(row["step"])) for row in rows]
        x = times(rows, *seconds[entry.cell, entry.seed]) if over_time else steps
        if x and rows:
            y = [float(row[score]) for row in rows]
            curve = Curve(dict(zip(steps, x, strict=True)), dict(zip(steps, y, strict=True)))
            found.setdefault(entry.cell, []).append(curve)
    return found


def times(rows: Sequence[Mapping[str, Any]], steps: int | None, seconds: float | None) -> list[float]:
    """Minutes of training at each row of a log: as it says, or where it does not, as if all steps took equally long.

    Returns:
        Nothing where neither is known.
    """
    if rows and all("seconds" in row for row in rows):
        return [float(row["seconds"]) / 60 for row in rows]
    if not steps or not seconds:
        return []
    return [float(row["step"]) / steps * seconds / 60 for row in rows]


def draw_panel(axis: Any, score: str, bands: Mapping[str, Band], cells: Sequence[str], label: str) -> None:
    """Draws the curves of a score.

    Args:
        axis: matplotlib's axes.
        score: The score.
        bands: Its bands by cell.
        cells: All cells in their order, by which each has its colour, line and marker.
        label: What the curves are over.
    """
    from matplotlib.ticker import MaxNLocator

    low = min(float(each.least[np.isfinite(each.least)].min(initial=np.inf)) for each in bands.values())
    high = max(float(each.most[np.isfinite(each.most)].max(initial=-np.inf)) for each in bands.values())
    for cell, each in bands.items():
        number = cells.index(cell)
        colour = COLOURS[number % len(COLOURS)]
        axis.fill_between(each.x, each.least, each.most, color=colour, alpha=0.18, linewidth=0)
        axis.plot(
            each.x,
            each.mean,
            label=cell,
            color=colour,
            linestyle=STYLES[(number + number // len(COLOURS)) % len(STYLES)],
            marker=MARKERS[number % len(MARKERS)] if score != LOSS else None,
            markersize=4,
            linewidth=1.6,
        )
    if "perplexity" in score and 0 < 10 * low < high:
        axis.set_yscale("log")
    axis.set_title(literal(score), loc="left", fontsize=10)
    axis.set_xlabel(label, fontsize=9)
    axis.xaxis.set_major_locator(MaxNLocator(integer=label == AXES[STEPS]))
    axis.grid(alpha=0.3)
    axis.spines[["top", "right"]].set_visible(False)
